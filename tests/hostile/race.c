/* SPDX-License-Identifier: Apache-2.0 */
/* race.c - the second CPU changes what the device is just reading, or writes the registers that the
 * first one writes. Two vCPUs. The device is live, and the second CPU rests, before each case.
 *
 * What a single answer should be nobody can say: each is that of one of the values, or the device breaks.
 * The notes tell how often it did either, so that a race that never happened is seen.
 */
#include "tests/hostile/blk.h"
#include "tests/hostile/vsock.h"

enum { ROUNDS = 200, SLOW_ROUNDS = 25 }; /* slow: both CPUs and the VMM wait for each other */

static struct desc table[4];

static bool disk_is_live(struct dev *d)
{
	return start(d, F_ALL);
}

/* Asks the good request at descriptor 0 again and again while the second CPU flips. */
static enum verdict ask_while(struct dev *d, const struct flip *f, unsigned n)
{
	unsigned answered = 0, broken = 0;

	racer_flip(f, n);
	for (unsigned i = 0; i < volume(ROUNDS); i++) {
		blk_status = BLK_NONE;
		expose(d, 0, 0);
		kick(d, 0);
		if (used(d, 0, NULL)) {
			answered++;
			continue;
		}
		broken++;
		racer_rest();
		if (!is_broken(d) || !start(d, F_ALL))
			return WRONG;
		blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
		if (d->q[0].size && f->place >= (void *)table &&
		    f->place < (void *)(table + countof(table)))
			put(d, 0, 0, (struct desc){at(table), 3 * sizeof(table[0]), D_INDIRECT, 0});
		racer_flip(f, n);
	}
	racer_rest();
	note("answered", answered);
	note("broke", broken);
	return SURVIVED;
}

static enum verdict addresses(struct dev *d)
{
	struct desc *e = d->q[0].desc;
	const struct flip f[] = {
		{&e[0].addr, 8, at(&blk_header), ram_end[0] - 8},
		{&e[1].addr, 8, at(blk_data), -256ULL},
	};

	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	return ask_while(d, f, countof(f));
}

static enum verdict lengths(struct dev *d)
{
	struct desc *e = d->q[0].desc;
	const struct flip f[] = {
		{&e[0].len, 4, sizeof(blk_header), 3},
		{&e[1].len, 4, SECTOR_BYTES, ~0U},
		{&e[1].len, 4, SECTOR_BYTES, 0},
		{&e[2].len, 4, 1, 0x80000000},
	};

	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	return ask_while(d, f, countof(f));
}

static enum verdict links(struct dev *d)
{
	struct desc *e = d->q[0].desc;
	const struct flip f[] = {
		{&e[0].next, 2, 1, 0xffff},
		{&e[1].flags, 2, D_NEXT | D_WRITE, D_INDIRECT},
		{&e[1].next, 2, 2, 0},
		{&e[2].flags, 2, D_WRITE, D_NEXT},
	};

	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	return ask_while(d, f, countof(f));
}

static enum verdict an_indirect_table(struct dev *d)
{
	const struct flip f[] = {
		{&table[1].addr, 8, at(blk_data), ram_end[0] - 100},
		{&table[1].next, 2, 2, 3},
		{&table[0].flags, 2, D_NEXT, D_INDIRECT | D_NEXT},
		{&table[2].len, 4, 1, ~0U},
	};

	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	copy(table, d->q[0].desc, 3 * sizeof(table[0]));
	put(d, 0, 0, (struct desc){at(table), 3 * sizeof(table[0]), D_INDIRECT, 0});
	return ask_while(d, f, countof(f));
}

static enum verdict the_head(struct dev *d)
{
	const struct flip f[] = {
		{&d->q[0].avail.ring[0], 2, 0, RING_MAX},
		{&d->q[0].avail.ring[5], 2, 0, 0xffff},
		{&d->q[0].avail.ring[6], 2, 0, 1},
	};

	blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
	return ask_while(d, f, countof(f));
}

/* The index itself jumps ahead and back: some requests are answered early, or the ring breaks. */
static enum verdict the_available_index(struct dev *d)
{
	unsigned broken = 0;

