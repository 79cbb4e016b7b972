/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "tests/lib/test.h"
#include "vmm/bus.h"

struct probe { /* what a handler saw */
	unsigned calls;
	uint64_t addr;
	unsigned len;
	bool write;
	int answer;
};

static int on_access(void *user, const struct bus_access *a)
{
	struct probe *p = user;

	p->calls++;
	p->addr = a->addr;
	p->len = a->len;
	p->write = a->write;
	if (!a->write)
		memset(a->data, 0x5a, a->len);
	return p->answer;
}

static int access_at(const struct bus *b, uint64_t addr, unsigned len, void *data)
{
	return bus_access(b, &(struct bus_access){.addr = addr, .data = data, .len = len});
}

static struct bus two(struct probe *lo, struct probe *hi)
{
	struct bus b = {.open = 0xff};

	bus_add(&b, &(struct bus_range){0x1000, 0x10, on_access, lo});
	bus_add(&b, &(struct bus_range){0x1010, 0x10, on_access, hi});
	return b;
}

Test(bus, handler_sees_its_own_offset)
{
	struct probe lo = {0}, hi = {0};
	struct bus b = two(&lo, &hi);
	uint32_t val = 0;

	cr_assert_eq(access_at(&b, 0x1014, 4, &val), 0);
	cr_assert_eq(lo.calls, 0);
	cr_assert_eq(hi.calls, 1);
	cr_assert_eq(hi.addr, 4);
	cr_assert_eq(hi.len, 4);
	cr_assert_eq(val, 0x5a5a5a5a);
}

Test(bus, access_across_the_end_of_a_range_reaches_nobody)
{
	struct probe lo = {0}, hi = {0};
	struct bus b = two(&lo, &hi);
	uint32_t val = 0;

	cr_assert_eq(access_at(&b, 0x100e, 4, &val), 0);
	cr_assert_eq(access_at(&b, 0x101e, 4, &val), 0);
	cr_assert_eq(access_at(&b, 0xffe, 4, &val), 0);
	cr_assert_eq(lo.calls + hi.calls, 0);
	cr_assert_eq(val, 0xffffffff);
	cr_assert_eq(access_at(&b, 0x100c, 4, &val), 0);
	cr_assert_eq(lo.calls, 1);
}

Test(bus, open_bus_reads_its_value_and_ignores_writes)
{
	struct bus pio = {.open = 0xff}, mmio = {0};
	uint64_t val = 0x1122334455667788;

	cr_assert_eq(access_at(&pio, 0x61, 1, &val), 0);
	cr_assert_eq(val, 0x11223344556677ff);
	cr_assert_eq(access_at(&mmio, 0xd0000000, 8, &val), 0);
	cr_assert_eq(val, 0);
	val = 7;
	cr_assert_eq(bus_access(&mmio, &(struct bus_access){.data = &val, .len = 8, .write = true}),
		     0);
	cr_assert_eq(val, 7);
}

Test(bus, addresses_next_to_the_top_do_not_wrap)
{
	struct probe lo = {0}, hi = {0};
	struct bus b = two(&lo, &hi);
	uint64_t val = 0;

	cr_assert_eq(access_at(&b, UINT64_MAX, 8, &val), 0);
	cr_assert_eq(access_at(&b, UINT64_MAX - 7, 8, &val), 0);
	cr_assert_eq(lo.calls + hi.calls, 0);
}

Test(bus, what_the_handler_returns_is_passed_on)
{
	struct probe lo = {.answer = 3}, hi = {0};
	struct bus b = two(&lo, &hi);
	uint8_t val;

	cr_assert_eq(access_at(&b, 0x1000, 1, &val), 3);
	cr_assert_eq(access_at(&b, 0x1010, 1, &val), 0);
}

Test(bus, overlapping_ranges_are_our_mistake, .signal = SIGABRT)
{
	struct probe p = {0};
	struct bus b = two(&p, &p);

	bus_add(&b, &(struct bus_range){0x101f, 1, on_access, &p});
}
