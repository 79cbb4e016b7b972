/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - descriptor chains, indirect tables and ring indices that break the rules, on the disk's
 * queue: it takes chains of both directions and indirect tables. The disk is live before each case.
 *
 * Where a case breaks one rule, all the rest of its request is right: what else could it be refused for?
 */
#include "tests/hostile/blk.h"

enum { TABLE_ENTRIES = 128, SEGS_MAX = 64, SIZE = RING_MAX };

static _Alignas(16) struct desc table[TABLE_ENTRIES + 1];

static bool is_live(struct dev *d)
{
	return start(d, F_ALL);
}

static void good_request(struct dev *d)
{
	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
}

static enum verdict outcome(struct dev *d)
{
	return blk_verdict(d, blk_ask(d));
}

/* ---- descriptors ---- */

static enum verdict loop_of_two(struct dev *d)
{
	good_request(d);
	d->q[0].desc[1].next = 0;
	return outcome(d);
}

static enum verdict loop_of_writable(struct dev *d)
{
	good_request(d);
	d->q[0].desc[2] = (struct desc){at(&blk_status), 1, D_WRITE | D_NEXT, 1};
	return outcome(d);
}

static enum verdict self_link(struct dev *d)
{
	good_request(d);
	d->q[0].desc[0].next = 0;
	return outcome(d);
}

static enum verdict next_past_the_table(struct dev *d)
{
	static const uint16_t next[] = {SIZE, SIZE + 1, 255, 256, 0x7fff, 0xffff};

