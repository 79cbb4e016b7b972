/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c DIR - prepares a box, takes a snapshot of it, and lets two others go on from there. */
#include <conker.h>
#include <stdio.h>

static int show(const char *dir, int number)
{
	static const char *const cmd[] = {"cat", "/prepared", NULL};
	conker_box_opts from = {.size = sizeof(from), .from = dir};
	conker_exec_opts exec = {.size = sizeof(exec), .argv = cmd};
	conker_result result = {.size = sizeof(result)};
	conker_box *box;
	int r;

	if (conker_box_create(&from, &box) < 0)
		return -1;
	r = conker_run(box, &exec, NULL, &result);
	if (r == 0)
		printf("clone %d goes on from %s", number, result.out.data);
	conker_result_free(&result);
	conker_box_free(box);
	return r;
}

int main(int argc, char **argv)
{
	static const char *const cmd[] = {"sh", "-c", "echo 42 >/prepared", NULL};
	conker_snapshot_opts stop = {.size = sizeof(stop), .flags = CONKER_SNAPSHOT_STOP};
	conker_run_opts check = {.size = sizeof(check), .flags = CONKER_RUN_CHECK};
	conker_exec_opts exec = {.size = sizeof(exec), .argv = cmd};
	conker_result result = {.size = sizeof(result)};
	conker_box *box;

	if (argc != 2 || conker_box_create(NULL, &box) < 0 ||
	    conker_run(box, &exec, &check, &result) < 0 ||
	    conker_box_snapshot(box, argv[1], &stop, NULL) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	conker_result_free(&result);
	conker_box_free(box);
	if (show(argv[1], 1) < 0 || show(argv[1], 2) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	return 0;
}
