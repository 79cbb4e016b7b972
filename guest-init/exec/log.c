/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h. */
#include "guest-init/exec/log.h"

#include <assert.h>
#include <string.h>

/* Before the bytes of each record, unaligned. */
struct head {
	uint64_t order, time_us;
	uint32_t len;
} __attribute__((packed));

void log_store_init(struct log_store *st, uint8_t *mem, uint32_t n_chunks)
{
	assert(n_chunks > 0 && n_chunks <= LOG_CHUNKS_MAX);
	st->mem = mem;
	st->n_chunks = n_chunks;
	st->free = LOG_NO_CHUNK;
}

void log_open(struct log_store *st, struct log *l, uint32_t limit_bytes)
{
	assert(l >= st->log && l < st->log + LOGS_MAX && !l->open);
	*l = (struct log){
		.head = LOG_NO_CHUNK, .tail = LOG_NO_CHUNK, .limit_bytes = limit_bytes, .open = 1};
}

void log_ended(struct log *l)
{
	l->ended = 1;
}

static uint8_t *bytes_of(const struct log_store *st, uint32_t chunk)
{
	return st->mem + (size_t)chunk * LOG_CHUNK_BYTES;
}

static uint16_t log_number(const struct log_store *st, const struct log *l)
{
	return (uint16_t)(l - st->log);
}

/* ---- chunks ---- */

/* Unlinks the oldest chunk of l; the caller has a use for it, or puts it on the stack. */
static uint32_t cut_head(struct log_store *st, struct log *l)
{
	uint32_t i = l->head;
	uint32_t next = st->chunk[i].next;

	st->chunk[i].log = LOGS_MAX; /* nobody's: a stale hint must not take it for its own */
	l->head = next;
	l->n_chunks--;
	if (next == LOG_NO_CHUNK)
		l->tail = LOG_NO_CHUNK;
	l->first = next == LOG_NO_CHUNK ? l->end : st->chunk[next].first;
	return i;
}

static void count_dropped(struct log_store *st, const struct log *l, uint64_t from)
{
	uint64_t unseen = l->seen > from ? l->seen : from;

	if (l->first > unseen)
		st->dropped_bytes += l->first - unseen;
}

static void push_free(struct log_store *st, uint32_t i)
{
	st->chunk[i].next = st->free;
	st->free = i;
}

void log_close(struct log_store *st, struct log *l)
{
	while (l->head != LOG_NO_CHUNK)
		push_free(st, cut_head(st, l));
	l->open = 0;
}

/* Whether a chunk is rather taken from a than from b; both hold some. */
static int is_better_victim(const struct log_store *st, const struct log *a, const struct log *b)
{
	if (a->ended != b->ended)
		return a->ended;
	if (a->ended)
		return st->chunk[a->head].born < st->chunk[b->head].born;
	return a->n_chunks > b->n_chunks;
}

static uint32_t steal(struct log_store *st)
{
	struct log *best = NULL;

	for (struct log *l = st->log; l < st->log + LOGS_MAX; l++)
		if (l->open && l->n_chunks > 0 && (!best || is_better_victim(st, l, best)))
			best = l;
	assert(best); /* no chunk is free, so somebody holds one */

	uint64_t from = best->first;
	uint32_t i = cut_head(st, best);
	count_dropped(st, best, from);
	return i;
}

static uint32_t take_chunk(struct log_store *st)
{
	uint32_t i = st->free;

	if (i != LOG_NO_CHUNK)
		st->free = st->chunk[i].next;
	else if (st->n_fresh < st->n_chunks)
		i = st->n_fresh++;
	else
		i = steal(st);
	return i;
}

static void log_grow(struct log_store *st, struct log *l)
{
	uint32_t i = take_chunk(st); /* perhaps l's own: before l is looked at */

	st->chunk[i] = (struct log_chunk){.first = l->end,
					  .born = st->born++,
					  .next = LOG_NO_CHUNK,
					  .log = log_number(st, l)};
	if (l->tail == LOG_NO_CHUNK)
		l->head = i;
	else
		st->chunk[l->tail].next = i;
	l->tail = i;
	l->n_chunks++;
}

/* ---- records ---- */

static size_t room_of(const struct log_store *st, const struct log *l)
{
	return l->tail == LOG_NO_CHUNK ? 0 : LOG_CHUNK_BYTES - st->chunk[l->tail].used;
}

static void trim(struct log_store *st, struct log *l)
{
	uint32_t most = l->limit_bytes / (LOG_CHUNK_BYTES / 2) + 2;
	uint64_t from = l->first;

	while (l->n_chunks > 1 &&
	       (l->end - st->chunk[st->chunk[l->head].next].first >= l->limit_bytes ||
		l->n_chunks > most))
		push_free(st, cut_head(st, l));
	count_dropped(st, l, from);
}

void log_append(struct log_store *st, struct log *l, struct log_mark m, const uint8_t *data,
		size_t len)
{
	assert(l->open);
	while (len > 0) {
		struct head h = {.order = m.order, .time_us = m.time_us};

		if (room_of(st, l) <= sizeof(h))
			log_grow(st, l);
		struct log_chunk *c = &st->chunk[l->tail];
		uint8_t *to = bytes_of(st, l->tail) + c->used;

		h.len = (uint32_t)min_(len, LOG_CHUNK_BYTES - c->used - sizeof(h));
		memcpy(to, &h, sizeof(h));
		memcpy(to + sizeof(h), data, h.len);
		c->used = (uint16_t)(c->used + sizeof(h) + h.len);
		l->end += h.len;
		data += h.len;
		len -= h.len;
	}
	trim(st, l);
}

/* The chunk with the byte at `from`, which is kept. */
static uint32_t find_chunk(const struct log_store *st, const struct log *l, uint64_t from,
			   uint32_t hint)
{
	uint32_t i = l->head;

	if (hint < st->n_fresh && st->chunk[hint].log == log_number(st, l) &&
	    st->chunk[hint].first <= from && st->chunk[hint].first >= l->first)
		i = hint;
	while (st->chunk[i].next != LOG_NO_CHUNK && st->chunk[st->chunk[i].next].first <= from)
		i = st->chunk[i].next;
	return i;
}

int log_read(const struct log_store *st, const struct log *l, uint64_t from, uint32_t *hint,
	     struct log_piece *ret)
{
	struct head h;

	if (from < l->first)
		from = l->first;
	if (from >= l->end)
		return 0;
	*hint = find_chunk(st, l, from, *hint);
	const uint8_t *p = bytes_of(st, *hint);
	uint64_t at = st->chunk[*hint].first;

	for (memcpy(&h, p, sizeof(h)); at + h.len <= from; memcpy(&h, p, sizeof(h))) {
		at += h.len;
		p += sizeof(h) + h.len;
	}
	size_t skip = (size_t)(from - at);
	*ret = (struct log_piece){.data = p + sizeof(h) + skip,
				  .len = h.len - skip,
				  .offset = from,
				  .mark = {h.order, h.time_us}};
	return 1;
}
