/* SPDX-License-Identifier: Apache-2.0 */
/* fds.h - how many descriptors this process has, and the one that looks: what leaks shows in a difference. */
#ifndef TESTS_LIB_FDS_H
#define TESTS_LIB_FDS_H

#include <dirent.h>

static inline int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
