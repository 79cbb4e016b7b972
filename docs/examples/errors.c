/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c BOX - the command failed, could not be started, ran out of time: three different things. */
#include <conker.h>
#include <stdio.h>

static const char *kind_name(enum conker_errkind k)
{
	switch (k) {
	case CONKER_ERR_COMMAND: return "the command failed";
	case CONKER_ERR_TIMEOUT: return "the command ran out of time";
	case CONKER_ERR_START: return "it could not be started";
	case CONKER_ERR_BOX: return "the box is broken";
	case CONKER_ERR_CALL: break;
	}
	return "the call was wrong";
}

static void try_it(conker_box *box, const char *arg0, const char *arg1)
{
	const char *cmd[] = {arg0, arg1, NULL};
	conker_exec_opts opts = {.size = sizeof(opts), .argv = cmd, .timeout_ms = 5000};
	conker_run_opts run_opts = {.size = sizeof(run_opts), .flags = CONKER_RUN_CHECK};
	conker_result result = {.size = sizeof(result)};

	if (conker_run(box, &opts, &run_opts, &result) < 0)
		printf("%s: %s\n", kind_name(conker_errkind()), conker_errmsg());
	else
		printf("fine\n");
	conker_result_free(&result);
}

int main(int argc, char **argv)
{
	conker_box *box;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	try_it(box, "true", NULL);
	try_it(box, "false", NULL);
	try_it(box, "no-such-command", NULL);
	try_it(box, "sleep", "60");
	conker_box_free(box);
	return 0;
}