	for (size_t i = 0; i < countof(next); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		good_request(d);
		d->q[0].desc[1].next = next[i];
		if (outcome(d) != NEEDS_RESET)
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict head_past_the_table(struct dev *d)
{
	static const uint16_t head[] = {SIZE, 255, 0x8000, 0xffff};

	for (size_t i = 0; i < countof(head); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		good_request(d);
		expose(d, 0, head[i]);
		kick(d, 0);
		if (used(d, 0, NULL) || !is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict readable_after_writable(struct dev *d)
{
	good_request(d);
	put(d, 0, 2, (struct desc){at(&blk_data), 1, D_NEXT, 3});
	put(d, 0, 3, (struct desc){at(&blk_status), 1, D_WRITE, 0});
	return outcome(d);
}

static enum verdict unknown_flags(struct dev *d)
{
	good_request(d);
	for (unsigned i = 0; i < 3; i++)
		d->q[0].desc[i].flags |= 0xfff8;
	return outcome(d);
}

/* Data of the good request, at an address and of a length where none can be. */
static enum verdict data_at(struct dev *d, uint64_t addr, uint32_t len)
{
	if (!start(d, F_ALL))
		return WRONG;
	blk_put(d, T_IN, 0, len, D_WRITE);
	d->q[0].desc[1].addr = addr;
	return outcome(d);
}

static enum verdict buffers_outside_ram(struct dev *d)
{
	const uint64_t addr[] = {ram_end[0], ram_end[0] - 511, 0xc0000000, 0xd0000000,
				 0xfee00000, 0xfffffff0,       ram_end[1], ram_end[1] - 511,
				 1ULL << 48, 1ULL << 63,       -1ULL,      -512ULL};
	const uint32_t len[] = {SECTOR_BYTES, 0x7fffffff, 0x80000000, ~0U};

	for (size_t i = 0; i < countof(addr); i++)
		for (size_t k = 0; k < countof(len); k++)
			if (data_at(d, addr[i], len[k]) != NEEDS_RESET)
				return WRONG;
	return NEEDS_RESET;
}

static enum verdict header_and_status_outside_ram(struct dev *d)
{
	good_request(d);
	d->q[0].desc[0].addr = -8ULL;
	if (outcome(d) != NEEDS_RESET || !start(d, F_ALL))
		return WRONG;
	good_request(d);
	d->q[0].desc[2].addr = ram_end[0];
	return outcome(d);
}

static enum verdict the_last_bytes_of_ram(struct dev *d)
{
	return data_at(d, ram_end[0] - SECTOR_BYTES, SECTOR_BYTES);
}

/* From below the hole for devices to above it: contiguous in no sense. */
static enum verdict across_the_hole(struct dev *d)
{
	return data_at(d, ram_end[0] - SECTOR_BYTES,
		       (uint32_t) - (uint32_t)ram_end[0] + 2 * SECTOR_BYTES);
}

static enum verdict high_memory(struct dev *d)
{
	if (ram_end[1] == 1ULL << 32)
		return data_at(d, ram_end[1], SECTOR_BYTES) == NEEDS_RESET ? ANSWERED : WRONG;
	return data_at(d, ram_end[1] - SECTOR_BYTES, SECTOR_BYTES);
}

static enum verdict buffers_of_no_length(struct dev *d)
{
	good_request(d);
	d->q[0].desc[1].len = 0;
	return outcome(d);
}

/* Each buffer is legal, and their sum is not: all of RAM, so often that 32 bits overflow. */
static enum verdict lengths_that_overflow(struct dev *d)
{
	uint32_t len = (uint32_t)(ram_end[0] > 0x80000000 ? 0x80000000 : ram_end[0]);
	uint16_t n = (uint16_t)((1ULL << 32) / len);

	good_request(d);
	for (uint16_t i = 1; i <= n; i++)
		table[i] = (struct desc){0, len, D_WRITE | D_NEXT, (uint16_t)(i + 1)};
	table[0] = d->q[0].desc[0];
	table[n + 1] = (struct desc){at(&blk_status), 1, D_WRITE, 0};
	put(d, 0, 0, (struct desc){at(table), (uint32_t)(n + 2) * 16, D_INDIRECT, 0});
	return outcome(d);
}

/* ---- indirect tables ---- */

/* The good request in a table: header, data, status. */
static void good_table(struct dev *d)
{
	good_request(d);
	copy(table, d->q[0].desc, 3 * sizeof(table[0]));
	put(d, 0, 0, (struct desc){at(table), 3 * sizeof(table[0]), D_INDIRECT, 0});
}

static enum verdict table_is_taken(struct dev *d)
{
	good_table(d);
	return outcome(d);
}

static enum verdict table_unaligned(struct dev *d)
{
	good_table(d);
	copy((uint8_t *)table + 7 + 3 * sizeof(table[0]), table, 3 * sizeof(table[0]));
	d->q[0].desc[0].addr = at(table) + 7 + 3 * sizeof(table[0]);
	return outcome(d);
}

/* "The device MUST ignore the write-only flag in the descriptor that refers to an indirect table." */
static enum verdict table_marked_writable(struct dev *d)
{
	good_table(d);
	d->q[0].desc[0].flags |= D_WRITE;
	return outcome(d);
}

static enum verdict table_after_a_buffer(struct dev *d)
{
	good_request(d);
	table[0] = d->q[0].desc[1], table[0].next = 1;
	table[1] = d->q[0].desc[2];
	put(d, 0, 1, (struct desc){at(table), 2 * sizeof(table[0]), D_INDIRECT, 0});
	return outcome(d);
}

static enum verdict table_and_next(struct dev *d)
{
	good_table(d);
	put(d, 0, 1, (struct desc){at(&blk_status), 1, D_WRITE, 0});
	d->q[0].desc[0].flags |= D_NEXT;
	d->q[0].desc[0].next = 1;
	return outcome(d);
}

static enum verdict table_not_negotiated(struct dev *d)
{
	if (!start(d, F_VERSION_1))
		return WRONG;
	good_table(d);
	return outcome(d);
}

static enum verdict table_in_a_table(struct dev *d)
{
	good_table(d);
	table[5] = table[1], table[5].next = 1;
	table[6] = table[2];
	table[1] = (struct desc){at(&table[5]), 2 * sizeof(table[0]), D_INDIRECT, 0};
	return outcome(d);
}

static enum verdict table_inside_itself(struct dev *d)
{
	good_table(d);
	table[1] = (struct desc){at(table), 3 * sizeof(table[0]), D_INDIRECT, 0};
	return outcome(d);
}

/* The table is the queue's own: its first entry says "indirect" once more. */
static enum verdict table_is_the_queue(struct dev *d)
{
	good_request(d);
	put(d, 0, 0, (struct desc){at(d->q[0].desc), 3 * sizeof(table[0]), D_INDIRECT, 0});
	return outcome(d);
}

static enum verdict table_of_odd_length(struct dev *d)
{
	static const uint32_t len[] = {0,  1,  15,         17,         31,
				       47, 49, 0xffffffff, 0x80000001, 0xfffffff0};

	for (size_t i = 0; i < countof(len); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		good_table(d);
		d->q[0].desc[0].len = len[i];
		if (outcome(d) != NEEDS_RESET)
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict table_outside_ram(struct dev *d)
{
	const uint64_t addr[] = {ram_end[0], ram_end[0] - 47, 0xd0000000, ram_end[1],
				 1ULL << 63, -16ULL,          -48ULL};

	for (size_t i = 0; i < countof(addr); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		good_table(d);
		d->q[0].desc[0].addr = addr[i];
		if (outcome(d) != NEEDS_RESET)
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict table_at_the_end_of_ram(struct dev *d)
{
	good_table(d);
	if (ram_end[0] > 1 << 30) /* not mapped here: high_memory and others go there */
		return outcome(d);
	copy((void *)(ram_end[0] - 48), table, 48);
	d->q[0].desc[0].addr = ram_end[0] - 48;
	return outcome(d);
}

static enum verdict next_past_an_indirect_table(struct dev *d)
{
	good_table(d);
	table[1].next = 3;
	return outcome(d);
}

static enum verdict loop_in_a_table(struct dev *d)
{
	good_table(d);
	table[1].next = 1;
	return outcome(d);
}

/* n one-byte buffers of data in a table, and a header and a status: at the limit and past it. */
static enum verdict long_table(struct dev *d, unsigned n)
{
	good_request(d);
	table[0] = d->q[0].desc[0], table[0].next = 1;
	for (uint16_t i = 1; i <= n; i++)
		table[i] =
			(struct desc){at(blk_data) + i * 8, 8, D_WRITE | D_NEXT, (uint16_t)(i + 1)};
	table[n + 1] = (struct desc){at(&blk_status), 1, D_WRITE, 0};
	put(d, 0, 0, (struct desc){at(table), (n + 2) * 16, D_INDIRECT, 0});
	return outcome(d);
}

static enum verdict as_long_as_may_be(struct dev *d)
{
	/* 496 bytes: the disk refuses the size, but not the chain */
	return long_table(d, SEGS_MAX - 2) == REFUSED ? ANSWERED : WRONG;
}

static enum verdict longer_than_may_be(struct dev *d)
{
	return long_table(d, SEGS_MAX - 1);
}

static enum verdict longer_than_the_ring(struct dev *d)
{
	return long_table(d, TABLE_ENTRIES - 2);
}

/* ---- the available ring ---- */

static enum verdict index_jumps(struct dev *d)
{
	static const uint16_t jump[] = {SIZE + 1, SIZE * 2, 0x7fff,
					0x8000,   0xfffe,   0xffff /* back */};

	for (size_t i = 0; i < countof(jump); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		good_request(d);
		d->q[0].avail.idx = jump[i];
		kick(d, 0);
		if (used(d, 0, NULL) || !is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict index_goes_back(struct dev *d)
{
	good_request(d);
	for (unsigned i = 0; i < 3; i++)
		if (blk_ask(d) != BLK_OK)
			return WRONG;
	d->q[0].avail.idx = --d->q[0].avail_idx;
	kick(d, 0);
	return used(d, 0, NULL) ? WRONG : broken_or(d, WRONG);
}

/* The whole ring, each entry the same chain: one used entry for each. */
static enum verdict one_chain_in_all_entries(struct dev *d)
{
	unsigned got = 0;

	good_request(d);
	d->q[0].avail.idx = SIZE; /* the entries are all zero */
	kick(d, 0);
	while (got < SIZE && used(d, 0, NULL))
		got++;
	return holds(got == SIZE, ANSWERED);
}

static enum verdict index_wraps(struct dev *d)
{
	unsigned got = 0;

	blk_put(d, T_GET_ID, 0, 20, D_WRITE); /* needs no file */
	for (unsigned i = 0; i < 65536 + SIZE; i += SIZE) {
		d->q[0].avail.idx = (uint16_t)(i + SIZE);
		kick(d, 0);
		for (unsigned k = 0; k < SIZE && used(d, 0, NULL); k++)
			got++;
	}
	note("requests", got);
	return holds(got >= 65536, ANSWERED);
}

/* All the words of the rings that the device does not own, or should not read back. */
static enum verdict event_index_noise(struct dev *d)
{
	for (unsigned i = 0; i < 200; i++) {
		d->q[0].avail.ring[SIZE] = (uint16_t)chance();
		d->q[0].avail.flags = (uint16_t)chance();
		d->q[0].used.avail_event = (uint16_t)chance();
		d->q[0].used.idx = (uint16_t)chance();
		d->q[0].used.flags = (uint16_t)chance();
		good_request(d);
		expose(d, 0, 0);
		kick(d, 0);
		for (unsigned k = 0; k < 100 && blk_status != BLK_OK; k++)
			barrier(); /* once is not enough: the log's disk may be served first */
		if (blk_status != BLK_OK)
			return broken_or(d, WRONG);
	}
	return ANSWERED;
}

static enum verdict broken_until_reset(struct dev *d)
{
	if (self_link(d) != NEEDS_RESET)
		return WRONG;
	good_request(d);
	for (unsigned i = 0; i < 100; i++) {
		expose(d, 0, 0);
		kick(d, 0);
	}
	barrier();
	return used_now(d, 0, NULL) ? WRONG : broken_or(d, WRONG);
}

/* Descriptors, indices and tables of any content. */
static enum verdict noise(struct dev *d)
{
	unsigned rounds = volume(400), broken = 0;

	for (unsigned i = 0; i < rounds; i++) {
		if (is_broken(d)) {
			broken++;
			if (!start(d, F_ALL))
				return WRONG;
		}
		good_table(d);
		good_request(d);
		for (unsigned k = 0; k < 3; k++) {
			struct desc *e =
				chance() % 2 ? &d->q[0].desc[chance() % 4] : &table[chance() % 4];

			switch (chance() % 5) {
			case 0:
				e->addr = chance() % 2 ? (uint64_t)chance() << (chance() % 33)
						       : at(table);
				break;
			case 1: e->len = chance() >> (chance() % 32); break;
			case 2: e->flags = (uint16_t)(chance() % 8); break;
			case 3: e->next = (uint16_t)(chance() % 5); break;
			default: expose(d, 0, (uint16_t)(chance() % 5));
			}
			/* not over what runs here */
			if (e->addr - 0x1000000 < 0x1000000 && e->flags & D_WRITE)
				e->addr = at(blk_data);
		}
		expose(d, 0, 0);
		kick(d, 0);
		if (i % 4 == 0)
			barrier();
	}
	note("rounds", rounds);
	note("breaks", broken);
	return SURVIVED;
}

static const struct attack attacks[] = {
	{"a_loop_of_two", NEEDS_RESET, loop_of_two},
	{"a_loop_of_writable_descriptors", NEEDS_RESET, loop_of_writable},
	{"a_self_link", NEEDS_RESET, self_link},
	{"next_past_the_table", NEEDS_RESET, next_past_the_table},
	{"head_past_the_table", NEEDS_RESET, head_past_the_table},
	{"readable_after_writable", NEEDS_RESET, readable_after_writable},
	{"unknown_descriptor_flags_mean_nothing", ANSWERED, unknown_flags},
	{"buffers_outside_ram_or_wrapping", NEEDS_RESET, buffers_outside_ram},
	{"header_and_status_outside_ram", NEEDS_RESET, header_and_status_outside_ram},
	{"buffer_up_to_the_end_of_ram", ANSWERED, the_last_bytes_of_ram},
	{"buffer_across_the_device_hole", NEEDS_RESET, across_the_hole},
	{"buffer_up_to_the_end_of_high_ram", ANSWERED, high_memory},
	{"a_buffer_of_no_length", NEEDS_RESET, buffers_of_no_length},
	{"lengths_that_overflow_their_sum", NEEDS_RESET, lengths_that_overflow},
	{"indirect_table", ANSWERED, table_is_taken},
	{"indirect_table_unaligned", ANSWERED, table_unaligned},
	{"indirect_table_marked_writable", ANSWERED, table_marked_writable},
	{"indirect_table_after_a_buffer", ANSWERED, table_after_a_buffer},
	{"indirect_table_and_next", NEEDS_RESET, table_and_next},
	{"indirect_table_not_negotiated", NEEDS_RESET, table_not_negotiated},
	{"indirect_table_in_a_table", NEEDS_RESET, table_in_a_table},
	{"indirect_table_inside_itself", NEEDS_RESET, table_inside_itself},
	{"indirect_table_is_the_queue_itself", NEEDS_RESET, table_is_the_queue},
	{"indirect_table_of_odd_length", NEEDS_RESET, table_of_odd_length},
	{"indirect_table_outside_ram", NEEDS_RESET, table_outside_ram},
	{"indirect_table_up_to_the_end_of_ram", ANSWERED, table_at_the_end_of_ram},
	{"next_past_an_indirect_table", NEEDS_RESET, next_past_an_indirect_table},
	{"a_loop_in_an_indirect_table", NEEDS_RESET, loop_in_a_table},
	{"a_chain_as_long_as_may_be", ANSWERED, as_long_as_may_be},
	{"a_chain_longer_than_may_be", NEEDS_RESET, longer_than_may_be},
	{"a_chain_longer_than_the_ring", NEEDS_RESET, longer_than_the_ring},
	{"available_index_jumps", NEEDS_RESET, index_jumps},
	{"available_index_goes_back", NEEDS_RESET, index_goes_back},
	{"one_chain_in_all_entries", ANSWERED, one_chain_in_all_entries},
	{"indices_wrap", ANSWERED, index_wraps},
	{"flags_and_event_indices_of_any_value", ANSWERED, event_index_noise},
	{"broken_until_reset", NEEDS_RESET, broken_until_reset},
	{"noise", SURVIVED, noise},
};

void queue_group(void)
{
	static const struct group group = {"queue", is_live, disk_works, attacks, countof(attacks)};

	run_group(&group, &device[SLOT_DISK]);
}
