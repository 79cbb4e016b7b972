/* SPDX-License-Identifier: Apache-2.0 */
/* input.c BOX - feed a command; know when it has taken what was written. */
#include <conker.h>
#include <stdio.h>

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	(void)e;
	if (ev == CONKER_STDOUT)
		fwrite(data->output.bytes, 1, data->output.len, user);
}

int main(int argc, char **argv)
{
	const char *cmd[] = {"sort", NULL};
	conker_exec_opts opts = {.size = sizeof(opts), .argv = cmd, .flags = CONKER_EXEC_STDIN};
	conker_exec_cb cb = {.fn = on_event, .user = stdout};
	conker_status status = {.size = sizeof(status)};
	conker_box *box;
	conker_exec *e;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0 ||
	    conker_exec_start(box, &opts, cb, &e) < 0 ||
	    conker_exec_write_all(e, "banana\n", 7) < 0 ||
	    conker_exec_write_all(e, "apple\n", 6) < 0 ||
	    conker_exec_flush(e, 0, 10000) < 0 || /* sort has it all */
	    conker_exec_close_stdin(e) < 0 ||     /* and begins */
	    conker_exec_wait(e, 10000, &status) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	conker_exec_free(e);
	conker_box_free(box);
	return status.code;
}
