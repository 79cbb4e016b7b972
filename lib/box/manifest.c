/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the manifest of a snapshot: lines of key=value between a first line that names the format and a last
 * one with the checksum of all before it.
 *
 *	conker-snapshot 1
 *	memory_mib=128
 *	disk=ro 65024:1234:2031616:1763697600000000000 28d44f90... /var/lib/conker/images/base.erofs
 *	...
 *	sum=SHA256
 *
 * Each key comes at most once and in the order of the table, except `disk`, which comes once per disk. A byte below
 * space, DEL and '%' are written as %XX. The checksum finds damage, it proves nothing: who may write the directory may
 * have any program run in the boxes that begin with it.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"
#include "util/num.h"

#define FIRST_LINE "conker-snapshot 1"
#define SUM_KEY    "sum="

enum kind { TEXT, NUMBER, STRING, LAYER }; /* STRING: of any length */

static const struct field {
	const char *key;
	enum kind kind;
	size_t offset, size;
} fields[] = {
#define FIELD(kind, key, member)                               \
	{                                                      \
		key, kind, offsetof(struct manifest, member),  \
			sizeof(((struct manifest *)0)->member) \
	}
	FIELD(TEXT, "version", version),
	FIELD(TEXT, "name", name),
	FIELD(TEXT, "id", id),
	FIELD(TEXT, "image", image),
	FIELD(TEXT, "host", host),
	FIELD(TEXT, "cpu", cpu),
	FIELD(TEXT, "cpu_name", cpu_name),
	FIELD(TEXT, "boot", boot),
	FIELD(NUMBER, "memory_mib", memory_mib),
	FIELD(NUMBER, "cpus", cpus),
	FIELD(NUMBER, "flags", flags),
	FIELD(NUMBER, "created_s", created_s),
	FIELD(NUMBER, "taken_s", taken_s),
	FIELD(NUMBER, "synced", synced),
	FIELD(NUMBER, "idle_ms", idle_ms),
	FIELD(NUMBER, "idle_suspend_ms", idle_suspend_ms),
	FIELD(NUMBER, "life_ms", life_ms),
	FIELD(NUMBER, "disk_bytes_per_s", disk_rate[0]),
	FIELD(NUMBER, "disk_ops_per_s", disk_rate[1]),
	FIELD(NUMBER, "vsock_bytes_per_s", vsock_rate[0]),
	FIELD(NUMBER, "vsock_ops_per_s", vsock_rate[1]),
	FIELD(NUMBER, "console_bytes_per_s", console_rate[0]),
	FIELD(NUMBER, "console_ops_per_s", console_rate[1]),
	FIELD(STRING, "append", append),
	FIELD(LAYER, "kernel", kernel),
	FIELD(LAYER, "initrd", initrd),
	FIELD(LAYER, "state", state),
	FIELD(LAYER, "memory", memory),
#undef FIELD
};

static const char disk_key[] = "disk";

/* ---- reading ------------------------------------------------------------------------------------------- */

/* In place. Upper case only, as it is printed. */
static int unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		int high = 0, low = (unsigned char)*s;

		if (*s == '%') {
			high = num_digit(s[1], 16);
			low = high < 0 ? -1 : num_digit(s[2], 16);
			if (low < 0 || high + low == 0 || s[1] > 'F' || s[2] > 'F')
				return -EBADMSG;
			s += 2;
		}
		*to++ = (char)(high << 4 | low);
	}
	*to = 0;
	return 0;
}

/* A decimal number up to the byte `end`, and on behind that. */
static int number(char **s, char end, uint64_t *ret)
{
	const char *at = *s;

	if (num_take(&at, NULL, 10, UINT64_MAX, ret) < 0 || *at != end)
		return -EBADMSG;
	*s += at - *s + (end != 0);
	return 0;
}

/* 64 hex digits, or "-" for none; then a space. */
static int sum(char **s, char ret[SHA256_TEXT_BYTES])
{
	size_t n = strcspn(*s, " ");

	if ((*s)[n] != ' ' || (n != 1 && n != SHA256_TEXT_BYTES - 1) || (n == 1 && **s != '-') ||
	    (n > 1 && strspn(*s, "0123456789abcdef") != n))
		return -EBADMSG;
	memcpy(ret, *s, n);
	ret[n > 1 ? n : 0] = 0;
	*s += n + 1;
	return 0;
}

