/* SPDX-License-Identifier: Apache-2.0 */
/* init_requests.h - what a test asks of guest-init's server about executions; on top of init_fixture.h.
 */
#ifndef TESTS_LIB_INIT_REQUESTS_H
#define TESTS_LIB_INIT_REQUESTS_H

#include "tests/lib/init_fixture.h"

#define unused __attribute__((unused)) /* not every test asks everything */

unused static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

unused static void attach(struct conn *c, uint32_t channel, uint64_t exec, Conker__Attach *a)
{
	Conker__ExecRef ref = CONKER__EXEC_REF__INIT;

	ref.exec = exec;
	if (!a->ref)
		a->ref = &ref;
	ask(c, channel, CONKER__CLIENT_MSG__MSG_ATTACH, a);
	if (a->ref == &ref)
		a->ref = NULL;
}

/* All that is kept, from the beginning. */
unused static struct result replay(uint64_t exec, int follow)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();
	struct result r = {.out = keep(OUT_MAX), .may_gap = 1};

	a.follow = follow;
	attach(&c, 1, exec, &a);
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;)
		step(&c, 1, &r, 100);
	(void)close(c.fd);
	return r;
}

/* The end of a channel of a connection that has served. */
unused static struct result finish_last(struct conn *c, uint32_t channel)
{
	struct result r = finish(c, channel);

	(void)close(c->fd);
	return r;
}

/* Waits for the Exit alone. */
unused static struct result wait_exit(uint64_t exec)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();

	a.no_out = a.no_err = a.follow = 1;
	attach(&c, 1, exec, &a);
	return finish_last(&c, 1);
}

unused static void detach(struct conn *c, uint32_t channel)
{
	Conker__Detach d = CONKER__DETACH__INIT;

	ask(c, channel, CONKER__CLIENT_MSG__MSG_DETACH, &d);
}

unused static struct result list_of(const char *name, uint64_t exec, int all)
{
	Conker__ExecRef ref = CONKER__EXEC_REF__INIT;
	Conker__List l = CONKER__LIST__INIT;
	struct conn c = connect_init();

	ref.name = bytes(name);
	ref.exec = exec;
	l.all = all;
	l.ref = name[0] || exec ? &ref : NULL;
	ask(&c, 77, CONKER__CLIENT_MSG__MSG_LIST, &l);
	return finish_last(&c, 77);
}

unused static Conker__Status status_of(uint64_t exec)
{
	struct result r = list_of("", exec, 0);

	cr_assert_eq(r.listed, 1);
	return r.listing.status;
}

unused static void await_status(uint64_t exec, Conker__Status status)
{
	for (int i = 0; i < WAIT_MS / 10 && status_of(exec) != status; i++)
		usleep(10000);
	cr_assert_eq(status_of(exec), status);
}

/* Until init has read so many bytes from its streams. */
unused static void await_output(uint64_t exec, uint64_t bytes)
{
	struct result r = {0};

	for (int i = 0; i < WAIT_MS / 10; i++) {
		r = list_of("", exec, 1);
		if (r.listing.out_bytes + r.listing.err_bytes >= bytes)
			return;
		usleep(10000);
	}
	cr_assert_fail("it has said %lu bytes", (unsigned long)r.listing.out_bytes);
}

unused static struct result forget(uint64_t exec)
{
	Conker__ExecRef ref = CONKER__EXEC_REF__INIT;
	Conker__Forget f = CONKER__FORGET__INIT;
	struct conn c = connect_init();

	ref.exec = exec;
	f.ref = &ref;
	ask(&c, 78, CONKER__CLIENT_MSG__MSG_FORGET, &f);
	return finish_last(&c, 78);
}

unused static struct result signal_exec(uint64_t exec, uint32_t signo, Conker__Scope scope)
{
	Conker__Signal g = CONKER__SIGNAL__INIT;
	struct conn c = connect_init();

	g.exec = exec;
	g.signo = signo;
	g.scope = scope;
	ask(&c, 79, CONKER__CLIENT_MSG__MSG_SIGNAL, &g);
	return finish_last(&c, 79);
}

/* Starts a script and waits until it is known by number. */
unused static struct result begin(struct conn *c, uint32_t channel, Conker__Start *s,
				  const char *script)
{
	struct result r = {.out = keep(OUT_MAX)};

	start(c, channel, s, (const char *[]){"/bin/sh", "-c", script, NULL});
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.started && !r.done && now_us() < end;)
		step(c, channel, &r, 100);
	cr_assert(r.started, "error %d at %s", r.code, r.step);
	return r;
}

unused static void go_on(struct conn *c, uint32_t channel, struct result *r)
{
	for (int64_t end = now_us() + WAIT_MS * 1000; !r->done && now_us() < end;)
		step(c, channel, r, 100);
	cr_assert_neq(r->done, 0, "no end of channel %u", channel);
}

/* Starts one that nobody watches. */
unused static uint64_t begin_detached(Conker__Start *s, const char *script)
{
	struct conn c = connect_init();

	s->detached = 1;
	struct result r = begin(&c, 1, s, script);
	(void)close(c.fd);
	return r.start.exec;
}

unused static uint64_t sh_detached(const char *script)
{
	Conker__Start s = CONKER__START__INIT;

	return begin_detached(&s, script);
}

#endif
