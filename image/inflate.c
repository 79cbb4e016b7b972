/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.c - see inflate.h. */
#include "image/inflate.h"

#include <errno.h>
#include <string.h>

enum {
	WINDOW_LOG_MAX = 27,
	GZIP_ONLY = 16, /* to zlib's window bits */
	MAGIC_BYTES = 4,
};

static const uint8_t gzip_magic[] = {0x1f, 0x8b};
static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};

/* Some bytes, unless there are none left. */
static int inflate_fill(struct inflate *s, struct err *e)
{
	if (s->at < s->len)
		return 0;
	ssize_t n = span_read(&s->from, s->in, sizeof(s->in));
	if (n < 0)
		return err_set(e, (int)-n, "read the archive: %s", strerror((int)-n));
	sha256_add(&s->sum, s->in, (size_t)n);
	s->at = 0;
	s->len = (size_t)n;
	s->bytes_in += (uint64_t)n;
	return 0;
}

/* Enough of it to know it by; a pipe gives what it has. */
static int fill_magic(struct inflate *s, struct err *e)
{
	while (s->len < MAGIC_BYTES) {
		ssize_t n = span_read(&s->from, s->in + s->len, sizeof(s->in) - s->len);

		if (n < 0)
			return err_set(e, (int)-n, "read the archive: %s", strerror((int)-n));
		if (n == 0)
			break;
		s->len += (size_t)n;
	}
	sha256_add(&s->sum, s->in, s->len);
	s->bytes_in = s->len;
	return 0;
}

static enum inflate_kind inflate_kind_of(const struct inflate *s)
{
	if (s->len >= sizeof(gzip_magic) && memcmp(s->in, gzip_magic, sizeof(gzip_magic)) == 0)
		return INFLATE_GZIP;
	if (s->len >= sizeof(zstd_magic) && memcmp(s->in, zstd_magic, sizeof(zstd_magic)) == 0)
		return INFLATE_ZSTD;
	return INFLATE_NOT;
}

static int decoder_open(struct inflate *s, struct err *e)
{
	if (s->kind == INFLATE_GZIP && inflateInit2(&s->z, MAX_WBITS | GZIP_ONLY) != Z_OK)
		return err_set(e, ENOMEM, "no memory for zlib");
	if (s->kind != INFLATE_ZSTD)
		return 0;
	s->zstd = ZSTD_createDStream();
	if (!s->zstd ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return err_set(e, ENOMEM, "no memory for zstd");
	return 0;
}

int inflate_open(struct inflate *s, const struct span *from, uint64_t ratio_max, struct err *e)
{
	s->kind = INFLATE_NOT;
	s->from = *from;
	s->ratio_max = ratio_max;
	s->bytes_in = s->bytes_out = 0;
	s->at = s->len = 0;
	s->z = (z_stream){0};
	s->zstd = NULL;
	s->whole = 1;
	sha256_init(&s->sum);
	int r = fill_magic(s, e);
	if (r < 0)
		return r;
	enum inflate_kind kind = inflate_kind_of(s);
	s->kind = kind;
	return decoder_open(s, e);
}

static ssize_t copy_out(struct inflate *s, uint8_t *buf, size_t room)
{
	size_t n = min_(room, s->len - s->at);

	memcpy(buf, s->in + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

static ssize_t gzip_out(struct inflate *s, uint8_t *buf, size_t room, struct err *e)
{
	if (s->whole && inflateReset(&s->z) != Z_OK) /* the next member */
		return err_set(e, EINVAL, "zlib cannot begin again");
	s->z.next_in = s->in + s->at;
	s->z.avail_in = (uInt)(s->len - s->at);
	s->z.next_out = buf;
	s->z.avail_out = (uInt)room;
	int r = inflate(&s->z, Z_NO_FLUSH);
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return err_set(e, EINVAL, "damaged gzip data: %s",
			       s->z.msg ? s->z.msg : "no reason given");
	s->whole = r == Z_STREAM_END;
	s->at = s->len - s->z.avail_in;
	return (ssize_t)(room - s->z.avail_out);
}

static ssize_t zstd_out(struct inflate *s, uint8_t *buf, size_t room, struct err *e)
{
	ZSTD_inBuffer in = {s->in, s->len, s->at};
	ZSTD_outBuffer out = {buf, room, 0};
	size_t r = ZSTD_decompressStream(s->zstd, &out, &in);

	if (ZSTD_isError(r))
		return err_set(e, EINVAL, "damaged zstd data: %s", ZSTD_getErrorName(r));
	s->whole = r == 0;
	s->at = in.pos;
	return (ssize_t)out.pos;
}

static ssize_t inflate_decode(struct inflate *s, uint8_t *buf, size_t room, struct err *e)
{
	switch (s->kind) {
	case INFLATE_GZIP: return gzip_out(s, buf, room, e);
	case INFLATE_ZSTD: return zstd_out(s, buf, room, e);
	default: return copy_out(s, buf, room);
	}
}

/* What a decoder still holds comes without new bytes. */
static ssize_t inflate_drain(struct inflate *s, uint8_t *buf, size_t room, struct err *e)
{
	if (s->whole || s->kind == INFLATE_NOT)
		return 0;
	ssize_t n = inflate_decode(s, buf, room, e);
	if (n == 0 && !s->whole)
		return err_set(e, EINVAL, "the data end in the middle: truncated");
	return n;
}

ssize_t inflate_read(struct inflate *s, uint8_t *buf, size_t room, struct err *e)
{
	ssize_t n = 0;

	while (n == 0) {
		int r = inflate_fill(s, e);

		if (r < 0)
			return r;
		if (s->at == s->len) {
			n = inflate_drain(s, buf, room, e);
			break;
		}
		n = inflate_decode(s, buf, room, e);
	}
	if (n > 0)
		s->bytes_out += (uint64_t)n;
	if (s->bytes_out > LIMIT_RATIO_FREE_BYTES && s->bytes_out / s->ratio_max > s->bytes_in)
		return err_set(e, EFBIG, "more than %llu times as large as it is compressed",
			       (unsigned long long)s->ratio_max);
	return n;
}

void inflate_close(struct inflate *s)
{
	if (s->kind == INFLATE_GZIP)
		(void)inflateEnd(&s->z);
	if (s->zstd)
		ZSTD_freeDStream(s->zstd);
	s->zstd = NULL;
	s->kind = INFLATE_NOT;
}
