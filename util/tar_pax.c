/* tar_pax.c - what extended headers say: pax records, and the maps of sparse files. See tar_pax.h. */
#include "util/tar_pax.h"

#include <errno.h>
#include <string.h>

#include "util/num.h"

/* "[-]SECONDS[.FRACTION]" */
static int decimal_time(const char *s, size_t len, int64_t *ret_s, uint32_t *ret_ns)
{
	int minus = len > 0 && s[0] == '-';
	const char *dot;
	uint64_t whole;
	uint32_t ns = 0, unit = 100000000;

	s += minus;
	len -= (size_t)minus;
	dot = memchr(s, '.', len);
	if (num_parse(s, dot ? (size_t)(dot - s) : len, 10, INT64_MAX / 2, &whole) < 0)
		return -EINVAL;
	for (const char *p = dot ? dot + 1 : s + len; p < s + len; p++) {
		int digit = num_digit(*p, 10);

		if (digit < 0)
			return -EINVAL;
		ns += (uint32_t)digit * unit;
		unit /= 10;
	}
	*ret_s = minus ? -(int64_t)whole - (ns > 0) : (int64_t)whole;
	*ret_ns = minus && ns ? 1000000000 - ns : ns;
	return 0;
}

int tar_copy_name(char *to, const char *from, size_t len)
{
	if (len == 0 || len >= TAR_NAME_BYTES || memchr(from, 0, len))
		return -EINVAL;
	memcpy(to, from, len);
	to[len] = 0;
	return 0;
}

int tar_add_segment(struct tar_entry *e, uint64_t offset, uint64_t bytes)
{
	const struct tar_segment *last = e->n_segments ? &e->segments[e->n_segments - 1] : NULL;

	if (offset > INT64_MAX || bytes > INT64_MAX || offset + bytes > INT64_MAX)
		return -EINVAL;
	if (last && offset < last->offset + last->bytes)
		return -EINVAL;
	if (e->n_segments == TAR_SEGMENTS_MAX)
		return -EINVAL;
	e->segments[e->n_segments++] = (struct tar_segment){offset, bytes};
	return 0;
}

int tar_map_number(struct tar_reader *r, uint64_t v)
{
	if (r->numbers++ % 2 == 0) {
		r->segment_at = v;
		return 0;
	}
	return tar_add_segment(&r->entry, r->segment_at, v);
}

static int pax_map(struct tar_reader *r, const char *s, size_t len)
{
	uint64_t v;

	while (len > 0) {
		const char *comma = memchr(s, ',', len);
		size_t n = comma ? (size_t)(comma - s) : len;

		if (num_parse(s, n, 10, INT64_MAX, &v) < 0 || tar_map_number(r, v) < 0)
			return -EINVAL;
		n += comma != NULL;
		s += n;
		len -= n;
	}
	return r->numbers % 2 ? -EINVAL : 0;
}

static int pax_sparse(struct tar_reader *r, const char *key, const char *value, size_t len)
{
	struct tar_over *o = &r->over;
	uint64_t v;

	if (strcmp(key, "name") == 0) {
		o->path = 2; /* the one in `path` is made up, and does not replace this one */
		return tar_copy_name(r->entry.path, value, len);
	}
	o->sparse = o->sparse ? o->sparse : 1;
	if (strcmp(key, "map") == 0)
		return pax_map(r, value, len);
	if (num_parse(value, len, 10, INT64_MAX, &v) < 0)
		return -EINVAL;
	if (strcmp(key, "major") == 0 && v == 1)
		o->sparse = 2;
	else if (strcmp(key, "realsize") == 0 || strcmp(key, "size") == 0)
		o->real_bytes = v;
	else if (strcmp(key, "offset") == 0 || strcmp(key, "numbytes") == 0)
		return tar_map_number(r, v);
	return 0;
}

static int pax_id(const char *value, size_t len, int *ret_is, uint32_t *ret)
{
	uint64_t v;

	/* -1 would mean "leave it as it is" to chown() */
	if (num_parse(value, len, 10, UINT32_MAX - 1, &v) < 0)
		return -EINVAL;
	*ret_is = 1;
	*ret = (uint32_t)v;
	return 0;
}

static int pax_value(struct tar_reader *r, const char *key, const char *value, size_t len)
{
	static const char sparse[] = "GNU.sparse.";
	struct tar_over *o = &r->over;

	if (strcmp(key, "path") == 0) {
		if (o->path == 2)
			return 0;
		o->path = 1;
		return tar_copy_name(r->entry.path, value, len);
	}
	if (strcmp(key, "linkpath") == 0) {
		o->link = 1;
		return tar_copy_name(r->entry.link, value, len);
	}
	if (strcmp(key, "size") == 0) {
		o->size = 1;
		return num_parse(value, len, 10, INT64_MAX, &o->size_bytes);
	}
	if (strcmp(key, "mtime") == 0) {
		o->mtime = 1;
		return decimal_time(value, len, &o->mtime_s, &o->mtime_ns);
	}
	if (strcmp(key, "uid") == 0)
		return pax_id(value, len, &o->uid, &o->uid_is);
	if (strcmp(key, "gid") == 0)
		return pax_id(value, len, &o->gid, &o->gid_is);
	if (strncmp(key, sparse, sizeof(sparse) - 1) == 0)
		return pax_sparse(r, key + sizeof(sparse) - 1, value, len);
	return 0;
}

/* One "LENGTH KEY=VALUE\n" at s, of at most max bytes. Its length, or -EINVAL. */
static int pax_record(struct tar_reader *r, char *s, size_t max)
{
	char *space = memchr(s, ' ', max < 8 ? max : 8);
	uint64_t len;

	if (!space || num_parse(s, (size_t)(space - s), 10, max, &len) < 0)
		return -EINVAL;
	char *end = s + len, *key = space + 1;
	char *eq = key < end ? memchr(key, '=', (size_t)(end - key)) : NULL;
	if (!eq || end[-1] != '\n')
		return -EINVAL;
	*eq = 0;
	if (pax_value(r, key, eq + 1, (size_t)(end - 1 - (eq + 1))) < 0)
		return -EINVAL;
	return (int)len;
}

int tar_pax(struct tar_reader *r)
{
	r->over.pax = 1;
	for (size_t at = 0; at < r->extra_len;) {
		int n = pax_record(r, (char *)r->extra + at, r->extra_len - at);

		if (n < 0) {
			r->why = "a broken extended header";
			return -EINVAL;
		}
		at += (size_t)n;
	}
	return 0;
}