static int layer(char *s, struct layer *ret)
{
	struct identity *is = &ret->is;

	ret->ro = strncmp(s, "ro ", 3) == 0;
	if (!ret->ro && strncmp(s, "rw ", 3) != 0)
		return -EBADMSG;
	s += 3;
	if (number(&s, ':', &is->dev) < 0 || number(&s, ':', &is->ino) < 0 ||
	    number(&s, ':', &is->size_bytes) < 0 || number(&s, ' ', &is->mtime_ns) < 0 ||
	    sum(&s, ret->sum) < 0 || unescape(s) < 0 || !*s || strlen(s) >= LAYER_PATH_BYTES)
		return -EBADMSG;
	/* A bare name is opened in the snapshot's directory; what is not one is absolute. */
	if (*s != '/' && (strchr(s, '/') || strcmp(s, ".") == 0 || strcmp(s, "..") == 0))
		return -EBADMSG;
	ret->path = s;
	return 0;
}

static int field(const struct field *f, char *value, struct manifest *m)
{
	void *at = (char *)m + f->offset;

	switch (f->kind) {
	case NUMBER: return number(&value, 0, at);
	case LAYER: return layer(value, at);
	case STRING: *(char **)at = value; return unescape(value);
	case TEXT:
		if (strlen(value) >= f->size)
			return -EBADMSG;
		memcpy(at, value, strlen(value) + 1);
		return 0;
	}
	return -EBADMSG;
}

/* One line; *next is the first field that may still come. */
static int line(char *l, size_t *next, struct manifest *m)
{
	char *eq = strchr(l, '=');

	if (!eq)
		return -EBADMSG;
	*eq = 0;
	if (strcmp(l, disk_key) == 0) {
		*next = countof(fields);
		return m->ndisks < countof(m->disk) ? layer(eq + 1, &m->disk[m->ndisks++])
						    : -EBADMSG;
	}
	while (*next < countof(fields) && strcmp(l, fields[*next].key) != 0)
		(*next)++;
	return *next < countof(fields) ? field(&fields[(*next)++], eq + 1, m) : -EBADMSG;
}

/* The text without its last line; -1: that is not its checksum. */
static ssize_t check_sum(const char *text, size_t len)
{
	enum { LAST = sizeof(SUM_KEY) - 1 + SHA256_TEXT_BYTES - 1 + 1 };
	struct sha256 s;
	char want[SHA256_TEXT_BYTES];

	if (len < LAST || text[len - 1] != '\n')
		return -1;
	sha256_init(&s);
	sha256_add(&s, text, len - LAST);
	sha256_end(&s, want);
	text += len - LAST;
	if (memcmp(text, SUM_KEY, sizeof(SUM_KEY) - 1) != 0 ||
	    memcmp(text + sizeof(SUM_KEY) - 1, want, SHA256_TEXT_BYTES - 1) != 0)
		return -1;
	return (ssize_t)(len - LAST);
}

