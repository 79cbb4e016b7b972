/* SPDX-License-Identifier: Apache-2.0 */
/* fds.h - what tests ask of descriptors. */
#ifndef TESTS_LIB_FDS_H
#define TESTS_LIB_FDS_H

#include <dirent.h>
#include <sys/stat.h>

/* How many this process has, the one that looks among them: what leaks shows in a difference. */
static inline int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Or -1. */
static inline off_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -1 : st.st_size;
}

#endif
