/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - requests to the disk: sectors past the end, odd sizes, unknown types, headers in pieces, a
 * reset while they are under way. The disk is live before each case.
 */
#include "tests/hostile/blk.h"

struct blk_header blk_header;
uint8_t blk_data[DATA_BYTES];
volatile uint8_t blk_status;

void blk_put(struct dev *d, uint32_t type, uint64_t sector, uint32_t len, uint16_t flags)
{
	blk_header = (struct blk_header){.type = type, .sector = sector};
	blk_status = BLK_NONE;
	put(d, 0, 0, (struct desc){at(&blk_header), sizeof(blk_header), D_NEXT, len ? 1 : 2});
	put(d, 0, 1, (struct desc){at(blk_data), len, (uint16_t)(flags | D_NEXT), 2});
	put(d, 0, 2, (struct desc){at(&blk_status), 1, D_WRITE, 0});
}

uint8_t blk_ask(struct dev *d)
{
	expose(d, 0, 0);
	kick(d, 0);
	return used(d, 0, NULL) ? blk_status : BLK_NONE;
}

uint8_t blk_do(struct dev *d, uint32_t type, uint64_t sector, uint32_t len, uint16_t flags)
{
	blk_put(d, type, sector, len, flags);
	return blk_ask(d);
}

enum verdict blk_verdict(struct dev *d, uint8_t got)
{
	switch (got) {
	case BLK_OK: return ANSWERED;
	case BLK_IOERR:
	case BLK_UNSUPP: return REFUSED;
	default: return broken_or(d, WRONG);
	}
}

uint64_t blk_sectors(const struct dev *d)
{
	return rd64(d, R_CONFIG);
}

bool disk_works(struct dev *d)
{
	uint8_t mark = (uint8_t)chance();

	if (!start(d, F_ALL))
		return false;
	fill(blk_data, mark, SECTOR_BYTES);
	if (blk_do(d, T_OUT, 5, SECTOR_BYTES, 0) != BLK_OK)
		return false;
	fill(blk_data, (uint8_t)~mark, SECTOR_BYTES);
	return blk_do(d, T_IN, 5, SECTOR_BYTES, D_WRITE) == BLK_OK && blk_data[0] == mark &&
	       blk_data[SECTOR_BYTES - 1] == mark;
}

static bool is_live(struct dev *d)
{
	return start(d, F_ALL);
}

/* ---- places and sizes ---- */

static enum verdict past_the_end(struct dev *d)
{
	uint64_t n = blk_sectors(d);
	const uint64_t sector[] = {n,          n + 1, n - 1, 1ULL << 55, (1ULL << 55) - 1,
				   1ULL << 63, -1ULL, -2ULL};
	uint16_t flags[] = {[T_IN] = D_WRITE, [T_OUT] = 0};

	for (uint32_t type = T_IN; type <= T_OUT; type++)
		for (size_t i = 0; i < countof(sector); i++)
			if (blk_do(d, type, sector[i], 2 * SECTOR_BYTES, flags[type]) != BLK_IOERR)
				return WRONG;
	return REFUSED;
}

static enum verdict the_last_sector(struct dev *d)
{
	return blk_verdict(d, blk_do(d, T_IN, blk_sectors(d) - 1, SECTOR_BYTES, D_WRITE));
}

static enum verdict odd_sizes(struct dev *d)
{
	static const uint32_t len[] = {1, 511, 513, 1023, 4095};

	for (size_t i = 0; i < countof(len); i++)
		if (blk_do(d, T_IN, 0, len[i], D_WRITE) != BLK_IOERR ||
		    blk_do(d, T_OUT, 0, len[i], 0) != BLK_IOERR)
			return WRONG;
	return REFUSED;
}

static enum verdict no_data(struct dev *d)
{
	return holds(blk_do(d, T_IN, 0, 0, 0) == BLK_OK && blk_do(d, T_OUT, 0, 0, 0) == BLK_OK,
		     ANSWERED);
}

static enum verdict more_than_the_disk(struct dev *d)
{
	uint32_t len = (uint32_t)(blk_sectors(d) * SECTOR_BYTES) + SECTOR_BYTES;

	blk_put(d, T_IN, 0, len, D_WRITE);
	d->q[0].desc[1].addr = 0x2000000; /* RAM that is free */
	return blk_verdict(d, blk_ask(d));
}

static enum verdict the_wrong_way(struct dev *d)
{
	uint8_t in = blk_do(d, T_IN, 0, SECTOR_BYTES, 0); /* data readable: nothing to fill */
	uint8_t out =
		blk_do(d, T_OUT, 0, SECTOR_BYTES, D_WRITE); /* data writable: nothing to write */

	return holds(in == BLK_IOERR && out == BLK_IOERR, REFUSED);
}

/* ---- types ---- */

