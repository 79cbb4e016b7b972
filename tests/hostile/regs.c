/* SPDX-License-Identifier: Apache-2.0 */
/* regs.c - registers in every order and width; queues set up as no driver would. Every device.
 *
 * Each case begins on a device that was reset.
 */
#include "tests/hostile/guest.h"

/* ---- widths and places ---- */

/* The registers are 32 bits wide; whatever else is read is zero. */
static enum verdict odd_reads(struct dev *d)
{
	uint64_t sum = 0;

	for (unsigned off = 0; off < R_CONFIG; off++) {
		sum |= rd8(d, off) | rd16(d, off) | (off <= R_CONFIG - 8 ? rd64(d, off) : 0);
		if (off % 4)
			sum |= off <= R_CONFIG - 4 ? rd(d, off) : 0;
	}
	return holds(sum == 0 && rd(d, R_MAGIC) == 0x74726976 && rd(d, R_DEVICE_ID) == d->id,
		     IGNORED);
}

static enum verdict odd_writes(struct dev *d)
{
	wr(d, R_STATUS, S_ACK);
	for (unsigned off = R_STATUS - 7; off < R_STATUS + 8; off++) {
		wr8(d, off, 0);
		wr16(d, off, 0);
		wr64(d, off, 0);
		if (off != R_STATUS)
			wr(d, off, 0);
	}
	return holds(status(d) == S_ACK, IGNORED);
}

static enum verdict across_the_page_end(struct dev *d)
{
	uint64_t sum = 0;

	for (unsigned off = PAGE_BYTES - 7; off < PAGE_BYTES; off++) {
		uint64_t v = rd64(d, off) | (off > PAGE_BYTES - 4 ? rd(d, off) : 0);

		/* there the second half is the next device's first register, and no more */
		sum |= off == PAGE_BYTES - 4 ? v ^ 0x74726976ULL << 32 : v;
		wr64(d, off, ~0ULL);
	}
	return holds(sum == 0 && status(d) == 0, IGNORED);
}

static enum verdict read_only_registers(struct dev *d)
{
	static const uint16_t regs[] = {
		R_MAGIC,           R_VERSION,       R_DEVICE_ID,        R_VENDOR,
		R_DEVICE_FEATURES, R_QUEUE_NUM_MAX, R_INTERRUPT_STATUS, R_GENERATION};
	bool kept = true;

	for (size_t i = 0; i < countof(regs); i++) {
		uint32_t was = rd(d, regs[i]);

		wr(d, regs[i], ~was);
		kept &= rd(d, regs[i]) == was;
	}
	return holds(kept && status(d) == 0, IGNORED);
}

static enum verdict configuration_writes(struct dev *d)
{
	uint64_t was = rd64(d, R_CONFIG);

	for (unsigned off = R_CONFIG; off < R_CONFIG + 160; off++) {
		wr8(d, off, 0xff);
		wr64(d, off, ~0ULL);
	}
	return holds(rd64(d, R_CONFIG) == was, IGNORED);
}

static enum verdict configuration_past_its_end(struct dev *d)
{
	uint64_t sum = 0;

	for (unsigned off = R_CONFIG + 120; off < PAGE_BYTES - 8; off += 61)
		sum |= rd64(d, off) | rd(d, off) | rd16(d, off) | rd8(d, off);
	return holds(sum == 0, IGNORED);
}

static enum verdict string_instructions(struct dev *d)
{
	static uint8_t page[PAGE_BYTES];
	void *to = (void *)d->base, *from = page;
	size_t n = PAGE_BYTES / 4;

	__asm__ volatile("rep movsb" : "+D"(from), "+S"(to), "+c"(n)::"memory");
	to = (void *)d->base, n = PAGE_BYTES / 4;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(-1) : "memory");
	return holds(rd(d, R_MAGIC) == 0x74726976, SURVIVED);
}

static enum verdict locked_instructions(struct dev *d)
{
	volatile uint32_t *p = (void *)(d->base + R_STATUS);
	volatile uint64_t *wide = (void *)(d->base + R_STATUS - 4);

	(void)__sync_fetch_and_add(p, 1);
	(void)__sync_bool_compare_and_swap(p, 1, 3);
	(void)__sync_lock_test_and_set(p, 0xffff);
	(void)__sync_fetch_and_or(wide, 5);
	return holds(rd(d, R_MAGIC) == 0x74726976, SURVIVED);
}

