/* SPDX-License-Identifier: Apache-2.0 */
/* tar_head.c - writing tar: ustar, pax where ustar has no room, GNU.sparse 1.0. See tar.h. */
#include "util/tar.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	USTAR_STRING_BYTES = 100,
	USTAR_ID_MAX = 07777777,
	MODE_BITS = 07777,
};

static const uint64_t ustar_size_max = 077777777777;

struct pax { /* records being written */
	char *buf;
	size_t len;
};

/* Digits of a LENGTH that counts them and the rest. */
static size_t pax_digits(size_t rest)
{
	size_t digits = 1;

	for (size_t power = 10; rest + digits >= power; power *= 10)
		digits++;
	return digits;
}

/* "LENGTH KEY=VALUE\n" */
static void pax_add(struct pax *p, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, digits = pax_digits(rest);

	p->len += (size_t)snprintf(p->buf + p->len, rest + digits + 1, "%zu %s=%s\n", rest + digits,
				   key, value);
}

static void pax_add_number(struct pax *p, const char *key, uint64_t v)
{
	char s[24];

	(void)snprintf(s, sizeof(s), "%" PRIu64, v);
	pax_add(p, key, s);
}

/* Before the epoch the fraction counts towards zero, as it is read. */
static void pax_add_mtime(struct pax *p, int64_t s, uint32_t ns)
{
	char text[48];
	int minus = s < 0;

	if (minus && ns) {
		s++;
		ns = 1000000000 - ns;
	}
	uint64_t whole = minus ? -(uint64_t)s : (uint64_t)s;
	(void)snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu32, minus ? "-" : "", whole, ns);
	pax_add(p, "mtime", text);
}

static void pax_of(const struct tar_entry *e, uint64_t payload, struct pax *p)
{
	if (e->sparse) {
		pax_add(p, "GNU.sparse.major", "1");
		pax_add(p, "GNU.sparse.minor", "0");
		pax_add(p, "GNU.sparse.name", e->path);
		pax_add_number(p, "GNU.sparse.realsize", e->size);
	} else if (strlen(e->path) > USTAR_STRING_BYTES) {
		pax_add(p, "path", e->path);
	}
	if (strlen(e->link) > USTAR_STRING_BYTES)
		pax_add(p, "linkpath", e->link);
	if (payload > ustar_size_max)
		pax_add_number(p, "size", payload);
	if (e->uid > USTAR_ID_MAX)
		pax_add_number(p, "uid", e->uid);
	if (e->gid > USTAR_ID_MAX)
		pax_add_number(p, "gid", e->gid);
	if (e->mtime_ns || e->mtime_s < 0 || (uint64_t)e->mtime_s > ustar_size_max)
		pax_add_mtime(p, e->mtime_s, e->mtime_ns);
}

static void octal(uint8_t *field, size_t bytes, uint64_t v, uint64_t max)
{
	char s[24];

	(void)snprintf(s, sizeof(s), "%0*" PRIo64, (int)bytes - 1, v > max ? 0 : v);
	memcpy(field, s, bytes);
}

static void checksum(uint8_t *b)
{
	unsigned sum = 0;
	char s[8];

	memset(b + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += b[i];
	(void)snprintf(s, sizeof(s), "%06o", sum);
	memcpy(b + 148, s, 7);
}

static void ustar(uint8_t *b, char type, const char *name, uint64_t size)
{
	static const char magic[8] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};

	memset(b, 0, TAR_BLOCK_BYTES);
	memcpy(b, name, strnlen(name, USTAR_STRING_BYTES));
	octal(b + 124, 12, size, ustar_size_max);
	b[156] = (uint8_t)type;
	memcpy(b + 257, magic, sizeof(magic));
}

static void put_pax_head(uint64_t records, uint8_t *buf)
{
	ustar(buf, 'x', "PaxHeader", records);
	octal(buf + 100, 8, 0644, MODE_BITS);
	octal(buf + 136, 12, 0, 0);
	checksum(buf);
}

void tar_xattr_head(uint64_t records, uint8_t *buf)
{
	put_pax_head(records, buf);
}

/* "LENGTH SCHILY.xattr.NAME=value\n", where the value is any bytes. */
size_t tar_xattr(const struct tar_xattr *x, uint8_t *buf, size_t room)
{
	static const char key[] = "SCHILY.xattr.";
	size_t rest = strlen(key) + strlen(x->name) + x->len + 3, n = rest + pax_digits(rest);

	if (n >= room)
		return 0;
	int head = snprintf((char *)buf, room, "%zu %s%s=", n, key, x->name);
	memcpy(buf + head, x->value, x->len);
	buf[n - 1] = '\n';
	return n;
}

/* Returns its bytes: header, records, padding. */
static size_t put_pax(const struct tar_entry *e, uint64_t payload, uint8_t *buf)
{
	struct pax p = {.buf = (char *)buf + TAR_BLOCK_BYTES};

	pax_of(e, payload, &p);
	if (p.len == 0)
		return 0;
	put_pax_head(p.len, buf);
	memset(p.buf + p.len, 0, tar_padding(p.len));
	return TAR_BLOCK_BYTES + p.len + tar_padding(p.len);
}

size_t tar_head(const struct tar_entry *e, uint8_t *buf)
{
	static const char types[] = {
		[TAR_FILE] = '0', [TAR_DIR] = '5',  [TAR_SYMLINK] = '2', [TAR_HARDLINK] = '1',
		[TAR_FIFO] = '6', [TAR_CHAR] = '3', [TAR_BLOCK] = '4'};
	uint64_t payload = tar_payload_bytes(e);
	size_t pax = put_pax(e, payload, buf);
	uint8_t *b = buf + pax;

	ustar(b, types[e->type], e->sparse ? "GNUSparseFile.0" : e->path, payload);
	octal(b + 100, 8, e->mode & MODE_BITS, MODE_BITS);
	octal(b + 108, 8, e->uid, USTAR_ID_MAX);
	octal(b + 116, 8, e->gid, USTAR_ID_MAX);
	octal(b + 136, 12, e->mtime_s < 0 ? 0 : (uint64_t)e->mtime_s, ustar_size_max);
	memcpy(b + 157, e->link, strnlen(e->link, USTAR_STRING_BYTES));
	octal(b + 329, 8, e->major, USTAR_ID_MAX);
	octal(b + 337, 8, e->minor, USTAR_ID_MAX);
	checksum(b);
	assert(pax + TAR_BLOCK_BYTES <= TAR_HEAD_MAX_BYTES);
	return pax + TAR_BLOCK_BYTES;
}

size_t tar_map_line(const struct tar_entry *e, size_t line, char *buf)
{
	if (line == 0)
		return (size_t)snprintf(buf, TAR_LINE_MAX_BYTES, "%zu\n", e->n_segments);
	const struct tar_segment *s = &e->segments[line - 1];
	return (size_t)snprintf(buf, TAR_LINE_MAX_BYTES, "%" PRIu64 "\n%" PRIu64 "\n", s->offset,
				s->bytes);
}

uint64_t tar_payload_bytes(const struct tar_entry *e)
{
	char line[TAR_LINE_MAX_BYTES];
	uint64_t map = 0, data = 0;

	if (e->type != TAR_FILE)
		return 0;
	if (!e->sparse)
		return e->size;
	for (size_t i = 0; i <= e->n_segments; i++)
		map += tar_map_line(e, i, line);
	for (size_t i = 0; i < e->n_segments; i++)
		data += e->segments[i].bytes;
	return map + tar_padding(map) + data;
}