static enum verdict unknown_types(struct dev *d)
{
	static const uint32_t known[] = {T_IN, T_OUT, T_FLUSH, T_GET_ID, T_DISCARD, T_WRITE_ZEROES};
	static const uint32_t far[] = {0x100, 0x10000, 0x80000000, 0x80000001, ~0U};

	for (uint32_t t = 0; t < 40 + countof(far); t++) {
		uint32_t type = t < 40 ? t : far[t - 40];
		bool is_known = false;

		for (size_t i = 0; i < countof(known); i++)
			is_known |= known[i] == type;
		if (!is_known && blk_do(d, type, 0, SECTOR_BYTES, D_WRITE) != BLK_UNSUPP)
			return WRONG;
	}
	return REFUSED;
}

static enum verdict get_id_of_any_size(struct dev *d)
{
	static const uint32_t len[] = {0, 1, 19, 20, 21, 4096};

	for (size_t i = 0; i < countof(len); i++) {
		fill(blk_data, 0xee, SECTOR_BYTES);
		if (blk_do(d, T_GET_ID, 0, len[i], D_WRITE) != BLK_OK ||
		    blk_data[len[i] < 20 ? len[i] : 20] != 0xee)
			return WRONG;
	}
	return ANSWERED;
}

static enum verdict flush_with_data(struct dev *d)
{
	return blk_verdict(d, blk_do(d, T_FLUSH, -1ULL, SECTOR_BYTES, 0));
}

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static uint8_t do_ranges(struct dev *d, uint32_t type, const struct range *r, uint32_t len)
{
	copy(blk_data, r, len);
	return blk_do(d, type, 0, len, 0);
}

static enum verdict ranges_past_the_end(struct dev *d)
{
	uint64_t n = blk_sectors(d);
	const struct range r[] = {{n, 1, 0},     {n - 1, 2, 0},      {0, ~0U, 0},
				  {-1ULL, 2, 0}, {1ULL << 55, 1, 0}, {n + 1, 0, 0}};

	for (size_t i = 0; i < countof(r); i++)
		if (do_ranges(d, T_DISCARD, &r[i], sizeof(r[i])) != BLK_IOERR ||
		    do_ranges(d, T_WRITE_ZEROES, &r[i], sizeof(r[i])) != BLK_IOERR)
			return WRONG;
	return REFUSED;
}

static enum verdict ranges_of_odd_number(struct dev *d)
{
	static const struct range r[3] = {{0, 8, 0}, {8, 8, 0}};
	static const uint32_t len[] = {0, 1, 8, 15, 17, 32, 48};

	for (size_t i = 0; i < countof(len); i++)
		if (do_ranges(d, T_DISCARD, r, len[i]) != BLK_IOERR ||
		    do_ranges(d, T_WRITE_ZEROES, r, len[i]) != BLK_IOERR)
			return WRONG;
	return REFUSED;
}

static enum verdict ranges_with_unknown_flags(struct dev *d)
{
	static const struct range r = {0, 8, 0x80000002}, unmap = {0, 8, 1};

	return holds(do_ranges(d, T_DISCARD, &r, sizeof(r)) == BLK_UNSUPP &&
			     do_ranges(d, T_DISCARD, &unmap, sizeof(unmap)) == BLK_UNSUPP &&
			     do_ranges(d, T_WRITE_ZEROES, &r, sizeof(r)) == BLK_UNSUPP,
		     REFUSED);
}

static enum verdict what_was_not_negotiated(struct dev *d)
{
	static const struct range r = {0, 8, 0};

	return holds(start(d, F_VERSION_1) &&
			     do_ranges(d, T_DISCARD, &r, sizeof(r)) == BLK_UNSUPP &&
			     do_ranges(d, T_WRITE_ZEROES, &r, sizeof(r)) == BLK_UNSUPP,
		     REFUSED);
}

static enum verdict writes_to_a_read_only_disk(struct dev *d)
{
	struct dev *ro = &device[SLOT_RO_DISK];
	static const struct range r = {0, 8, 0};

	(void)d;
	return holds(start(ro, F_ALL) && blk_do(ro, T_OUT, 0, SECTOR_BYTES, 0) == BLK_IOERR &&
			     do_ranges(ro, T_DISCARD, &r, sizeof(r)) == BLK_IOERR &&
			     do_ranges(ro, T_WRITE_ZEROES, &r, sizeof(r)) == BLK_IOERR &&
			     blk_do(ro, T_IN, 0, SECTOR_BYTES, D_WRITE) == BLK_OK,
		     REFUSED);
}

/* ---- shapes ---- */