static enum verdict empty_slots(struct dev *d)
{
	static struct dev none;

	none.base = device[SLOTS - 1].base + PAGE_BYTES;

	(void)d;
	wr(&none, R_STATUS, S_ACK);
	wr(&none, R_NOTIFY, 0);
	return holds(rd(&none, R_MAGIC) == 0 && rd(&none, R_STATUS) == 0, IGNORED);
}

/* Everything at once, in any order: only the end counts. */
static enum verdict noise(struct dev *d)
{
	for (unsigned i = 0; i < volume(1500); i++) {
		uint32_t r = chance();
		unsigned off = r % (R_CONFIG + 16);
		uint32_t v = r & 1 << 20 ? chance() : r >> 24;

		switch (r >> 16 & 15) {
		case 0: wr8(d, off, (uint8_t)v); break;
		case 1: wr16(d, off, (uint16_t)v); break;
		case 2: wr64(d, off, v); break;
		case 3: (void)rd64(d, off); break;
		case 4: (void)start(d, F_ALL); break;
		case 5: kick(d, v % 4); break;
		case 6: wr(d, R_STATUS, 0); break;
		default: wr(d, off & ~3U, v);
		}
	}
	return SURVIVED;
}

/* ---- status ---- */

static bool is_legal(uint32_t from, uint32_t to)
{
	switch (from) {
	case 0: return to == S_ACK || to == (S_ACK | S_DRIVER);
	case S_ACK: return to == (S_ACK | S_DRIVER);
	case S_ACK | S_DRIVER: return to == S_SET_UP;
	case S_SET_UP: return to == S_LIVE;
	default: return false;
	}
}

static void walk_to(struct dev *d, uint32_t state)
{
	reset(d);
	if (state == S_ACK)
		wr(d, R_STATUS, S_ACK);
	else if (state == (S_ACK | S_DRIVER))
		wr(d, R_STATUS, S_ACK | S_DRIVER);
	else if (state == S_SET_UP)
		(void)negotiate(d, F_ALL);
	else if (state == S_LIVE)
		(void)start(d, F_ALL);
}

static enum verdict status_changes(struct dev *d)
{
	static const uint32_t states[] = {0, S_ACK, S_ACK | S_DRIVER, S_SET_UP, S_LIVE};
	static const uint32_t more[] = {0x100, 0x1003, 0x80000000, 0xffffff0f};
	unsigned changes = 0, unbroken = 0;

	for (size_t i = 0; i < countof(states); i++)
		for (uint32_t to = 1; to < 0x20 + countof(more); to++) {
			uint32_t v = to < 0x20 ? to : more[to - 0x20];

			if (v == states[i] || is_legal(states[i], v))
				continue;
			walk_to(d, states[i]);
			wr(d, R_STATUS, v);
			changes++;
			unbroken += !(status(d) & (S_NEEDS_RESET | S_FAILED));
		}
	note("changes", changes);
	return holds(unbroken == 0, NEEDS_RESET);
}

static enum verdict failed_is_for_good(struct dev *d)
{
	(void)start(d, F_ALL);
	wr(d, R_STATUS, S_LIVE | S_FAILED);
	wr(d, R_STATUS, S_ACK);
	wr(d, R_STATUS, S_LIVE);
	kick(d, 0);
	return holds(status(d) == (S_LIVE | S_FAILED), IGNORED);
}

static enum verdict breaking_is_told(struct dev *d)
{
	(void)start(d, F_ALL);
	wr(d, R_INTERRUPT_ACK, ~0U);
	wr(d, R_STATUS, S_ACK);
	return rd(d, R_INTERRUPT_STATUS) & 2 ? broken_or(d, WRONG) : WRONG;
}

static enum verdict broken_stays_broken(struct dev *d)
{
	(void)start(d, F_ALL);
	wr(d, R_STATUS, S_ACK);
	uint32_t was = status(d);

	wr(d, R_STATUS, was & ~(uint32_t)S_NEEDS_RESET);
	wr(d, R_STATUS, S_LIVE);
	for (unsigned q = 0; q < QUEUES; q++)
		kick(d, q);
	return status(d) == was ? NEEDS_RESET : WRONG;
}

