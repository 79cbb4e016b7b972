/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c BOX - a command outlives its starter; somebody else reads what it said. */
#include <conker.h>
#include <stdio.h>

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	(void)e;
	if (ev == CONKER_STDOUT)
		fwrite(data->output.bytes, 1, data->output.len, user);
	if (ev == CONKER_GAP)
		printf("[%llu bytes are gone]\n",
		       (unsigned long long)(data->gap.to - data->gap.from));
}

static int start(const char *box_name)
{
	const char *cmd[] = {"sh", "-c", "echo before; sleep 1; echo after", NULL};
	conker_exec_opts opts = {.size = sizeof(opts),
				 .argv = cmd,
				 .name = "worker",
				 .key = "order 4711", /* a second start with it starts nothing */
				 .flags = CONKER_EXEC_KEEP};
	conker_box *box;
	conker_exec *e;
	int r = conker_box_open(box_name, &box);

	if (r == 0)
		r = conker_exec_start(box, &opts, (conker_exec_cb){0}, &e);
	if (r == 0)
		r = conker_box_ping(box, 10000); /* what was sent before it has arrived */
	if (r == 0)
		conker_exec_free(e);
	conker_box_free(box);
	return r;
}

int main(int argc, char **argv)
{
	const conker_exec_ref worker = {.name = "worker"};
	conker_exec_cb cb = {.fn = on_event, .user = stdout};
	conker_status status = {.size = sizeof(status)};
	conker_box *box;
	conker_exec *e;

	if (argc != 2 || start(argv[1]) < 0 || conker_box_open(argv[1], &box) < 0 ||
	    conker_exec_attach(box, &worker, NULL, cb, &e) < 0 ||
	    conker_exec_wait(e, 20000, &status) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	conker_exec_free(e);
	conker_exec_forget(box, &worker);
	conker_box_free(box);
	return status.code;
}
