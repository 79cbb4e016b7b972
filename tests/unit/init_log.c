/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/exec/log.h. */
#include "guest-init/exec/log.h"
#include "tests/lib/test.h"

static struct log_store *st;
static uint8_t *mem;

static void make_store(uint32_t n_chunks)
{
	st = calloc(1, sizeof(*st));
	mem = malloc((size_t)n_chunks * LOG_CHUNK_BYTES);
	log_store_init(st, mem, n_chunks);
}

static void free_store(void)
{
	free(st);
	free(mem);
}

TestSuite(init_log, .fini = free_store);

/* Byte i of every stream is this, so that whatever is read can be checked. */
static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static void append(unsigned id, uint64_t order, size_t len)
{
	static uint8_t buf[65536];

	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(st->log[id].end + i);
	log_append(st, &st->log[id], (struct log_mark){order, order * 10}, buf, len);
}

/* Reads all from `from`; checks bytes, order and that there is no gap but the first. */
static size_t read_all(unsigned id, uint64_t from)
{
	uint32_t hint = LOG_NO_CHUNK;
	struct log_piece p;
	uint64_t order = 0;
	size_t n = 0;

	while (log_read(st, &st->log[id], from, &hint, &p)) {
		cr_assert(n == 0 || p.offset == from);
		cr_assert_geq(p.mark.order, order);
		cr_assert_eq(p.mark.time_us, p.mark.order * 10);
		cr_assert_gt(p.len, 0);
		for (size_t i = 0; i < p.len; i++)
			cr_assert_eq(p.data[i], byte_at(p.offset + i));
		order = p.mark.order;
		from = p.offset + p.len;
		n += p.len;
	}
	cr_assert_eq(n == 0 ? st->log[id].end : from, st->log[id].end);
	return n;
}

static uint32_t chunks_held(void)
{
	uint32_t n = 0;

	for (int i = 0; i < LOGS_MAX; i++)
		n += st->log[i].open ? st->log[i].n_chunks : 0;
	return n;
}

static uint32_t chunks_free(void)
{
	uint32_t n = st->n_chunks - st->n_fresh;

	for (uint32_t i = st->free; i != LOG_NO_CHUNK; i = st->chunk[i].next)
		n++;
	return n;
}

Test(init_log, returns_what_was_appended_record_by_record)
{
	uint32_t hint = LOG_NO_CHUNK;
	struct log_piece p;

	make_store(16);
	log_open(st, &st->log[3], 8000);
	cr_assert_eq(log_read(st, &st->log[3], 0, &hint, &p), 0);
	append(3, 1, 5);
	append(3, 4, 7);
	cr_assert(log_read(st, &st->log[3], 0, &hint, &p));
	cr_assert_eq(p.len, 5);
	cr_assert_eq(p.mark.order, 1);
	cr_assert(log_read(st, &st->log[3], 5, &hint, &p));
	cr_assert_eq(p.len, 7);
	cr_assert_eq(p.mark.order, 4);
	cr_assert(log_read(st, &st->log[3], 9, &hint, &p)); /* from the middle of one */
	cr_assert_eq(p.offset, 9);
	cr_assert_eq(p.len, 3);
	cr_assert_eq(log_read(st, &st->log[3], 12, &hint, &p), 0);
}

Test(init_log, a_log_without_output_holds_no_chunk)
{
	make_store(4);
	for (unsigned id = 0; id < LOGS_MAX; id++)
		log_open(st, &st->log[id], 1 << 20);
	cr_assert_eq(chunks_held(), 0);
	append(7, 1, 1);
	cr_assert_eq(chunks_held(), 1);
}

Test(init_log, a_chunk_given_back_is_the_next_one_used)
{
	make_store(64);
	log_open(st, &st->log[0], 100);
	append(0, 1, 10);
	for (int i = 0; i < 100; i++) {
		log_close(st, &st->log[0]);
		log_open(st, &st->log[0], 100);
		append(0, 1, 10);
	}
	cr_assert_eq(st->n_fresh, 1);
}

