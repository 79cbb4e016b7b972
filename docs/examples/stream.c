/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c BOX - output line by line, as it comes; the loop is ours. */
#include <conker.h>
#include <poll.h>
#include <stdio.h>

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	int *over = user;

	(void)e;
	if (ev == CONKER_STDOUT || ev == CONKER_STDERR)
		printf("%s: %.*s", ev == CONKER_STDOUT ? "out" : "err", (int)data->output.len,
		       (const char *)data->output.bytes);
	if (ev == CONKER_EXIT)
		printf("ended with %d after %llu bytes\n", (int)data->status.returncode,
		       (unsigned long long)data->status.stdout_bytes);
	if (ev == CONKER_LOST)
		printf("lost: %s\n", data->failure.text);
	*over = ev == CONKER_EXIT || ev == CONKER_LOST;
}

int main(int argc, char **argv)
{
	const char *cmd[] = {"sh", "-c", "for i in 1 2 3; do echo line $i; done; exit 7", NULL};
	conker_exec_opts opts = {.size = sizeof(opts), .argv = cmd, .flags = CONKER_EXEC_LINES};
	int over = 0;
	conker_exec_cb cb = {.fn = on_event, .user = &over};
	conker_box *box;
	conker_exec *e;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0 ||
	    conker_exec_start(box, &opts, cb, &e) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	while (!over) {
		struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};

		if (poll(&p, 1, -1) < 0 || conker_box_dispatch(box) < 0)
			break;
	}
	conker_exec_free(e);
	conker_box_free(box);
	return !over;
}
