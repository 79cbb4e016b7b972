/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/exec/outbox.h. */
#include "guest-init/exec/outbox.h"
#include "tests/lib/test.h"

static void append(struct outbox *o, const char *s)
{
	memcpy(outbox_room(o, strlen(s)), s, strlen(s));
	outbox_commit(o, strlen(s));
}

Test(init_outbox, sends_in_order)
{
	uint8_t mem[8];
	struct outbox o = {.buf = mem, .size_bytes = sizeof(mem)};

	append(&o, "abc");
	append(&o, "de");
	cr_assert_eq(outbox_pending(&o), 5);
	cr_assert_arr_eq(o.buf + o.head, "abcde", 5);
}

Test(init_outbox, makes_room_by_moving_what_is_pending)
{
	uint8_t mem[8];
	struct outbox o = {.buf = mem, .size_bytes = sizeof(mem)};

	append(&o, "abcdefg");
	outbox_sent(&o, 5);
	cr_assert_eq(outbox_free(&o), 6);
	append(&o, "hijklm");
	cr_assert_eq(outbox_free(&o), 0);
	cr_assert_arr_eq(o.buf + o.head, "fghijklm", 8);
}

Test(init_outbox, starts_over_when_empty)
{
	uint8_t mem[8];
	struct outbox o = {.buf = mem, .size_bytes = sizeof(mem)};

	append(&o, "abcd");
	outbox_sent(&o, 4);
	cr_assert_eq(outbox_pending(&o), 0);
	cr_assert_eq(outbox_room(&o, 8), mem);
}

Test(init_outbox, room_that_is_not_committed_costs_nothing)
{
	uint8_t mem[8];
	struct outbox o = {.buf = mem, .size_bytes = sizeof(mem)};

	(void)!outbox_room(&o, 8);
	cr_assert_eq(outbox_pending(&o), 0);
	append(&o, "abcdefgh");
	cr_assert_eq(outbox_pending(&o), 8);
}