	for (unsigned i = 0; i < volume(SLOW_ROUNDS); i++) {
		uint16_t now = d->q[0].avail_idx;
		const struct flip f = {&d->q[0].avail.idx, 2, now,
				       (uint16_t)(now + (i % 2 ? 3 : 300))};

		blk_put(d, T_IN, 1, SECTOR_BYTES, D_WRITE);
		racer_flip(&f, 1);
		for (unsigned k = 0; k < 5; k++)
			kick(d, 0);
		barrier();
		racer_rest();
		d->q[0].avail_idx = d->q[0].avail.idx =
			d->q[0].used.idx; /* what was taken is taken */
		if (!is_broken(d))
			continue;
		broken++;
		if (!start(d, F_ALL))
			return WRONG;
	}
	note("broke", broken);
	return SURVIVED;
}

/* Checked on the copy: a sector that is legal when it is checked is the one that is used. */
static enum verdict the_request_header(struct dev *d)
{
	const struct flip f[] = {
		{&blk_header.sector, 8, 1, -1ULL},
		{&blk_header.type, 4, T_OUT, T_WRITE_ZEROES},
		{&blk_header.sector, 8, 1, blk_sectors(d)},
	};
	unsigned seen[4] = {0};

	blk_put(d, T_OUT, 1, 8 * SECTOR_BYTES, 0);
	racer_flip(f, countof(f));
	for (unsigned i = 0; i < volume(5 * ROUNDS); i++) {
		uint8_t got = blk_ask(d);

		if (got > BLK_UNSUPP) {
			racer_rest();
			return WRONG;
		}
		seen[got]++;
	}
	racer_rest();
	note("written", seen[BLK_OK]);
	note("refused", seen[BLK_IOERR]);
	return SURVIVED;
}

/* ---- packets ---- */

static struct packet flipped;

static enum verdict packet_headers(struct dev *d)
{
	const struct flip f[] = {
		{(void *)(at(&flipped) + offsetof(struct packet, len)), 4, 0, 4000},
		{(void *)(at(&flipped) + offsetof(struct packet, op)), 2, OP_REQUEST, OP_RW},
		{(void *)(at(&flipped) + offsetof(struct packet, dst_port)), 4, 9, PORT_READY},
		{(void *)(at(&flipped) + offsetof(struct packet, src_cid)), 8, GUEST_CID, 77},
	};
	struct packet got;
	unsigned resets = 0, sent = volume(5 * ROUNDS);

	flipped = vs_packet(OP_REQUEST, 1000, 9);
	racer_flip(f, countof(f));
	for (unsigned i = 0; i < sent; i++) {
		put(d, VS_TX, 0, (struct desc){at(&flipped), HDR_BYTES, D_NEXT, 1});
		put(d, VS_TX, 1, (struct desc){at(vs_payload), 100, 0, 0});
		expose(d, VS_TX, 0);
		kick(d, VS_TX);
		if (!used(d, VS_TX, NULL))
			break;
		while (vs_recv_now(d, &got, NULL))
			resets += got.op == OP_RST;
	}
	racer_rest();
	note("packets", sent);
	note("resets", resets);
	return holds(!is_broken(d), SURVIVED);
}

static enum verdict packet_buffers(struct dev *d)
{
	unsigned broken = 0;

	for (unsigned i = 0; i < volume(SLOW_ROUNDS); i++) {
		struct desc *tx = d->q[VS_TX].desc, *rx = d->q[VS_RX].desc;
		const struct flip f[] = {
			{&tx[1].len, 4, 100, ~0U},
			{&tx[0].flags, 2, D_NEXT, D_WRITE},
			{&rx[i % RX_SIZE].len, 4, RX_BYTES, HDR_BYTES},
			{&rx[(i + 1) % RX_SIZE].addr, 8, at(vs_payload), -1ULL},
		};
		struct packet p = vs_packet(OP_REQUEST, 1000, 9);

		racer_flip(f, countof(f));
		for (unsigned k = 0; k < 10 && vs_send(d, &p, 100); k++)
			;
		racer_rest();
		broken += is_broken(d);
		if (!vs_start(d))
			return WRONG;
	}
	note("broke", broken);
	return SURVIVED;
}

/* ---- registers ---- */

static struct dev *shared;

static void second_resets(void)
{
	wr(shared, R_STATUS, 0);
}

static void second_walks(void)
{
	static const uint32_t step[] = {S_ACK, S_ACK | S_DRIVER, S_SET_UP, S_LIVE, 0};
	static unsigned i;

	wr(shared, R_STATUS, step[i++ % countof(step)]);
}

