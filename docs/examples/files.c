/* SPDX-License-Identifier: Apache-2.0 */
/* files.c BOX - a file in, a program over it, the result out. */
#include <conker.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	const char *cmd[] = {"sh", "-c", "tr a-z A-Z </root/in.txt >/root/out.txt", NULL};
	conker_exec_opts opts = {.size = sizeof(opts), .argv = cmd};
	conker_run_opts run_opts = {.size = sizeof(run_opts), .flags = CONKER_RUN_CHECK};
	conker_result result = {.size = sizeof(result)};
	conker_box *box;
	char *text = NULL;
	size_t len;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0 ||
	    conker_file_write(box, "/root/in.txt", NULL, "quiet\n", 6, 0) < 0 ||
	    conker_run(box, &opts, &run_opts, &result) < 0 ||
	    conker_file_read(box, "/root/out.txt", NULL, 0, &text, &len) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	printf("%s", text);
	free(text);
	conker_result_free(&result);
	conker_box_free(box);
	return 0;
}