static enum verdict header_in_pieces(struct dev *d)
{
	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	for (uint16_t i = 0; i < sizeof(blk_header); i++)
		put(d, 0, (uint16_t)(10 + i),
		    (struct desc){at(&blk_header) + i, 1, D_NEXT,
				  i == 15 ? 1 : (uint16_t)(11 + i)});
	expose(d, 0, 10);
	kick(d, 0);
	return used(d, 0, NULL) ? blk_verdict(d, blk_status) : WRONG;
}

static enum verdict header_too_short(struct dev *d)
{
	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	d->q[0].desc[0].len = sizeof(blk_header) - 1;
	return blk_verdict(d, blk_ask(d));
}

static enum verdict header_and_data_in_one(struct dev *d)
{
	blk_header = (struct blk_header){.type = T_OUT, .sector = 9};
	copy(blk_data, &blk_header, sizeof(blk_header));
	blk_status = BLK_NONE;
	put(d, 0, 0, (struct desc){at(blk_data), sizeof(blk_header) + SECTOR_BYTES, D_NEXT, 1});
	put(d, 0, 1, (struct desc){at(&blk_status), 1, D_WRITE, 0});
	return blk_verdict(d, blk_ask(d));
}

static enum verdict no_status(struct dev *d)
{
	blk_put(d, T_OUT, 1, SECTOR_BYTES, 0);
	d->q[0].desc[1].flags = 0;
	return blk_verdict(d, blk_ask(d));
}

static enum verdict status_is_readable(struct dev *d)
{
	blk_put(d, T_OUT, 1, SECTOR_BYTES, 0);
	d->q[0].desc[2].flags = 0;
	return blk_verdict(d, blk_ask(d));
}

static enum verdict nothing_but_a_status(struct dev *d)
{
	blk_status = BLK_NONE;
	put(d, 0, 0, (struct desc){at(&blk_status), 1, D_WRITE, 0});
	return blk_verdict(d, blk_ask(d));
}

/* The status byte is the last of the data's own buffer. */
static enum verdict status_in_the_data(struct dev *d)
{
	blk_put(d, T_IN, 1, SECTOR_BYTES + 1, D_WRITE);
	d->q[0].desc[1].flags = D_WRITE;
	blk_data[SECTOR_BYTES] = BLK_NONE;
	(void)blk_ask(d);
	return blk_verdict(d, blk_data[SECTOR_BYTES]);
}

/* The answer is written over the request itself, and over the ring it came from. */
static enum verdict data_over_the_request(struct dev *d)
{
	const uint64_t place[] = {at(&blk_header), at(d->q[0].desc), at(&d->q[0].used),
				  at(&d->q[0].avail)};

	for (size_t i = 0; i < countof(place); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		blk_put(d, T_IN, chance() % 64, 8 * SECTOR_BYTES, D_WRITE);
		d->q[0].desc[1].addr = place[i];
		expose(d, 0, 0);
		kick(d, 0);
		barrier();
		kick(d, 0);
	}
	return SURVIVED;
}

/* ---- reset while requests are under way ---- */

enum { UNDER_WAY = 20, SPARE = 0x2000000 };

static void queue_reads(struct dev *d, uint32_t len)
{
	for (uint16_t i = 0; i < UNDER_WAY; i++) {
		uint16_t first = (uint16_t)(3 * i);

		put(d, 0, first,
		    (struct desc){at(&blk_header), sizeof(blk_header), D_NEXT,
				  (uint16_t)(first + 1)});
		put(d, 0, (uint16_t)(first + 1),
		    (struct desc){SPARE + (uint64_t)i * len, len, D_NEXT | D_WRITE,
				  (uint16_t)(first + 2)});
		put(d, 0, (uint16_t)(first + 2), (struct desc){at(&blk_status), 1, D_WRITE, 0});
		expose(d, 0, first);
	}
	kick(d, 0);
}

static uint32_t sum_of_pages(uint64_t from, uint64_t bytes)
{
	uint32_t sum = 0;

	for (uint64_t p = from; p < from + bytes; p += PAGE_BYTES)
		sum += *(volatile uint32_t *)p;
	return sum;
}

bool blk_is_still(uint64_t from, uint64_t bytes)
{
	uint32_t was = sum_of_pages(from, bytes);

	barrier();
	return sum_of_pages(from, bytes) == was;
}

/* After the reset nothing may be written any more: not even by the request that is just being run. */
static enum verdict reset_in_mid_request(struct dev *d)
{
	const uint32_t len = 1 << 20;
	unsigned rounds = volume(12);

	for (unsigned i = 0; i < rounds; i++) {
		fill((void *)SPARE, 0x5a, (size_t)UNDER_WAY * len);
		if (!start(d, F_ALL))
			return WRONG;
		blk_header = (struct blk_header){.type = i % 6 == 5 ? T_FLUSH : T_IN};
		queue_reads(d, len);
		for (uint32_t spin = chance() % 20000; spin; spin--)
			__builtin_ia32_pause();
		reset(d);
		if (!blk_is_still(SPARE, (uint64_t)UNDER_WAY * len))
			return WRONG;
	}
	note("rounds", rounds);
	return ANSWERED;
}

