/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - output of any shape, and floods of it. The console is live before each case. */
#include "tests/hostile/guest.h"

enum { RX, TX, TX_SIZE = 16 };

static uint8_t text[1 << 16];

static bool is_live(struct dev *d)
{
	return start(d, F_ALL);
}

static bool print(struct dev *d, uint64_t addr, uint32_t len)
{
	put(d, TX, 0, (struct desc){addr, len, 0, 0});
	expose(d, TX, 0);
	kick(d, TX);
	return used(d, TX, NULL);
}

bool console_works(struct dev *d)
{
	text[0] = '.';
	return start(d, F_ALL) && print(d, at(text), 1);
}

/* Output that is writable has nothing to read: nothing is printed, and nothing written. */
static enum verdict writable_output(struct dev *d)
{
	uint32_t len = 1;

	fill(text, 0x11, sizeof(text));
	put(d, TX, 0, (struct desc){at(text), 64, D_WRITE, 0});
	expose(d, TX, 0);
	kick(d, TX);
	return holds(used(d, TX, &len) && len == 0 && text[0] == 0x11, ANSWERED);
}

static enum verdict input_that_never_comes(struct dev *d)
{
	for (uint16_t i = 0; i < 2; i++) {
		put(d, RX, i, (struct desc){-1ULL, ~0U, 0xffff, 0xffff});
		expose(d, RX, i);
	}
	for (unsigned i = 0; i < 50; i++)
		kick(d, RX);
	barrier();
	return holds(!used_now(d, RX, NULL) && status(d) == S_LIVE, IGNORED);
}

static enum verdict bad_rings(struct dev *d)
{
	const struct desc bad[] = {
		{at(text), 1, D_NEXT, 0}, {at(text), 1, D_NEXT, TX_SIZE}, {ram_end[0], 1, 0, 0},
		{at(text), 0, 0, 0},      {at(text), 15, D_INDIRECT, 0},
	};

	for (size_t i = 0; i < countof(bad); i++) {
		if (!start(d, F_ALL))
			return WRONG;
		put(d, TX, 0, bad[i]);
		expose(d, TX, 0);
		kick(d, TX);
		if (used(d, TX, NULL) || !is_broken(d))
			return WRONG;
	}
	return NEEDS_RESET;
}

static enum verdict odd_features(struct dev *d)
{
	/* size, multiport, emergency write: none is offered */
	bool taken = false;

	for (unsigned bit = 0; bit < 3; bit++) {
		reset(d);
		taken |= negotiate(d, F_VERSION_1 | 1ULL << bit);
	}
	return holds(!taken, REFUSED);
}

static enum verdict emergency_write(struct dev *d)
{
	for (unsigned off = 0; off < 12; off++)
		wr8(d, R_CONFIG + off, 'E');
	wr(d, R_CONFIG + 8, 'E');
	return holds(status(d) == S_LIVE, IGNORED);
}

static enum verdict reset_while_it_prints(struct dev *d)
{
	for (unsigned i = 0; i < volume(20); i++) {
		for (uint16_t k = 0; k < TX_SIZE; k++) {
			put(d, TX, k, (struct desc){at(text), sizeof(text), 0, 0});
			expose(d, TX, k);
		}
		kick(d, TX);
		reset(d);
		for (unsigned k = 0; k < 100; k++)
			if (used_now(d, TX, NULL))
				return WRONG;
		if (!start(d, F_ALL))
			return WRONG;
	}
	return ANSWERED;
}

static const struct attack attacks[] = {
	{"writable_output", ANSWERED, writable_output},
	{"input_buffers_are_never_looked_at", IGNORED, input_that_never_comes},
	{"bad_rings", NEEDS_RESET, bad_rings},
	{"features_not_offered", REFUSED, odd_features},
	{"emergency_write", IGNORED, emergency_write},
	{"reset_while_it_prints", ANSWERED, reset_while_it_prints},
};

/* ---- floods ---- */

static enum verdict many_small(struct dev *d)
{
	unsigned n = volume(20000), got = 0;

	for (uint16_t k = 0; k < TX_SIZE; k++)
		put(d, TX, k, (struct desc){at(text), 1, 0, 0});
	while (got < n) {
		for (uint16_t k = 0; k < TX_SIZE; k++)
			expose(d, TX, k);
		kick(d, TX);
		for (uint16_t k = 0; k < TX_SIZE; k++, got++)
			if (!used(d, TX, NULL))
				return WRONG;
	}
	note("writes", got);
	return ANSWERED;
}

static enum verdict few_large(struct dev *d)
{
	unsigned n = volume(32);

	for (unsigned i = 0; i < n; i++)
		if (!print(d, 0x2000000, 1 << 20))
			return WRONG;
	note("MiB", n);
	return ANSWERED;
}

/* A chain of almost 4 GiB is legal. It is printed in turns with other work, and a reset ends it. */
static enum verdict a_chain_of_4_gib(struct dev *d)
{
	uint32_t len = (uint32_t)ram_end[0] / 2;

	for (uint16_t k = 0; k < TX_SIZE; k++)
		put(d, TX, k,
		    (struct desc){0, len, k + 1 < TX_SIZE ? D_NEXT : 0, (uint16_t)(k + 1)});
	expose(d, TX, 0);
	kick(d, TX);
	for (unsigned i = 0; i < 20; i++)
		barrier(); /* other devices have their turn meanwhile */
	bool early = used_now(d, TX, NULL);
	reset(d);
	return holds(!early, ANSWERED);
}

static const struct attack floods[] = {
	{"many_small", ANSWERED, many_small},
	{"few_large", ANSWERED, few_large},
	{"a_chain_of_gigabytes_shares_and_stops", ANSWERED, a_chain_of_4_gib},
};

void console_group(void)
{
	static const struct group group = {"console", is_live, console_works, attacks,
					   countof(attacks)};

	run_group(&group, &device[SLOT_CONSOLE]);
}

void flood_group(void)
{
	static const struct group group = {"flood", is_live, console_works, floods,
					   countof(floods)};

	run_group(&group, &device[SLOT_CONSOLE]);
}
