/* SPDX-License-Identifier: Apache-2.0 */
/* racer.c - the second CPU: it changes memory while devices read it, or registers while the first one
 * writes them. See guest.h.
 */
#include "tests/hostile/guest.h"

enum order { REST, FLIP, CALL, HALT };

static struct {
	volatile bool here; /* the second CPU runs */
	volatile enum order order;
	volatile enum order obeyed;
	struct flip flip[RACER_FLIPS];
	unsigned nflips;
	void (*fn)(void);
} racer;

static void store(const struct flip *f, uint64_t v)
{
	switch (f->bytes) {
	case 1: *(volatile uint8_t *)f->place = (uint8_t)v; break;
	case 2: *(volatile uint16_t *)f->place = (uint16_t)v; break;
	case 4: *(volatile uint32_t *)f->place = (uint32_t)v; break;
	default: *(volatile uint64_t *)f->place = v;
	}
}

static void flip_all(void)
{
	for (unsigned i = 0; i < racer.nflips; i++)
		store(&racer.flip[i], racer.flip[i].odd);
	for (unsigned i = 0; i < racer.nflips; i++)
		store(&racer.flip[i], racer.flip[i].even);
}

_Noreturn void racer_main(void);

void racer_main(void)
{
	racer.here = true;
	for (;;) {
		enum order o = racer.order;

		if (o == FLIP)
			flip_all();
		else if (o == CALL)
			racer.fn();
		else if (o == HALT)
			halt();
		else
			__builtin_ia32_pause();
		racer.obeyed = o;
	}
}

bool racer_is_here(void)
{
	uint64_t since = clock_now();

	while (!racer.here && !is_late(since))
		__builtin_ia32_pause();
	return racer.here;
}

static void obey(enum order o)
{
	racer.order = o;
	while (racer.obeyed != o)
		__builtin_ia32_pause();
}

void racer_flip(const struct flip *f, unsigned n)
{
	obey(REST);
	copy(racer.flip, f, n * sizeof(*f));
	racer.nflips = n;
	obey(FLIP);
}

void racer_calls(void (*fn)(void))
{
	obey(REST);
	racer.fn = fn;
	obey(CALL);
}

void racer_rest(void)
{
	obey(REST);
}

void racer_halt(void)
{
	racer.order = HALT;
}