/* As above, but it is only the queue that is stopped. */
static enum verdict stop_in_mid_request(struct dev *d)
{
	const uint32_t len = 1 << 20;
	unsigned rounds = volume(12);

	for (unsigned i = 0; i < rounds; i++) {
		fill((void *)SPARE, 0x5a, (size_t)UNDER_WAY * len);
		if (!start(d, F_ALL))
			return WRONG;
		blk_header = (struct blk_header){.type = T_IN};
		queue_reads(d, len);
		for (uint32_t spin = chance() % 20000; spin; spin--)
			__builtin_ia32_pause();
		wr(d, R_QUEUE_SEL, 0);
		wr(d, R_QUEUE_READY, 0);
		uint16_t was = d->q[0].used.idx;
		if (rd(d, R_QUEUE_READY) || !blk_is_still(SPARE, (uint64_t)UNDER_WAY * len) ||
		    d->q[0].used.idx != was || status(d) != S_LIVE)
			return WRONG;
	}
	return ANSWERED;
}

static enum verdict a_full_queue_of_flushes(struct dev *d)
{
	unsigned got = 0;

	blk_header = (struct blk_header){.type = T_FLUSH};
	queue_reads(d, 0x1000);
	while (got < UNDER_WAY && used(d, 0, NULL))
		got++;
	return holds(got == UNDER_WAY, ANSWERED);
}

/* Requests of any shape and content. */
static enum verdict noise(struct dev *d)
{
	unsigned requests = volume(600), broken = 0;

	for (unsigned i = 0; i < requests; i++) {
		uint32_t r = chance();

		blk_put(d, r & 1 ? r >> 8 & 15 : r & 15,
			r & 2 ? chance() % 9000 : (uint64_t)chance() << 30,
			r & 4 ? (r >> 8 & 7) * SECTOR_BYTES : r >> 16, r & 8 ? D_WRITE : 0);
		if ((r & 0xf0) == 0)
			d->q[0].desc[chance() % 3].len = chance();
		if ((r & 0xf0) == 0x10)
			d->q[0].desc[chance() % 3].flags = (uint16_t)chance();
		if (blk_ask(d) == BLK_NONE && is_broken(d)) {
			broken++;
			if (!start(d, F_ALL))
				return WRONG;
		}
	}
	note("requests", requests);
	note("breaks", broken);
	return SURVIVED;
}

static const struct attack attacks[] = {
	{"sectors_past_the_end_or_wrapping", REFUSED, past_the_end},
	{"the_last_sector", ANSWERED, the_last_sector},
	{"sizes_of_no_whole_sector", REFUSED, odd_sizes},
	{"no_data", ANSWERED, no_data},
	{"more_than_the_disk", REFUSED, more_than_the_disk},
	{"data_the_wrong_way", REFUSED, the_wrong_way},
	{"unknown_types", REFUSED, unknown_types},
	{"get_id_of_any_size", ANSWERED, get_id_of_any_size},
	{"flush_with_data_and_sector", ANSWERED, flush_with_data},
	{"ranges_past_the_end_or_wrapping", REFUSED, ranges_past_the_end},
	{"ranges_of_odd_number_or_size", REFUSED, ranges_of_odd_number},
	{"ranges_with_unknown_flags", REFUSED, ranges_with_unknown_flags},
	{"discard_that_was_not_negotiated", REFUSED, what_was_not_negotiated},
	{"writes_to_a_read_only_disk", REFUSED, writes_to_a_read_only_disk},
	{"header_in_pieces_of_a_byte", ANSWERED, header_in_pieces},
	{"header_too_short", NEEDS_RESET, header_too_short},
	{"header_and_data_in_one_buffer", ANSWERED, header_and_data_in_one},
	{"no_status", NEEDS_RESET, no_status},
	{"status_not_writable", NEEDS_RESET, status_is_readable},
	{"nothing_but_a_status", NEEDS_RESET, nothing_but_a_status},
	{"status_in_the_data", ANSWERED, status_in_the_data},
	{"data_over_the_request_and_the_rings", SURVIVED, data_over_the_request},
	{"reset_in_mid_request", ANSWERED, reset_in_mid_request},
	{"stop_in_mid_request", ANSWERED, stop_in_mid_request},
	{"a_queue_full_of_flushes", ANSWERED, a_full_queue_of_flushes},
	{"noise", SURVIVED, noise},
};

void blk_group(void)
{
	static const struct group group = {"blk", is_live, disk_works, attacks, countof(attacks)};

	run_group(&group, &device[SLOT_DISK]);
}
