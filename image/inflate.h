/* SPDX-License-Identifier: Apache-2.0 */
/* inflate.h - a stream of bytes out of a span: gzip, zstd or as it is, told apart by its first bytes.
 *
 * gzip may have several members and zstd several frames, one behind the other, as some builders write them. The
 * checksums of both are checked by their libraries; what is cut off, or goes on with something else, is refused. A zstd
 * window has at most 128 MiB. The sum of the bytes read is taken on the way.
 */
#ifndef IMAGE_INFLATE_H
#define IMAGE_INFLATE_H

#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>
#include <zstd.h>

#include "image/limits.h"
#include "image/span.h"
#include "util/err.h"
#include "util/sha256.h"
#include "util/util.h"

enum { INFLATE_IN_BYTES = 128 << 10 };

enum inflate_kind { INFLATE_NOT, INFLATE_GZIP, INFLATE_ZSTD };

struct inflate {
	enum inflate_kind kind;
	struct span from;
	uint64_t ratio_max, bytes_in, bytes_out;
	int whole; /* what was read so far may be all */
	z_stream z;
	ZSTD_DStream *zstd;
	struct sha256 sum;
	size_t at, len; /* of in, not yet used */
	uint8_t in[INFLATE_IN_BYTES];
};

/* 0 or -errno; inflate_close() in either case. */
must_check int inflate_open(struct inflate *s, const struct span *from, uint64_t ratio_max,
			    struct err *e);
/* Bytes put to buf; 0: the stream is whole, and every byte of the span was read; or -errno. */
must_check ssize_t inflate_read(struct inflate *s, uint8_t *buf, size_t room, struct err *e);
void inflate_close(struct inflate *s);

#endif
