/* SPDX-License-Identifier: Apache-2.0 */
/* data.c - see data.h. */
#include "image/data.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/erofs.h"
#include "util/io.h"

void data_init(struct data *d, int fd, uint64_t bytes_max)
{
	uint64_t blocks = bytes_max / EROFS_BLOCK_BYTES;

	d->fd = fd;
	d->blocks = 0;
	d->blocks_max = blocks < EROFS_HOLE ? (uint32_t)blocks : EROFS_HOLE - 1;
	d->base = d->len = 0;
}

int data_take(struct data *d, uint64_t n, uint32_t *ret_block)
{
	if (n > d->blocks_max - d->blocks)
		return -EFBIG;
	*ret_block = d->blocks;
	d->blocks += (uint32_t)n;
	return 0;
}

/* Up to the next block of the file. */
static size_t data_piece(const struct data *d, size_t i)
{
	return min_((size_t)(EROFS_BLOCK_BYTES - (d->base + i) % EROFS_BLOCK_BYTES), d->len - i);
}

static int data_flush(struct data *d)
{
	size_t start = 0, n;
	int r = 0;

	for (size_t i = 0; i < d->len && r == 0; i += n) {
		n = data_piece(d, i);
		if (!io_is_zero(d->buf + i, n))
			continue;
		r = io_pwrite_all(d->fd, d->buf + start, i - start, d->base + start);
		start = i + n;
	}
	if (r == 0)
		r = io_pwrite_all(d->fd, d->buf + start, d->len - start, d->base + start);
	d->base += d->len;
	d->len = 0;
	return r;
}

/* A small gap is filled, for the sake of few and large writes. */
static int data_skip_to(struct data *d, uint64_t at)
{
	uint64_t gap = at - (d->base + d->len);
	int r = 0;

	assert(at >= d->base + d->len);
	if (gap < EROFS_BLOCK_BYTES && gap <= sizeof(d->buf) - d->len) {
		memset(d->buf + d->len, 0, gap);
		d->len += gap;
		return 0;
	}
	r = data_flush(d);
	d->base = at;
	return r;
}

int data_put(struct data *d, uint64_t at, const uint8_t *p, size_t len)
{
	int r = data_skip_to(d, at);

	while (len > 0 && r == 0) {
		size_t n = min_(len, sizeof(d->buf) - d->len);

		memcpy(d->buf + d->len, p, n);
		d->len += n;
		p += n;
		len -= n;
		if (d->len == sizeof(d->buf))
			r = data_flush(d);
	}
	return r;
}

int data_end(struct data *d)
{
	int r = data_flush(d);

	if (r == 0 && ftruncate(d->fd, (off_t)d->blocks * EROFS_BLOCK_BYTES) < 0)
		r = -errno;
	return r;
}
