/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - see archive.h. */
#include "image/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/limits.h"
#include "util/array.h"
#include "util/cleanup.h"
#include "util/tar.h"

enum { IN_BYTES = 64 << 10, HOPS_MAX = 8 };

struct scan {
	struct archive *a;
	struct err *e;
	struct span from;
	uint64_t at; /* of the file: where in[used] is */
	size_t used, len;
	uint8_t in[IN_BYTES];
	struct tar_reader tar;
};

/* ---- names ------------------------------------------------------------------------------------------- */

/* What a link in the directory of `name` leads to, by text: "a/b", "../c" -> "c". -EINVAL: out of the archive, or long. */
static int link_target(const char *name, const char *link, char ret[MEMBER_NAME_BYTES])
{
	const char *slash = strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;

	memcpy(ret, name, n);
	while (*link) {
		size_t len = strcspn(link, "/");

		if (len == 2 && link[0] == '.' && link[1] == '.') {
			if (n == 0)
				return -EINVAL;
			while (n > 0 && ret[--n] != '/')
				;
		} else if (len > 0 && !(len == 1 && *link == '.')) {
			if (n + 1 + len >= MEMBER_NAME_BYTES)
				return -EINVAL;
			if (n > 0)
				ret[n++] = '/';
			memcpy(ret + n, link, len);
			n += len;
		}
		link += len;
		link += strspn(link, "/");
	}
	ret[n] = 0;
	return 0;
}

/* A name of the archive as it is remembered. */
static int member_name(const char *from, char ret[MEMBER_NAME_BYTES])
{
	from += strspn(from, "/");
	return link_target("", from, ret);
}

static int member_link(const struct tar_entry *t, const char *name, char ret[MEMBER_NAME_BYTES])
{
	ret[0] = 0;
	switch (t->type) {
	case TAR_FILE: return t->sparse ? -EINVAL : 0;
	case TAR_SYMLINK: return link_target(name, t->link, ret);
	case TAR_HARDLINK: return member_name(t->link, ret);
	default: return -EINVAL;
	}
}

/* ---- the scan ---------------------------------------------------------------------------------------- */

static struct member *member_add(struct archive *a)
{
	struct member *more = array_grow(a->members, &a->room, a->n, sizeof(*more), 64);

	if (!more)
		return NULL;
	a->members = more;
	return &a->members[a->n++];
}

static int scan_entry(struct scan *s)
{
	const struct tar_entry *t = &s->tar.entry;
	struct member m = {.at = s->at, .bytes = t->size};

	if (member_name(t->path, m.name) < 0 || member_link(t, m.name, m.link) < 0)
		return 0;
	if (s->a->n == LIMIT_MEMBERS) {
		s->a->overflow = 1;
		return 0;
	}
	struct member *to = member_add(s->a);
	if (!to)
		return err_set(s->e, ENOMEM, "no memory for the archive's names");
	*to = m;
	return 0;
}

static int scan_refill(struct scan *s)
{
	ssize_t n = span_read(&s->from, s->in, sizeof(s->in));

	if (n < 0)
		return err_set(s->e, (int)-n, "read the archive: %s", strerror((int)-n));
	s->used = 0;
	s->len = (size_t)n;
	return 0;
}

/* Further on in the file, within what was read or not. */
static void scan_skip(struct scan *s, uint64_t bytes)
{
	uint64_t in = min_(bytes, (uint64_t)(s->len - s->used)), beyond = bytes - in;

	s->used += (size_t)in;
	s->at += bytes;
	beyond = min_(beyond, s->from.bytes);
	s->from.at += beyond;
	s->from.bytes -= beyond;
}

static int scan_step(struct scan *s, enum tar_event *ret)
{
	struct tar_step st;

	if (tar_read(&s->tar, s->in + s->used, s->len - s->used, &st) < 0)
		return err_set(s->e, EINVAL, "%s", s->tar.why);
	s->used += st.used;
	s->at += st.used;
	*ret = st.event;
	if (st.event != TAR_ENTRY)
		return 0;
	int r = scan_entry(s);
	scan_skip(s, tar_skip(&s->tar));
	return r;
}

static int scan_all(struct scan *s)
{
	enum tar_event event = TAR_MORE;

	for (;;) {
		int r = s->used == s->len ? scan_refill(s) : 0;

		if (r < 0)
			return r;
		if (s->len == 0 && event == TAR_MORE)
			break;
		r = scan_step(s, &event);
		if (r < 0)
			return r;
		if (event == TAR_END)
			return 0;
	}
	return tar_may_end(&s->tar)
		       ? 0
		       : err_set(s->e, EINVAL, "the archive ends in the middle: truncated");
}

int archive_scan(struct archive *a, int fd, struct err *e)
{
	auto_free struct scan *s = malloc(sizeof(*s));
	struct stat st;

	*a = (struct archive){.fd = fd};
	if (!s)
		return err_set(e, ENOMEM, "no memory to read the archive");
	if (fstat(fd, &st) < 0)
		/* auto_free is unknown to it: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		return err_errno(e, "look at the archive");
	s->a = a;
	s->e = e;
	s->from = (struct span){.fd = fd, .bytes = (uint64_t)st.st_size};
	s->at = 0;
	s->used = s->len = 0;
	tar_reader_init(&s->tar);
	return scan_all(s);
}

void archive_free(struct archive *a)
{
	free(a->members);
	a->members = NULL;
}

static const struct member *member_by_name(const struct archive *a, const char *name)
{
	for (size_t i = a->n; i > 0; i--)
		if (strcmp(a->members[i - 1].name, name) == 0)
			return &a->members[i - 1];
	return NULL;
}

const struct member *archive_find(const struct archive *a, const char *name)
{
	const struct member *m = member_by_name(a, name);

	for (int hops = 0; m && *m->link && hops < HOPS_MAX; hops++)
		m = member_by_name(a, m->link);
	return m && !*m->link ? m : NULL;
}

struct span archive_span(const struct archive *a, const struct member *m)
{
	return (struct span){.fd = a->fd, .at = m->at, .bytes = m->bytes};
}
