/* SPDX-License-Identifier: Apache-2.0 */
/* tar_pax.c - what extended headers say: pax records, and the maps of sparse files. See tar_pax.h. */
#include "util/tar_pax.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

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

/* ---- extended attributes ------------------------------------------------------------------------- */

static const char *after(const char *key, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(key, prefix, n) == 0 ? key + n : NULL;
}

/* What does not fit is told. Returns where the value goes, or NULL. */
static uint8_t *xattr_add(struct tar_reader *r, const char *name, size_t name_len, size_t len)
{
	uint8_t *p = r->xattr + r->xattr_len;
	uint32_t size = (uint32_t)len;

	if (name_len + 1 + sizeof(size) + len > sizeof(r->xattr) - r->xattr_len) {
		r->xattrs_over = 1;
		return NULL;
	}
	memcpy(p, name, name_len);
	p[name_len] = 0;
	memcpy(p + name_len + 1, &size, sizeof(size));
	r->xattr_len += name_len + 1 + sizeof(size) + len;
	return p + name_len + 1 + sizeof(size);
}

static int pax_xattr(struct tar_reader *r, const char *name, const char *value, size_t len)
{
	uint8_t *to = xattr_add(r, name, strlen(name), len);

	if (to)
		memcpy(to, value, len);
	return *name ? 0 : -EINVAL;
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* In place: never longer than it was. The bytes, or -EINVAL. */
static ssize_t base64(char *s, size_t len)
{
	uint32_t bits = 0;
	size_t out = 0, n = 0;

	while (len > 0 && s[len - 1] == '=')
		len--;
	for (; n < len; n++) {
		int d = base64_digit(s[n]);

		if (d < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)d;
		if (n % 4 > 0)
			s[out++] = (char)(bits >> (6 - 2 * (n % 4)));
	}
	return n % 4 == 1 ? -EINVAL : (ssize_t)out;
}

/* "%20" is a space: in place. */
static int url_decode(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		int high = num_digit(s[1], 16), low = high < 0 ? -1 : num_digit(s[2], 16);
		if (low < 0 || high + low == 0)
			return -EINVAL;
		*out++ = (char)(high << 4 | low);
		s += 2;
	}
	*out = 0;
	return 0;
}

static int pax_xattr_base64(struct tar_reader *r, char *name, char *value, size_t len)
{
	ssize_t n = base64(value, len);

	return n < 0 || url_decode(name) < 0 ? -EINVAL : pax_xattr(r, name, value, (size_t)n);
}

int tar_next_xattr(const struct tar_reader *r, size_t *at, struct tar_xattr *ret)
{
	const char *p = (const char *)r->xattr + *at;
	uint32_t size;

	if (*at >= r->xattr_len)
		return 0;
	ret->name = p;
	p += strlen(p) + 1;
	memcpy(&size, p, sizeof(size));
	ret->value = (const uint8_t *)p + sizeof(size);
	ret->len = size;
	*at = (size_t)(ret->value + size - r->xattr);
	return 1;
}

/* ---- records --------------------------------------------------------------------------------------- */

/* What may be said of all entries at once, too. */
static int pax_common(struct tar_reader *r, char *key, char *value, size_t len)
{
	struct tar_over *o = &r->over;
	const char *name;

	if (strcmp(key, "mtime") == 0) {
		o->mtime = 1;
		return decimal_time(value, len, &o->mtime_s, &o->mtime_ns);
	}
	if (strcmp(key, "uid") == 0)
		return pax_id(value, len, &o->uid, &o->uid_is);
	if (strcmp(key, "gid") == 0)
		return pax_id(value, len, &o->gid, &o->gid_is);
	if ((name = after(key, "SCHILY.xattr.")))
		return pax_xattr(r, name, value, len);
	if ((name = after(key, "LIBARCHIVE.xattr.")))
		return pax_xattr_base64(r, key + (name - key), value, len);
	return 0;
}

static int pax_value(struct tar_reader *r, char *key, char *value, size_t len)
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
	if (strncmp(key, sparse, sizeof(sparse) - 1) == 0)
		return pax_sparse(r, key + sizeof(sparse) - 1, value, len);
	return pax_common(r, key, value, len);
}

typedef int pax_fn(struct tar_reader *r, char *key, char *value, size_t len);

/* One "LENGTH KEY=VALUE\n" at s, of at most max bytes, to fn. Its length, or -EINVAL. */
static int pax_record(struct tar_reader *r, char *s, size_t max, pax_fn *fn)
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
	if (fn(r, key, eq + 1, (size_t)(end - 1 - (eq + 1))) < 0)
		return -EINVAL;
	return (int)len;
}

static int pax_records(struct tar_reader *r, uint8_t *s, size_t len, pax_fn *fn)
{
	for (size_t at = 0; at < len;) {
		int n = pax_record(r, (char *)s + at, len - at, fn);

		if (n < 0) {
			r->why = "a broken extended header";
			return -EINVAL;
		}
		at += (size_t)n;
	}
	return 0;
}

int tar_pax(struct tar_reader *r)
{
	r->over.pax = 1;
	return pax_records(r, r->extra, r->extra_len, pax_value);
}

/* Reading them takes them apart: a copy. */
int tar_pax_global(struct tar_reader *r)
{
	memcpy(r->scratch, r->global, r->global_len);
	return pax_records(r, r->scratch, r->global_len, pax_common);
}