static enum verdict reset_storm(struct dev *d)
{
	for (unsigned i = 0; i < volume(60); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		kick(d, i % 3);
		reset(d);
		reset(d);
	}
	return holds(status(d) == 0, ANSWERED);
}

/* ---- features ---- */

static enum verdict features_not_offered(struct dev *d)
{
	bool taken = false;

	(void)negotiate(d, F_ALL);
	uint64_t offered = d->features;
	for (unsigned bit = 0; bit < 64; bit++) {
		if (offered >> bit & 1)
			continue;
		reset(d);
		taken |= negotiate(d, offered | 1ULL << bit);
	}
	reset(d);
	return holds(!taken && !negotiate(d, offered & ~F_VERSION_1), REFUSED);
}

static enum verdict features_above_63(struct dev *d)
{
	wr(d, R_STATUS, S_ACK | S_DRIVER);
	wr(d, R_DRIVER_FEATURES_SEL, ~0U);
	wr(d, R_DRIVER_FEATURES, 1);
	bool taken = negotiate(d, F_ALL);
	wr(d, R_DEVICE_FEATURES_SEL, ~0U);
	return holds(!taken && rd(d, R_DEVICE_FEATURES) == 0, REFUSED);
}

static enum verdict features_before_driver(struct dev *d)
{
	wr(d, R_STATUS, S_ACK);
	wr(d, R_DRIVER_FEATURES, 1);
	return broken_or(d, WRONG);
}

static enum verdict features_after_their_time(struct dev *d)
{
	(void)start(d, F_ALL);
	wr(d, R_DRIVER_FEATURES, 0);
	return broken_or(d, WRONG);
}

/* ---- queues ---- */

static const uint16_t queue_regs[] = {R_QUEUE_NUM, R_DESC, R_DESC + 4, R_AVAIL,
				      R_AVAIL + 4, R_USED, R_USED + 4};

static enum verdict queues_that_are_not_there(struct dev *d)
{
	const uint32_t sel[] = {d->id == ID_BLK ? 1 : d->id == ID_CONSOLE ? 2 : 3,
				4,
				5,
				255,
				65536,
				0x80000000,
				~0U};
	uint32_t sum = 0;

	(void)negotiate(d, F_ALL);
	for (size_t i = 0; i < countof(sel); i++) {
		wr(d, R_QUEUE_SEL, sel[i]);
		for (size_t k = 0; k < countof(queue_regs); k++)
			wr(d, queue_regs[k], ~0U);
		wr(d, R_QUEUE_READY, 1);
		sum |= rd(d, R_QUEUE_NUM_MAX) | rd(d, R_QUEUE_READY);
	}
	return holds(sum == 0 && status(d) == S_SET_UP, IGNORED);
}

static enum verdict sizes_over_the_maximum(struct dev *d)
{
	uint32_t max = d->size[0];
	const uint32_t size[] = {max + 1, max * 2, 0xffff, 0x10000 + max, ~0U};

