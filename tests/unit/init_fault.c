/* SPDX-License-Identifier: Apache-2.0 */
/* init_fault.c - guest-init serves an execution while each of its calls fails once (tests/fault/inject.h): the
 * client gets a result, an error that names a step, or the end of its connection; the next one is served;
 * no descriptor and no process is left.
 */
#include <sys/mman.h>

#include "tests/fault/inject.h"
#include "tests/lib/init_requests.h"

TestSuite(init_fault, .init = start_server, .fini = stop_server, .timeout = 240);

#ifdef __SANITIZE_ADDRESS__
Test(init_fault, each_call_may_fail_once)
{
	cr_skip_test("not linked with inject.o");
}
#else

enum {
	ROUNDS_MAX = 400,
	SETTLE_MS = 20000,
	FDS_PER_GROUP = 4,
};

static int on_one_cpu;

static void start_on_one_cpu(void)
{
	on_one_cpu = 1;
	start_server();
}

TestSuite(init_fault_on_one_cpu, .init = start_on_one_cpu, .fini = stop_server, .timeout = 240);

static struct fault_page *page;

__attribute__((constructor)) static void make_page(void)
{
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		abort();
}

void server_begins(struct server *s)
{
	cpu_set_t ours;
	size_t cpu = 0;

	(void)s;
	if (on_one_cpu && sched_getaffinity(0, sizeof(ours), &ours) == 0) {
		while (!CPU_ISSET(cpu, &ours))
			cpu++;
		CPU_ZERO(&ours);
		CPU_SET(cpu, &ours);
		(void)sched_setaffinity(0, sizeof(ours), &ours);
	}
	inject_use(page);
}

static void arm(int kind, long at)
{
	page->kind = FAULT_NONE;
	page->hit = 0;
	page->at = at;
	for (int k = 0; k < FAULT_KINDS; k++)
		page->count[k] = 0;
	page->kind = kind;
}

static int count_in(const char *what)
{
	char path[64], buf[4096];
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", server_pid, what);
	if (strcmp(what, "fd") == 0) {
		DIR *d = opendir(path);

		while (d && readdir(d))
			n++;
		if (d)
			closedir(d);
		return n;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	(void)close(fd);
	for (ssize_t i = 0; i < len; i++)
		n += buf[i] == ' ';
	return n;
}

static int children(void)
{
	char what[32];

	(void)snprintf(what, sizeof(what), "task/%d/children", server_pid);
	return count_in(what);
}

/* What a connection and an execution had is given back a little after their end. A group is kept for the
 * next one: a second, when an execution began before the last one's was empty. */
static void settle(int fds, int kids, const char *call, long at)
{
	int now_fds = 0, now_kids = 0;

	for (int ms = 0; ms < SETTLE_MS; ms += 2) {
		now_fds = count_in("fd");
		now_kids = children();
		if (now_fds <= fds + FDS_PER_GROUP && now_kids <= kids)
			return;
		usleep(2000);
	}
	cr_assert_fail("%s, call %ld: %d descriptors instead of %d, %d children instead of %d",
		       call, at, now_fds, fds, now_kids, kids);
}

/* 1: the call that was to fail came. */
static int one_round(int kind, long at, int tty)
{
	arm(kind, at);
	struct conn c = connect_init();
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	s.tty = tty ? &t : NULL;
	start(&c, 1, &s, (const char *[]){"/bin/sh", "-c", "echo hello", NULL});
	struct result r = finish_last(&c, 1);

	page->kind = FAULT_NONE;
	if (r.done == 'x')
		cr_assert(r.exit.code == 0 && said(&r, tty ? "hello\r\n" : "hello\n"),
			  "%s, call %ld of %d: status %d, %zu bytes", page->call, at, kind,
			  r.exit.code, r.out_len);
	else if (r.done == 'e')
		cr_assert(r.code > 0 && r.step[0], "%s, call %ld of %d: error %d in step '%s'",
			  page->call, at, kind, r.code, r.step);
	else
		cr_assert_eq(r.done, 'c');
	cr_assert(page->hit || r.done == 'x', "undisturbed, but it ended with %c", r.done);
	return page->hit;
}

static void expect_served(void)
{
	struct conn c = connect_init();

	send_sh(&c, 1, "echo alive");
	struct result r = finish_last(&c, 1);
	cr_assert(r.done == 'x' && said(&r, "alive\n"), "%s: the next one is not served: %c",
		  page->call, r.done);
}

static void loops(int tty, long at_least)
{
	long total = 0;

	expect_served();
	usleep(100000);
	cr_assert_eq(page->loaded, 1);
	int fds = count_in("fd"), kids = children();
	for (int kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		long at = 1;

		for (; at < ROUNDS_MAX && one_round(kind, at, tty); at++) {
			expect_served();
			settle(fds, kids, page->call, at);
			free_kept();
		}
		cr_assert_lt(at, ROUNDS_MAX);
		total += at - 1;
	}
	cr_assert_geq(total, at_least, "%ld places", total);
}

static struct result answer_to(struct conn *c, uint32_t channel, Conker__ClientMsg__MsgCase kind,
			       void *msg)
{
	ask(c, channel, kind, msg);
	return finish(c, channel);
}

/* A Freeze fails as a whole or not at all; 1: the call that was to fail came. */
static int freeze_round(int kind, long at)
{
	Conker__Freeze f = CONKER__FREEZE__INIT;
	Conker__Thaw t = CONKER__THAW__INIT;
	struct conn c = connect_init();

	arm(kind, at);
	struct result r = answer_to(&c, 1, CONKER__CLIENT_MSG__MSG_FREEZE, &f);
	page->kind = FAULT_NONE;
	if (r.done == 'd')
		cr_assert_eq(answer_to(&c, 2, CONKER__CLIENT_MSG__MSG_THAW, &t).done, 'd',
			     "%s, call %ld", page->call, at);
	else
		cr_assert((r.done == 'e' && r.code > 0) || r.done == 'c', "%s, call %ld: %c",
			  page->call, at, r.done);
	(void)close(c.fd);
	return page->hit;
}

/* What a Freeze opens it keeps: the freezer's two files, the generation, and with several CPUs the generator. */
Test(init_fault, each_call_of_a_freeze_may_fail_once)
{
	enum { KEPT = 4 };
	long total = 0;

	expect_served();
	usleep(100000);
	int fds = count_in("fd") + KEPT, kids = children();
	for (int kind = FAULT_NONE + 1; kind < FAULT_KINDS; kind++) {
		for (long at = 1; at < ROUNDS_MAX && freeze_round(kind, at); at++, total++) {
			expect_served();
			settle(fds, kids, page->call, at);
			free_kept();
		}
	}
	cr_assert_geq(total, 5, "%ld places", total);
}

Test(init_fault, each_call_may_fail_once)
{
	loops(0, 20);
}

/* A new process then goes on only while init sleeps, always at the same place. */
Test(init_fault_on_one_cpu, each_call_may_fail_once)
{
	loops(0, 20);
}

Test(init_fault, each_call_may_fail_once_with_a_terminal)
{
	loops(1, 20);
}
#endif
