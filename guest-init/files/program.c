/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - main() of the program for files: argv names the operation (proto/files.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/files/operations.h"
#include "proto/files.h"

static const struct {
	const char *name;
	int args; /* at least, flags and path included */
	int (*run)(int argc, char **argv, struct err *e);
} operations[] = {
	{"tar-in", 2, files_tar_in}, {"tar-out", 3, files_tar_out}, {"read", 3, files_read},
	{"write", 4, files_write},   {"stat", 2, files_stat},       {"list", 2, files_list},
	{"remove", 2, files_remove}, {"mkdir", 3, files_mkdir},     {"rename", 3, files_rename},
	{"watch", 2, files_watch},
};

static int run_operation(int argc, char **argv, struct err *e)
{
	for (size_t i = 0; argc > 1 && i < countof(operations); i++)
		if (strcmp(argv[1], operations[i].name) == 0 && argc - 2 >= operations[i].args)
			return operations[i].run(argc - 2, argv + 2, e);
	return err_set(e, ENOSYS, "no such operation on files: this box is older than its library");
}

enum { EXIT_MAX = 255 };

int files_main(int argc, char **argv)
{
	struct err e = {0};

	(void)umask(0);
	(void)signal(SIGPIPE, SIG_IGN); /* a FIFO without a reader is an error that is told */
	(void)signal(SIGXFSZ, SIG_IGN); /* likewise a limit of a file's size */
	int r = run_operation(argc, argv, &e);
	if (r == 0)
		return 0;
	(void)dprintf(STDERR_FILENO, "%s\n", e.msg);
	return -r < EXIT_MAX ? -r : EXIT_MAX;
}