Test(init_log, keeps_at_least_its_limit_and_drops_the_oldest)
{
	static const size_t sizes[] = {1, 3, 64, 1000, 1023, 1024, 1025, 4096, 65536};

	make_store(4096);
	for (unsigned i = 0; i < countof(sizes); i++) {
		struct log *l = &st->log[i];
		size_t kept;

		log_open(st, &st->log[i], 10000);
		for (uint64_t k = 0; k < 200000 / sizes[i] + 2; k++)
			append(i, k, sizes[i]);
		kept = read_all(i, 0);
		cr_assert_eq(kept, l->end - l->first);
		if (sizes[i] >= 64)
			cr_assert_geq(kept, 10000, "size %zu: %zu", sizes[i], kept);
		cr_assert_leq(l->n_chunks, 10000 / 512 + 2);
	}
}

Test(init_log, reading_from_any_offset_goes_on_where_the_last_piece_ended)
{
	make_store(64);
	log_open(st, &st->log[0], 20000);
	for (uint64_t k = 0; k < 300; k++)
		append(0, k, (size_t)(k * 37 % 400 + 1));
	for (uint64_t from = 0; from <= st->log[0].end; from += 13)
		cr_assert_eq(read_all(0, from),
			     st->log[0].end - (from < st->log[0].first ? st->log[0].first : from));
}

Test(init_log, a_stale_hint_is_noticed)
{
	uint32_t hint = LOG_NO_CHUNK;
	struct log_piece p;

	make_store(8);
	log_open(st, &st->log[0], 2000);
	log_open(st, &st->log[1], 100000);
	append(0, 1, 500);
	cr_assert(log_read(st, &st->log[0], 0, &hint, &p));
	for (uint64_t k = 2; k < 40; k++) {
		append(0, k, 700);
		append(1, k, 700);
		cr_assert(log_read(st, &st->log[0], 0, &hint, &p));
		cr_assert_eq(p.offset, st->log[0].first);
		for (size_t i = 0; i < p.len; i++)
			cr_assert_eq(p.data[i], byte_at(p.offset + i));
		if (k % 3)
			hint = (uint32_t)(k % 9);
	}
}

Test(init_log, when_the_store_is_full_ended_logs_go_first_oldest_chunk_first)
{
	make_store(10);
	for (unsigned id = 0; id < 10; id++) {
		log_open(st, &st->log[id], 100000);
		append(id, 1, 900);
	}
	log_ended(&st->log[6]);
	log_ended(&st->log[4]);
	log_open(st, &st->log[20], 100000);
	append(20, 1, 900);
	cr_assert_eq(st->log[4].n_chunks, 0);
	cr_assert_eq(st->log[6].n_chunks, 1);
	append(20, 2, 900);
	cr_assert_eq(st->log[6].n_chunks, 0);
	append(20, 3, 900); /* it holds most itself now */
	cr_assert_eq(st->log[20].n_chunks, 2);
	cr_assert_gt(st->log[20].first, 0);
	cr_assert_eq(chunks_held(), 10);
}

Test(init_log, a_full_store_of_one_chunk_still_takes_output)
{
	make_store(1);
	log_open(st, &st->log[0], 100000);
	log_open(st, &st->log[1], 100000);
	append(0, 1, 5000);
	append(1, 1, 5000);
	append(0, 2, 3000);
	cr_assert_eq(st->log[0].end, 8000);
	cr_assert_eq(st->log[1].first, 5000);
	cr_assert_gt(read_all(0, 0), 0);
}

Test(init_log, counts_what_nobody_had_seen_when_it_was_dropped)
{
	make_store(64);
	log_open(st, &st->log[0], 1000);
	append(0, 1, 50000);
	cr_assert_eq(st->dropped_bytes, st->log[0].first);
	log_open(st, &st->log[1], 1000);
	for (uint64_t k = 0; k < 50; k++) {
		append(1, k, 1000);
		st->log[1].seen = st->log[1].end;
	}
	cr_assert_eq(st->dropped_bytes, st->log[0].first, "seen bytes were counted");
}

Test(init_log, no_chunk_is_lost_or_held_twice)
{
	unsigned seed = 1;

	make_store(100);
	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned id = seed >> 8 & 31;

		if (!st->log[id].open)
			log_open(st, &st->log[id], seed >> 13 & 0xffff);
		else if ((seed >> 16 & 15) == 0)
			log_close(st, &st->log[id]);
		else if ((seed >> 16 & 15) == 1)
			log_ended(&st->log[id]);
		else
			append(id, (uint64_t)i, (seed >> 16 & 0x3fff) + 1);
		cr_assert_eq(chunks_held() + chunks_free(), 100, "step %d", i);
		if (st->log[id].open && i % 7 == 0)
			(void)read_all(id, 0);
	}
}
