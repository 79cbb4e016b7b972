/* SPDX-License-Identifier: Apache-2.0 */
/* service.c BOX - a server in the box, restarted when it fails, reached through a port of ours. */
#include <conker.h>
#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	const char *cmd[] = {"httpd", "-f", "-p", "8080", "-h", "/usr/share", NULL};
	conker_exec_opts opts = {.size = sizeof(opts),
				 .argv = cmd,
				 .flags = CONKER_EXEC_KEEP_ALIVE,
				 .timeout_ms = CONKER_NO_TIMEOUT,
				 .restart = CONKER_RESTART_ON_FAILURE,
				 .restart_max = 5};
	const uint16_t port = 8080;
	conker_forward *f;
	conker_box *box;
	conker_exec *e;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0 ||
	    conker_exec_start(box, &opts, (conker_exec_cb){0}, &e) < 0 ||
	    conker_box_await_ports(box, NULL, &port, 1, 20000) < 0 ||
	    conker_forward_open(box, "127.0.0.1:0", port, &f) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	printf("http://%s/ leads into the box\n", conker_forward_address(f));
	/* conker_exec_wait(e, -1, NULL) would serve it for as long as it runs. */
	conker_forward_free(f);
	conker_exec_kill(e, SIGTERM, CONKER_KILL_ALL);
	conker_exec_wait(e, 10000, NULL);
	conker_exec_free(e);
	conker_box_free(box);
	return 0;
}
