/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - a box, one command, its output: everything in one call. */
#include <conker.h>
#include <stdio.h>

int main(void)
{
	conker_box_opts box_opts = {.size = sizeof(box_opts)};
	const char *argv[] = {"sh", "-c", "uname -s; echo careful >&2", NULL};
	conker_exec_opts exec_opts = {.size = sizeof(exec_opts), .argv = argv};
	conker_run_opts run_opts = {.size = sizeof(run_opts), .flags = CONKER_RUN_CHECK};
	conker_result result = {.size = sizeof(result)};
	conker_box *box;

	if (conker_box_create(&box_opts, &box) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	int r = conker_run(box, &exec_opts, &run_opts, &result);
	if (r < 0)
		fprintf(stderr, "%s\n", conker_errmsg());
	else
		printf("out: %serr: %s", result.out.data, result.err.data);
	conker_result_free(&result);
	conker_box_free(box);
	return r < 0;
}