static int parse_lines(char *text, size_t len, struct manifest *m)
{
	size_t next = 0;

	for (char *l = text, *end; l < text + len; l = end + 1) {
		end = memchr(l, '\n', (size_t)(text + len - l));
		if (!end)
			return -EBADMSG;
		*end = 0;
		for (char *c = l; c < end; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				return -EBADMSG;
		if (line(l, &next, m) < 0)
			return -EBADMSG;
	}
	return 0;
}

/* What every user of a manifest takes for granted. */
static int is_sound(const struct manifest *m)
{
	return m->ndisks > 0 && m->disk[0].path && m->disk[0].ro && m->name[0] && m->id[0] &&
	       m->memory_mib > 0 && m->memory_mib <= UINT32_MAX && m->cpus > 0 &&
	       m->cpus <= UINT32_MAX && m->flags <= UINT32_MAX && m->idle_ms <= INT32_MAX &&
	       m->idle_suspend_ms <= INT32_MAX && m->life_ms <= INT32_MAX &&
	       name_check("box", m->name, NULL) == 0 && name_check("box", m->id, NULL) == 0;
}

int manifest_parse(char *text, size_t len, struct manifest *ret, struct err *e)
{
	enum { FIRST = sizeof(FIRST_LINE) };

	memset(ret, 0, sizeof(*ret));
	if (len < FIRST || memcmp(text, FIRST_LINE "\n", FIRST) != 0)
		return err_set(e, EBADMSG,
			       "not a manifest of this format ('" FIRST_LINE
			       "'); take the snapshot "
			       "again with this release");
	ssize_t n = check_sum(text, len);
	if (n < 0 || parse_lines(text + FIRST, (size_t)n - FIRST, ret) < 0 || !is_sound(ret))
		return err_set(e, EBADMSG, "the manifest is damaged; take the snapshot again");
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

struct text {
	char *buf;
	size_t size, len; /* len may pass size: it did not fit */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	size_t at = min_(t->len, t->size);
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(t->buf + at, t->size - at, fmt, ap);
	va_end(ap);
	t->len += n > 0 ? (size_t)n : 0;
}

static void put_escaped(struct text *t, const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f || *s == '%')
			put(t, "%%%02X", (unsigned char)*s);
		else
			put(t, "%c", *s);
	put(t, "\n");
}

static void put_layer(struct text *t, const char *key, const struct layer *l)
{
	if (!l->path)
		return;
	put(t, "%s=%s %" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%" PRIu64 " %s ", key,
	    l->ro ? "ro" : "rw", l->is.dev, l->is.ino, l->is.size_bytes, l->is.mtime_ns,
	    *l->sum ? l->sum : "-");
	put_escaped(t, l->path);
}

static void put_field(struct text *t, const struct field *f, const struct manifest *m)
{
	const void *at = (const char *)m + f->offset;
	const char *string;
	uint64_t n;

	switch (f->kind) {
	case TEXT: put(t, "%s=%s\n", f->key, (const char *)at); break;
	case LAYER: put_layer(t, f->key, at); break;
	case NUMBER:
		memcpy(&n, at, sizeof(n));
		put(t, "%s=%" PRIu64 "\n", f->key, n);
		break;
	case STRING:
		memcpy(&string, at, sizeof(string));
		put(t, "%s=", f->key);
		put_escaped(t, string ? string : "");
		break;
	}
}

ssize_t manifest_print(const struct manifest *m, char *buf, size_t size)
{
	struct text t = {.buf = buf, .size = size};
	char total[SHA256_TEXT_BYTES];
	struct sha256 s;

	put(&t, FIRST_LINE "\n");
	for (size_t i = 0; i < countof(fields); i++)
		put_field(&t, &fields[i], m);
	for (size_t i = 0; i < m->ndisks; i++)
		put_layer(&t, disk_key, &m->disk[i]);
	if (t.len >= size)
		return -ENOSPC;
	sha256_init(&s);
	sha256_add(&s, buf, t.len);
	sha256_end(&s, total);
	put(&t, SUM_KEY "%s\n", total);
	return t.len < size ? (ssize_t)t.len : -ENOSPC;
}

/* ---- files --------------------------------------------------------------------------------------------- */

static int save_as(int dir, const char *beside, const char *name, const char *buf, size_t n,
		   int synced)
{
	auto_close int fd =
		openat(dir, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	int r = io_write_all(fd, buf, n);
	if (r < 0)
		return r;
	if (synced && fsync(fd) < 0)
		return -errno;
	return renameat(dir, beside, dir, name) < 0 ? -errno : 0;
}

int manifest_save(int dir, const char *name, const struct manifest *m, struct err *e)
{
	char beside[NAME_BYTES];
	auto_free char *buf = malloc(MANIFEST_MAX_BYTES);
	ssize_t n = buf ? manifest_print(m, buf, MANIFEST_MAX_BYTES) : -ENOMEM;

	if (n < 0)
		return err_set(e, (int)-n, "manifest: %s", strerror((int)-n));
	(void)snprintf(beside, sizeof(beside), "%s.part", name);
	int r = save_as(dir, beside, name, buf, (size_t)n, m->synced != 0);
	if (r == 0)
		return 0;
	(void)unlinkat(dir, beside, 0);
	return err_set(e, -r, "write '%s': %s", name, strerror(-r));
}

int manifest_load(int dir, const char *name, struct manifest *ret, char **ret_text, struct err *e)
{
	struct stat st;
	auto_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, "%s", name);
	if (fstat(fd, &st) < 0)
		return err_errno(e, "%s", name);
	if (!S_ISREG(st.st_mode) || st.st_size > MANIFEST_MAX_BYTES)
		return err_set(e, EBADMSG, "'%s' is not a manifest", name);
	auto_free char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_set(e, ENOMEM, "no memory for a manifest");
	ssize_t n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return err_errno(e, "read '%s'", name);
	int r = manifest_parse(text, (size_t)n, ret, e);
	if (r == 0)
		*ret_text = take_ptr(text);
	return r;
}