	for (size_t i = 0; i < countof(size); i++) {
		walk_to(d, S_SET_UP);
		wr(d, R_QUEUE_SEL, 0);
		wr(d, R_QUEUE_NUM, size[i]);
		if (!is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict sizes_of_no_ring(struct dev *d)
{
	static const uint16_t size[] = {0, 3};

	for (size_t i = 0; i < countof(size); i++) {
		walk_to(d, S_SET_UP);
		add_queue(d, 0, size[i]);
		if (go(d) || !is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

/* Part `off` of queue 0 at addr, and all other queues as they should be. */
static bool breaks_at(struct dev *d, unsigned off, uint64_t addr)
{
	walk_to(d, S_SET_UP);
	for (unsigned q = 1; q < QUEUES && d->size[q]; q++)
		add_queue(d, q, d->size[q]);
	set_queue(d, 0, d->size[0]);
	wr_address(d, off, addr);
	wr(d, R_QUEUE_READY, 1);
	wr(d, R_STATUS, S_LIVE);
	return is_broken(d);
}

static enum verdict addresses_outside_ram(struct dev *d)
{
	const uint64_t addr[] = {ram_end[0] - 8, ram_end[0], 0xc0000000, 0xd0000000,
				 0xfee00000,     0xfffffff0, 1ULL << 40, 1ULL << 63,
				 ram_end[1] - 8, -16ULL,     ram_end[1]};

	for (unsigned off = R_DESC; off <= R_USED; off += R_AVAIL - R_DESC)
		for (size_t i = 0; i < countof(addr); i++)
			if (!breaks_at(d, off, addr[i]))
				return WRONG;
	return NEEDS_RESET;
}

static enum verdict unaligned_addresses(struct dev *d)
{
	return holds(breaks_at(d, R_DESC, at(d->q[0].desc) + 8) &&
			     breaks_at(d, R_AVAIL, at(&d->q[0].avail) + 1) &&
			     breaks_at(d, R_USED, at(&d->q[0].used) + 2),
		     NEEDS_RESET);
}

static enum verdict the_last_bytes_of_ram(struct dev *d)
{
	uint32_t n = d->size[0];

	return holds(!breaks_at(d, R_DESC, ram_end[0] - n * 16) &&
			     !breaks_at(d, R_AVAIL, ram_end[0] - (6 + n * 2)) &&
			     breaks_at(d, R_AVAIL, ram_end[0] - (6 + n * 2) + 2),
		     NEEDS_RESET);
}

static enum verdict parts_that_overlap(struct dev *d)
{
	uint64_t one = at(d->q[0].desc);

	walk_to(d, S_SET_UP);
	set_queue(d, 0, 2);
	wr_address(d, R_DESC, one);
	wr_address(d, R_AVAIL, one);
	wr_address(d, R_USED, one);
	wr(d, R_QUEUE_READY, 1);
	(void)go(d);
	for (unsigned i = 0; i < 200; i++) {
		((volatile uint16_t *)one)[1 + i % 16] = (uint16_t)chance();
		kick(d, 0);
	}
	return SURVIVED;
}

static enum verdict a_queue_outside_its_window(struct dev *d)
{
	static const uint32_t state[] = {S_ACK, S_ACK | S_DRIVER, S_LIVE};

	for (size_t s = 0; s < countof(state); s++)
		for (size_t i = 0; i < countof(queue_regs); i++) {
			walk_to(d, state[s]);
			wr(d, R_QUEUE_SEL, 0);
			wr(d, queue_regs[i], 2);
			if (!is_broken(d))
				return WRONG;
		}
	return NEEDS_RESET;
}

/* It reads 0 then, nobody looks at it any more, and it comes back by a reset alone. */
static enum verdict a_live_queue_is_stopped(struct dev *d)
{
	for (unsigned q = 0; q < QUEUES && d->size[q]; q++) {
		if (!start(d, F_ALL))
			return WRONG;
		wr(d, R_QUEUE_SEL, q);
		wr(d, R_QUEUE_READY, 0);
		if (rd(d, R_QUEUE_READY) || status(d) != S_LIVE)
			return WRONG;
		fill(&d->q[q], 0xff, sizeof(d->q[q])); /* what would break a queue in use */
		for (unsigned k = 0; k < QUEUES; k++)
			kick(d, k);
		barrier();
		if (status(d) != S_LIVE)
			return WRONG;
		wr(d, R_QUEUE_READY, 1);
		if (!is_broken(d) || rd(d, R_QUEUE_READY))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict a_queue_changed_while_ready(struct dev *d)
{
	for (size_t i = 0; i < countof(queue_regs); i++) {
		walk_to(d, S_SET_UP);
		add_queue(d, 0, 2);
		wr(d, queue_regs[i], 2);
		if (!is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict live_without_queues(struct dev *d)
{
	(void)negotiate(d, F_ALL);
	(void)go(d);
	for (unsigned q = 0; q < 4; q++)
		kick(d, q);
	/* vsock cannot be without its queues, the others can */
	return holds(is_broken(d) == (d->id == ID_VSOCK), SURVIVED);
}

/* ---- notifications and interrupts ---- */

static enum verdict notifications_of_nothing(struct dev *d)
{
	static const uint32_t q[] = {0, 1, 2, 3, 4, 0xffff, 0x10000, ~0U};

	for (unsigned live = 0; live < 2; live++) {
		for (size_t i = 0; i < countof(q); i++) {
			wr(d, R_NOTIFY, q[i]);
			wr8(d, R_NOTIFY, (uint8_t)q[i]);
			wr16(d, R_NOTIFY, (uint16_t)q[i]);
			wr64(d, R_NOTIFY, q[i]);
		}
		walk_to(d, S_LIVE);
	}
	return holds(status(d) == S_LIVE, IGNORED);
}

static enum verdict notification_storm(struct dev *d)
{
	unsigned n = volume(4000);

	walk_to(d, S_LIVE);
	for (unsigned i = 0; i < n; i++)
		wr(d, R_NOTIFY, i % 4);
	note("notifications", n);
	return holds(status(d) == S_LIVE, IGNORED);
}

static enum verdict acknowledging_nothing(struct dev *d)
{
	wr(d, R_INTERRUPT_ACK, ~0U);
	wr16(d, R_INTERRUPT_ACK, 0xffff);
	walk_to(d, S_LIVE);
	wr(d, R_INTERRUPT_ACK, ~0U);
	wr(d, R_INTERRUPT_STATUS, ~0U);
	return holds(rd(d, R_INTERRUPT_STATUS) == 0 && status(d) == S_LIVE, IGNORED);
}

static const struct attack attacks[] = {
	{"reads_of_every_width_and_place", IGNORED, odd_reads},
	{"writes_of_every_width_and_place", IGNORED, odd_writes},
	{"accesses_across_the_page_end", IGNORED, across_the_page_end},
	{"read_only_registers", IGNORED, read_only_registers},
	{"configuration_is_read_only", IGNORED, configuration_writes},
	{"configuration_past_its_end", IGNORED, configuration_past_its_end},
	{"string_instructions", SURVIVED, string_instructions},
	{"locked_instructions", SURVIVED, locked_instructions},
	{"empty_slots", IGNORED, empty_slots},
	{"illegal_status_changes", NEEDS_RESET, status_changes},
	{"failed_is_for_good", IGNORED, failed_is_for_good},
	{"breaking_raises_a_configuration_interrupt", NEEDS_RESET, breaking_is_told},
	{"broken_until_reset", NEEDS_RESET, broken_stays_broken},
	{"reset_storm", ANSWERED, reset_storm},
	{"features_not_offered", REFUSED, features_not_offered},
	{"features_above_63", REFUSED, features_above_63},
	{"features_before_driver", NEEDS_RESET, features_before_driver},
	{"features_after_driver_ok", NEEDS_RESET, features_after_their_time},
	{"queues_that_are_not_there", IGNORED, queues_that_are_not_there},
	{"queue_sizes_over_the_maximum", NEEDS_RESET, sizes_over_the_maximum},
	{"queue_sizes_zero_and_odd", NEEDS_RESET, sizes_of_no_ring},
	{"queue_addresses_outside_ram_or_wrapping", NEEDS_RESET, addresses_outside_ram},
	{"queue_addresses_unaligned", NEEDS_RESET, unaligned_addresses},
	{"queue_up_to_and_past_the_end_of_ram", NEEDS_RESET, the_last_bytes_of_ram},
	{"queue_parts_that_overlap", SURVIVED, parts_that_overlap},
	{"queue_set_up_outside_its_window", NEEDS_RESET, a_queue_outside_its_window},
	{"a_live_queue_is_stopped", NEEDS_RESET, a_live_queue_is_stopped},
	{"queue_changed_while_ready", NEEDS_RESET, a_queue_changed_while_ready},
	{"live_without_queues", SURVIVED, live_without_queues},
	{"notifications_of_nothing", IGNORED, notifications_of_nothing},
	{"notification_storm", IGNORED, notification_storm},
	{"acknowledging_nothing", IGNORED, acknowledging_nothing},
	{"noise", SURVIVED, noise},
};

static bool is_reset(struct dev *d)
{
	reset(d);
	return status(d) == 0;
}

void regs_group(void)
{
	const struct group groups[] = {
		{"regs-console", is_reset, console_works, attacks, countof(attacks)},
		{"regs-vsock", is_reset, vsock_works, attacks, countof(attacks)},
		{"regs-blk", is_reset, disk_works, attacks, countof(attacks)},
	};

	run_group(&groups[2], &device[SLOT_DISK]);
	if (volume(100) < 100) /* the code is the same for all */
		return;
	run_group(&groups[0], &device[SLOT_CONSOLE]);
	run_group(&groups[1], &device[SLOT_VSOCK]);
}
