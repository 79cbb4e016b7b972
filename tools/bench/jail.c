/* SPDX-License-Identifier: Apache-2.0 */
/* jail.c - see jail.h. */
#include "tools/bench/jail.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/util.h"

static int in_our_namespace(pid_t pid, const char *kind)
{
	char path[64], ours[64] = "", theirs[64] = "";

	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	ssize_t n = readlink(path, ours, sizeof(ours) - 1);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	ssize_t m = readlink(path, theirs, sizeof(theirs) - 1);
	return n <= 0 || m <= 0 || strcmp(ours, theirs) == 0;
}

static int status_is(pid_t pid, const char *line)
{
	char path[64], text[4096];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	return strstr(text, line) != NULL;
}

void jail_of(pid_t pid, char *ret, size_t size)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts"};
	char own[64] = "";
	size_t at = 0, missing = 0;

	for (size_t i = 0; i < countof(kinds); i++) {
		if (in_our_namespace(pid, kinds[i]))
			missing++;
		else
			at += (size_t)snprintf(own + at, sizeof(own) - at, "%s ", kinds[i]);
	}
	int seccomp = status_is(pid, "\nSeccomp:\t2"), nnp = status_is(pid, "\nNoNewPrivs:\t1");
	(void)snprintf(ret, size, "%s (%s%s%s%s)", missing || !seccomp || !nnp ? "OFF" : "on",
		       *own ? own : "no ", "namespaces", seccomp ? ", seccomp" : "",
		       nnp ? ", no_new_privs" : "");
}
