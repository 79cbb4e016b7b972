/* SPDX-License-Identifier: Apache-2.0 */
/* tree_mounts.c - what a copy of a tree leaves out, and the words for it. See tree.h. */
#include "util/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"

void tree_leave_out(struct tree_left_out *l, const char *path)
{
	if (l->count++ == 0)
		(void)snprintf(l->first, sizeof(l->first), "%s", path);
}

int tree_lacks(const struct tree_left_out *l, struct err *e)
{
	if (l->count == 0)
		return 0;
	return err_set(e, EOPNOTSUPP, "%s%s left out: sockets and device nodes are not copied",
		       l->first, l->count > 1 ? " and others were" : " was");
}

int tree_pack_lacks(const struct tree_pack *p, struct err *e)
{
	const struct tree_left_out *l = &p->shrank;

	if (l->count == 0)
		return tree_lacks(&p->left_out, e);
	return err_set(e, ESTALE, "%s%s became shorter while being copied: the end is zeros",
		       l->first, l->count > 1 ? " and others" : "");
}

void tree_pack_note(const struct tree_pack *p, char *ret, size_t size)
{
	const struct tree_left_out *l = &p->mounts;
	size_t n = strlen(p->path);

	*ret = 0;
	if (l->count == 0)
		return;
	while (n > 0 && p->path[n - 1] == '/')
		n--;
	(void)snprintf(ret, size, "left out, as no files but what the kernel shows there: %.*s%s%s",
		       (int)n, p->path, l->first + strlen(p->name),
		       l->count > 1 ? " and other mounts" : "");
}

/* ---- file systems of the kernel's own ------------------------------------------------------------------ */

static int is_kernels_type(const char *s)
{
	static const char *const types[] = {
		"proc",      "sysfs",       "devtmpfs",  "devpts",     "cgroup",
		"cgroup2",   "debugfs",     "tracefs",   "securityfs", "configfs",
		"fusectl",   "bpf",         "mqueue",    "pstore",     "efivarfs",
		"selinuxfs", "binfmt_misc", "hugetlbfs", "rpc_pipefs", "autofs",
	};

	for (size_t i = 0; i < countof(types); i++)
		if (strncmp(s, types[i], strlen(types[i])) == 0 && s[strlen(types[i])] == ' ')
			return 1;
	return 0;
}

/* "36 35 98:0 /root /mount/point options [field]... - type source options": 1: of dev, and the kernel's. */
static int is_it(const char *line, dev_t dev)
{
	const char *type = strstr(line, " - ");
	char want[32];

	(void)snprintf(want, sizeof(want), " %u:%u ", major(dev), minor(dev));
	const char *numbers = strstr(line, want);
	/* The numbers are the third field, whose place no path can take. */
	return type && numbers && strcspn(line, "/") > (size_t)(numbers - line) &&
	       is_kernels_type(type + 3);
}

static char *read_all(const char *path)
{
	enum { MAX_BYTES = 4 << 20 };
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, cap = 16 << 10;
	auto_free char *text = fd < 0 ? NULL : malloc(cap);
	ssize_t n = 1;

	if (!text)
		return NULL;
	while (n > 0) {
		if (cap - len < 2) {
			char *more = cap < MAX_BYTES ? realloc(text, 2 * cap) : NULL;

			if (!more)
				return NULL;
			text = more;
			cap *= 2;
		}
		n = read(fd, text + len, cap - len - 1);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = 0;
	return take_ptr(text);
}

int tree_is_kernels(dev_t dev)
{
	auto_free char *text = read_all("/proc/self/mountinfo");
	char *rest = text;
	int found = 0;

	for (char *line; !found && rest && (line = strsep(&rest, "\n"));)
		found = is_it(line, dev);
	return found;
}