static void second_changes_queues(void)
{
	static unsigned i;

	wr(shared, R_QUEUE_SEL, i & 3);
	wr(shared, i & 4 ? R_DESC : R_QUEUE_NUM, 0x1000 << (i % 20));
	wr(shared, R_QUEUE_READY, i++ & 1);
}

static void second_notifies(void)
{
	static unsigned i;

	wr(shared, R_NOTIFY, i++ & 3);
	wr(shared, R_INTERRUPT_ACK, ~0U);
}

static void starts(struct dev *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)start(d, F_ALL);
		kick(d, i % 3);
		(void)rd64(d, R_CONFIG);
	}
}

static enum verdict both_write(struct dev *d, void (*second)(void))
{
	shared = d;
	racer_calls(second);
	starts(d, ROUNDS / volume(4));
	racer_rest();
	return SURVIVED;
}

static enum verdict resets(struct dev *d)
{
	return both_write(d, second_resets);
}

static enum verdict status_steps(struct dev *d)
{
	return both_write(d, second_walks);
}

static enum verdict queue_registers(struct dev *d)
{
	return both_write(d, second_changes_queues);
}

static enum verdict notifications(struct dev *d)
{
	return both_write(d, second_notifies);
}

/* The other CPU resets the disk while a request runs that this one queued. */
static enum verdict a_reset_in_mid_request(struct dev *d)
{
	shared = d;
	for (unsigned i = 0; i < volume(SLOW_ROUNDS); i++) {
		fill(blk_data, 0x77, DATA_BYTES);
		if (!start(d, F_ALL))
			return WRONG;
		blk_put(d, T_IN, 0, DATA_BYTES, D_WRITE);
		expose(d, 0, 0);
		kick(d, 0);
		racer_calls(second_resets);
		racer_rest();
		if (!blk_is_still(at(blk_data), DATA_BYTES))
			return WRONG;
	}
	return ANSWERED;
}

static const struct attack disk_attacks[] = {
	{"addresses_change", SURVIVED, addresses},
	{"lengths_change", SURVIVED, lengths},
	{"links_change", SURVIVED, links},
	{"an_indirect_table_changes", SURVIVED, an_indirect_table},
	{"the_head_changes", SURVIVED, the_head},
	{"the_available_index_changes", SURVIVED, the_available_index},
	{"the_request_header_changes", SURVIVED, the_request_header},
	{"a_reset_in_mid_request", ANSWERED, a_reset_in_mid_request},
};
static const struct attack packet_attacks[] = {
	{"packet_headers_change", SURVIVED, packet_headers},
	{"packet_buffers_change", SURVIVED, packet_buffers},
};
static const struct attack register_attacks[] = {
	{"resets", SURVIVED, resets},
	{"status_steps", SURVIVED, status_steps},
	{"queue_registers", SURVIVED, queue_registers},
	{"notifications", SURVIVED, notifications},
};

static enum verdict no_second_cpu(struct dev *d)
{
	(void)d;
	return WRONG;
}

void race_group(void)
{
	static const struct attack none[] = {{"there_is_a_second_cpu", SURVIVED, no_second_cpu}};
	const struct group groups[] = {
		{"race-blk", disk_is_live, disk_works, disk_attacks, countof(disk_attacks)},
		{"race-vsock", vs_start, vsock_works, packet_attacks, countof(packet_attacks)},
		{"race-registers-blk", disk_is_live, disk_works, register_attacks,
		 countof(register_attacks)},
		{"race-registers-vsock", vs_start, vsock_works, register_attacks,
		 countof(register_attacks)},
		{"race-registers-console", disk_is_live, console_works, register_attacks,
		 countof(register_attacks)},
		{"race", disk_is_live, disk_works, none, countof(none)},
	};

	if (!racer_is_here()) {
		run_group(&groups[5], &device[SLOT_DISK]);
		return;
	}
	run_group(&groups[0], &device[SLOT_DISK]);
	run_group(&groups[1], &device[SLOT_VSOCK]);
	run_group(&groups[2], &device[SLOT_DISK]);
	run_group(&groups[3], &device[SLOT_VSOCK]);
	run_group(&groups[4], &device[SLOT_CONSOLE]);
}
