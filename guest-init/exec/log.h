/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - the newest output of every execution, per stream: a store of chunks shared by all.
 *
 * What was read at once is a record: {order, time, bytes}; one that is longer than a chunk continues
 * in the next ones under the same order number. Orders count the reads of an execution, over
 * both streams, so that a replay can interleave them as they were read.
 *
 *   a log keeps at least its newest limit_bytes, and at most twice that in chunks (many tiny records);
 *   the oldest chunk goes first, and only whole ones go;
 *   offsets count the bytes a stream ever carried, so what went shows as `first` above 0;
 *   when no chunk is free, the oldest one of an ended execution goes, then the oldest one of whoever
 *   holds most.
 *
 * Free chunks are a stack: those in use are few and their pages warm. A log without output holds none.
 *
 * Pure: no descriptor, no clock, no allocation.
 */
#ifndef INIT_EXEC_LOG_H
#define INIT_EXEC_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	LOG_CHUNK_BYTES = 1024, /* a page serves four executions that said a line each */
	LOG_STORE_MIN_BYTES = 1 << 20,
	LOG_STORE_MAX_BYTES = 64 << 20,
	LOG_STORE_SHARE = 32, /* of the machine's memory; cg_plan() keeps it from the box */
	LOG_CHUNKS_MAX = LOG_STORE_MAX_BYTES / LOG_CHUNK_BYTES,
	LOGS_MAX = 1280,
};

#define LOG_NO_CHUNK UINT32_MAX

/* How large the store is in a machine with this much memory. */
static inline uint64_t log_store_bytes(uint64_t ram_bytes)
{
	uint64_t n = min_(ram_bytes / LOG_STORE_SHARE, (uint64_t)LOG_STORE_MAX_BYTES);

	return n < LOG_STORE_MIN_BYTES ? LOG_STORE_MIN_BYTES : n;
}

/* When a record was read. */
struct log_mark {
	uint64_t order, time_us;
};

/* Contiguous bytes of one record. */
struct log_piece {
	const uint8_t *data;
	size_t len;
	uint64_t offset;
	struct log_mark mark;
};

/* One stream. All but seen is read-only to others. */
struct log {
	uint64_t first, end; /* offsets of the oldest byte kept and of the next one to come */
	uint64_t seen;       /* its owner's: some view had everything below */
	uint32_t head, tail, n_chunks, limit_bytes;
	int open, ended;
};

struct log_chunk {
	uint64_t first; /* offset of its first byte */
	uint64_t born;  /* counts chunks handed out: the smallest is the oldest */
	uint32_t next;  /* of the log, or of the free stack */
	uint16_t log;
	uint16_t used; /* bytes, heads of records included */
};

struct log_store {
	uint8_t *mem;
	uint32_t n_chunks, n_fresh, free; /* chunks from n_fresh on were never used */
	uint64_t born, dropped_bytes;     /* dropped: overwritten although nobody had seen it */
	struct log log[LOGS_MAX];
	struct log_chunk chunk[LOG_CHUNKS_MAX];
};

/* mem: n_chunks * LOG_CHUNK_BYTES, at least one chunk. st is zeroed. */
void log_store_init(struct log_store *st, uint8_t *mem, uint32_t n_chunks);

/* One of the logs in st begins, empty. */
void log_open(struct log_store *st, struct log *l, uint32_t limit_bytes);

/* Nothing will be appended: its chunks are the first to go when others need some. */
void log_ended(struct log *l);

/* Its chunks are free again. What nobody saw of it is not counted as dropped. */
void log_close(struct log_store *st, struct log *l);

/* Appends; may drop chunks of any log, this one's included. */
void log_append(struct log_store *st, struct log *l, struct log_mark m, const uint8_t *data,
		size_t len);

/* The oldest bytes kept at or above `from`. 0: there are none. *hint is the caller's memory of where
 * it was, LOG_NO_CHUNK at first; it may be stale. Valid until the next log_append(). */
must_check int log_read(const struct log_store *st, const struct log *l, uint64_t from,
			uint32_t *hint, struct log_piece *ret);

#endif
