/* SPDX-License-Identifier: Apache-2.0 */
/* blobs.c - see blobs.h. */
#include "image/blobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/door.h"
#include "image/limits.h"
#include "util/cleanup.h"

static int open_through_door(const struct blobs *b, enum door_verb verb, const char *hex,
			     struct span *ret)
{
	struct door_request q = {.verb = verb};
	struct stat st;

	memcpy(q.hex, hex, strlen(hex) + 1);
	int fd = door_ask(b->door, &q);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		(void)close(fd);
		return -EIO;
	}
	*ret = (struct span){.fd = fd, .bytes = (uint64_t)st.st_size};
	return 0;
}

static int open_member(const struct archive *a, const char *name, struct span *ret)
{
	const struct member *m = archive_find(a, name);

	if (!m)
		return -ENOENT;
	*ret = archive_span(a, m);
	return 0;
}

int blob_open(const struct blobs *b, const char *hex, int64_t bytes, struct span *ret,
	      struct err *e)
{
	char name[MEMBER_NAME_BYTES];

	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	int r = b->archive ? open_member(b->archive, name, ret)
			   : open_through_door(b, DOOR_BLOB, hex, ret);
	if (r < 0)
		return err_set(e, -r, "the blob sha256:%s: %s", hex, strerror(-r));
	if (bytes < 0 || ret->bytes == (uint64_t)bytes)
		return 0;
	r = err_set(e, EBADMSG, "the blob sha256:%s has %llu bytes, and should have %lld", hex,
		    (unsigned long long)ret->bytes, (long long)bytes);
	blob_close(b, ret);
	return r;
}

int blob_open_named(const struct blobs *b, const char *name, struct span *ret)
{
	if (b->archive)
		return open_member(b->archive, name, ret);
	return open_through_door(b, strcmp(name, "index.json") == 0 ? DOOR_INDEX : DOOR_MARK, "",
				 ret);
}

void blob_close(const struct blobs *b, struct span *s)
{
	if (!b->archive)
		(void)close(s->fd);
}

int digest_parse(const char *s, char ret[SHA256_TEXT_BYTES], struct err *e)
{
	static const char kind[] = "sha256:";
	size_t n = sizeof(kind) - 1;

	if (strncmp(s, kind, n) != 0)
		return err_set(e, ENOTSUP, "'%s': a digest of a kind other than sha256", s);
	if (strlen(s + n) != SHA256_TEXT_BYTES - 1 || !sha256_is_at(s + n))
		return err_set(e, EINVAL, "'%s': not a digest", s);
	memcpy(ret, s + n, SHA256_TEXT_BYTES);
	return 0;
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static int read_whole(struct span *s, char *buf, const char *what, struct err *e)
{
	size_t at = 0, bytes = (size_t)s->bytes;

	while (at < bytes) {
		ssize_t n = span_read(s, buf + at, bytes - at);

		if (n <= 0)
			return err_set(e, EIO, "%s: cannot be read as a whole", what);
		at += (size_t)n;
	}
	return 0;
}

int json_read(struct span *s, const char *hex, const char *what, char ret_sum[SHA256_TEXT_BYTES],
	      json_t **ret, struct err *e)
{
	char text[SHA256_TEXT_BYTES];
	struct sha256 sum;
	json_error_t why;
	size_t bytes = (size_t)s->bytes;

	if (s->bytes > LIMIT_JSON_BYTES)
		return err_set(e, EFBIG, "%s: more than %d bytes", what, LIMIT_JSON_BYTES);
	auto_free char *buf = malloc(bytes + 1);
	if (!buf)
		return err_set(e, ENOMEM, "%s: no memory", what);
	int r = read_whole(s, buf, what, e);
	if (r < 0)
		return r;
	sha256_init(&sum);
	sha256_add(&sum, buf, bytes);
	sha256_end(&sum, text);
	if (hex && strcmp(text, hex) != 0)
		/* auto_free is unknown to it: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		return err_set(e, EBADMSG, "%s: its digest is sha256:%s, and should be sha256:%s",
			       what, text, hex);
	if (ret_sum)
		memcpy(ret_sum, text, sizeof(text));
	*ret = json_loadb(buf, bytes, JSON_REJECT_DUPLICATES, &why);
	return *ret ? 0 : err_set(e, EINVAL, "%s: not JSON: %s", what, why.text);
}

int json_blob(const struct blobs *b, const json_t *descriptor, const char *what,
	      char ret_hex[SHA256_TEXT_BYTES], json_t **ret, struct err *e)
{
	const json_t *size = json_object_get(descriptor, "size");
	struct span s = {0};
	int r = digest_parse(json_text(descriptor, "digest"), ret_hex, e);

	if (r == 0)
		r = blob_open(b, ret_hex, json_is_integer(size) ? json_integer_value(size) : -1, &s,
			      e);
	if (r < 0)
		return err_wrap(e, r, "%s", what);
	r = json_read(&s, ret_hex, what, NULL, ret, e);
	blob_close(b, &s);
	return r;
}

const char *json_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}
