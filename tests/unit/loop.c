/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - the rules of util/loop.h. */
#include <sys/eventfd.h>

#include "tests/lib/test.h"
#include "util/loop.h"

struct peer {
	struct loop_src src;
	struct loop *loop;
	struct peer *other; /* deleted by this one's callback */
	int calls;
};

static void on_event(struct loop_src *s, uint32_t revents)
{
	struct peer *p = container_of(s, struct peer, src);

	(void)revents;
	p->calls++;
	if (p->other)
		loop_del(p->loop, &p->other->src);
}

static int ready_fd(void)
{
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

Test(loop, calls_a_ready_source_once_per_step)
{
	struct loop l;
	struct peer p = {.loop = &l};
	int fd = ready_fd();

	cr_assert_eq(loop_init(&l), 0);
	cr_assert_eq(loop_add(&l, &p.src, fd, EPOLLIN, on_event), 0);
	cr_assert_eq(loop_step(&l, 0), 1);
	cr_assert_eq(p.calls, 1);
	cr_assert_eq(loop_step(&l, 0), 1, "level-triggered: still ready");
	loop_fini(&l);
	close(fd);
}

Test(loop, source_deleted_by_an_earlier_callback_is_not_called)
{
	struct loop l;
	struct peer a = {.loop = &l}, b = {.loop = &l};
	int fa = ready_fd(), fb = ready_fd();

	a.other = &b;
	b.other = &a;
	cr_assert_eq(loop_init(&l), 0);
	cr_assert_eq(loop_add(&l, &a.src, fa, EPOLLIN, on_event), 0);
	cr_assert_eq(loop_add(&l, &b.src, fb, EPOLLIN, on_event), 0);
	cr_assert_eq(loop_step(&l, 0), 2, "both were fetched in one batch");
	cr_assert_eq(a.calls + b.calls, 1, "whichever came first deleted the other");
	loop_fini(&l);
	close(fa);
	close(fb);
}

Test(loop, delete_twice_is_harmless)
{
	struct loop l;
	struct peer p = {.loop = &l};
	int fd = ready_fd();

	cr_assert_eq(loop_init(&l), 0);
	cr_assert_eq(loop_add(&l, &p.src, fd, EPOLLIN, on_event), 0);
	loop_del(&l, &p.src);
	loop_del(&l, &p.src);
	cr_assert_eq(loop_step(&l, 0), 0);
	cr_assert_eq(p.calls, 0);
	loop_fini(&l);
	close(fd);
}

Test(loop, modified_events_take_effect)
{
	struct loop l;
	struct peer p = {.loop = &l};
	int fd = ready_fd();

	cr_assert_eq(loop_init(&l), 0);
	cr_assert_eq(loop_add(&l, &p.src, fd, 0, on_event), 0);
	cr_assert_eq(loop_step(&l, 0), 0);
	cr_assert_eq(loop_mod(&l, &p.src, EPOLLIN), 0);
	cr_assert_eq(loop_step(&l, 0), 1);
	loop_fini(&l);
	close(fd);
}

Test(loop, refuses_a_bad_descriptor)
{
	struct loop l;
	struct peer p = {.loop = &l};

	cr_assert_eq(loop_init(&l), 0);
	cr_assert_eq(loop_add(&l, &p.src, -1, EPOLLIN, on_event), -EBADF);
	cr_assert_eq(p.src.fd, -1);
	loop_fini(&l);
}

struct order {
	struct loop_call call;
	int *next, seen;
	struct loop *loop;
	struct order *again;
};

static void on_call(struct loop_call *c)
{
	struct order *o = container_of(c, struct order, call);

	o->seen = ++*o->next;
	if (o->again) {
		loop_post(o->loop, &o->again->call);
		o->again = NULL;
	}
}

Test(loop, posted_calls_run_once_in_order)
{
	struct loop l;
	int next = 0;
	struct order o[3] = {{.next = &next}, {.next = &next}, {.next = &next}};

	cr_assert_eq(loop_init(&l), 0);
	for (int i = 0; i < 3; i++) {
		o[i].call.fn = on_call;
		loop_post(&l, &o[i].call);
	}
	cr_assert_eq(loop_step(&l, 0), 1);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(o[i].seen, i + 1);
	cr_assert_eq(loop_step(&l, 0), 0);
	loop_fini(&l);
}

Test(loop, call_posted_by_a_call_runs_in_a_later_step)
{
	struct loop l;
	int next = 0;
	struct order b = {.next = &next, .call.fn = on_call};
	struct order a = {.next = &next, .call.fn = on_call, .loop = &l, .again = &b};

	cr_assert_eq(loop_init(&l), 0);
	loop_post(&l, &a.call);
	cr_assert_eq(loop_step(&l, 0), 1);
	cr_assert_eq(b.seen, 0);
	cr_assert_eq(loop_step(&l, 0), 1);
	cr_assert_eq(b.seen, 2);
	loop_fini(&l);
}
