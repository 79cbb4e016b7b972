/* SPDX-License-Identifier: Apache-2.0 */
/* operations.h - the program that works on the box's files (proto/files.h), a part of init's binary.
 *
 * It runs as an execution like any other: a process of its own inside the box, with the user, cgroup
 * and streams of one. Init itself never touches a file of the box.
 */
#ifndef INIT_FILES_OPERATIONS_H
#define INIT_FILES_OPERATIONS_H

#include "util/err.h"
#include "util/util.h"

/* main() of the program; argv[0] is FILES_PROGRAM. Its exit status. Changes the process's umask, ignores SIGPIPE. */
must_check int files_main(int argc, char **argv);

/* One operation each: argv[0] its flags, argv[1] its path, then what else it has. 0 or -errno. */
must_check int files_tar_in(int argc, char **argv, struct err *e);
must_check int files_tar_out(int argc, char **argv, struct err *e);
must_check int files_read(int argc, char **argv, struct err *e);
must_check int files_write(int argc, char **argv, struct err *e);
must_check int files_stat(int argc, char **argv, struct err *e);
must_check int files_list(int argc, char **argv, struct err *e);
must_check int files_remove(int argc, char **argv, struct err *e);
must_check int files_mkdir(int argc, char **argv, struct err *e);
must_check int files_rename(int argc, char **argv, struct err *e);
must_check int files_watch(int argc, char **argv, struct err *e);

/* Archive of one file from stdin: its bytes into the device or FIFO at path. TREE_NO_CLOBBER: -EEXIST. */
must_check int files_tar_into(const char *path, int flags, struct err *e);

/* All of it, to stdout or to fd, which path names in e. 0 or -errno. */
must_check int files_send(const void *buf, size_t len);
must_check int files_write_out(int fd, const char *path, const void *buf, size_t len,
			       struct err *e);

#endif
