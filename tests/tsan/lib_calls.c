/* SPDX-License-Identifier: Apache-2.0 */
/* lib_calls.c - what lib/conker.h promises of threads, call by call: each part lets a few threads meet in one of the
 * promises, often, against a guest that is not there. See lib_threads.c for all of them at once.
 *
 * A plain program, for the thread sanitizer: it exits with 66 when it finds a race.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/tsan/counted.h"

enum { THREADS = 4, ROUNDS = 25, PIECES = 20 };

typedef void *thread_fn(void *);

static void create(uint32_t flags)
{
	conker_box_opts o = {.size = sizeof(o), .flags = flags};

	CHECK(conker_box_create(&o, &box) == 0);
}

/* Runs fn in n threads, and here in the main thread, until all have returned. */
static void together(thread_fn *fn, void *arg, void (*here)(void *arg), unsigned n)
{
	pthread_t t[THREADS];

	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, fn, arg) == 0);
	if (here)
		here(arg);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- wait + kill: the same handle ---- */

static void *waits(void *e)
{
	conker_status st = {.size = sizeof(st)};

	CHECK(conker_exec_wait(e, LIMIT_MS, &st) == 0);
	CHECK(st.signo == SIGUSR1);
	return NULL;
}

static void kills(void *e)
{
	usleep(500);
	CHECK(conker_exec_kill(e, SIGUSR1, CONKER_KILL_PROCESS) == 0);
	while (conker_exec_kill(e, SIGUSR2, CONKER_KILL_ALL) == 0) /* an ended one cannot be hit */
		usleep(200);
}

static void wait_and_kill(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct count c = {0};
		conker_exec *e = start(&c, 0, ARGV("sleep"));

		together(waits, e, kills, THREADS);
		CHECK(c.ends == 1 && c.frees == 1);
		conker_exec_free(e);
	}
}

/* ---- waiting for some of many, in several threads ---- */

struct set {
	conker_exec *e[THREADS];
	struct count c[THREADS];
};

static void *waits_for_some(void *arg)
{
	struct set *s = arg;
	unsigned char done[THREADS] = {0};
	int n = 0;

	for (size_t need = 1; need <= THREADS; need++) {
		n = conker_exec_wait_many(s->e, THREADS, need, LIMIT_MS, done);
		CHECK(n >= (int)need);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(done[i] && s->c[i].ends == 1 && s->c[i].frees == 1);
	return NULL;
}

static void kills_each(void *arg)
{
	struct set *s = arg;

	for (int i = THREADS - 1; i >= 0; i--)
		CHECK(conker_exec_kill(s->e[i], SIGTERM, CONKER_KILL_ALL) == 0);
}

static void wait_many(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct set s = {0};

		for (int k = 0; k < THREADS; k++)
			s.e[k] = start(&s.c[k], 0, ARGV("sleep"));
		together(waits_for_some, &s, kills_each, THREADS - 1);
		for (int k = 0; k < THREADS; k++)
			conker_exec_free(s.e[k]);
	}
}

/* ---- dispatch + write ---- */

struct piped {
	conker_exec *e;
	struct count c;
	int over; /* atomic */
};

static void *dispatches(void *arg)
{
	struct piped *p = arg;
	struct pollfd fd = {.fd = conker_box_fd(box), .events = POLLIN};

	while (!__atomic_load_n(&p->over, __ATOMIC_SEQ_CST))
		if (poll(&fd, 1, 5) > 0)
			CHECK(conker_box_dispatch(box) >= 0);
	return NULL;
}

static void *writes(void *arg)
{
	static const char zeros[30000];
	struct piped *p = arg;

	for (int i = 0; i < PIECES; i++) {
		int64_t ticket = conker_exec_write_all(p->e, zeros, sizeof(zeros));
		CHECK(ticket > 0);
		(void)conker_exec_stdin_pending(p->e);
		if (i % 4 == 0)
			CHECK(conker_exec_flush(p->e, ticket, LIMIT_MS) == 0);
	}
	return NULL;
}

static void writes_here(void *arg)
{
	struct piped *p = arg;

	(void)writes(arg);
	CHECK(conker_exec_flush(p->e, 0, LIMIT_MS) == 0);
}

static void dispatch_and_write(void)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		struct piped p = {0};
		pthread_t t;

		p.e = start(&p.c, CONKER_EXEC_STDIN, ARGV("cat"));
		CHECK(pthread_create(&t, NULL, dispatches, &p) == 0);
		together(writes, &p, writes_here, 2);
		CHECK(conker_exec_close_stdin(p.e) == 0);
		CHECK(conker_exec_wait(p.e, LIMIT_MS, NULL) == 0);
		CHECK(p.c.bytes == 3 * PIECES * 30000);
		__atomic_store_n(&p.over, 1, __ATOMIC_SEQ_CST);
		pthread_join(t, NULL);
		conker_exec_free(p.e);
	}
}

/* ---- free in each callback, whoever leads ---- */

struct freed {
	enum conker_event at;
	int frees; /* atomic: told to a thread that does not wait for the execution */
};

static void on_freed_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			   void *user)
{
	(void)data;
	if (ev == ((struct freed *)user)->at)
		conker_exec_free(e);
}

static void on_freed(void *user)
{
	__atomic_add_fetch(&((struct freed *)user)->frees, 1, __ATOMIC_SEQ_CST);
}

static void *frees(void *arg)
{
	static const enum conker_event at[] = {CONKER_STARTED, CONKER_STDOUT, CONKER_EXIT};

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct freed f = {.at = at[i % 3]};
		conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("echo", "x")};
		conker_exec_cb cb = {on_freed_event, &f, on_freed};
		conker_exec *e;

		CHECK(conker_exec_start(box, &o, cb, &e) == 0);
		while (!__atomic_load_n(&f.frees, __ATOMIC_SEQ_CST))
			CHECK(conker_box_ping(box, LIMIT_MS) == 0);
		CHECK(__atomic_load_n(&f.frees, __ATOMIC_SEQ_CST) == 1);
	}
	return NULL;
}

static void free_in_callbacks(void)
{
	together(frees, NULL, NULL, THREADS);
}

/* ---- views, requests, runs ---- */

static void *views(void *e)
{
	const conker_exec_ref whom = {.id = conker_exec_id(e)};

	for (int i = 0; i < ROUNDS; i++) {
		struct count c = {0};
		conker_exec_cb cb = {on_event, &c, on_free};
		conker_view_opts o = {.size = sizeof(o)};
		conker_exec *v;

		CHECK(conker_exec_attach(box, &whom, &o, cb, &v) == 0);
		CHECK(conker_exec_wait(v, LIMIT_MS, NULL) == -ENODATA);
		CHECK(c.frees == 1);
		conker_exec_free(v);
	}
	return NULL;
}

static int on_info(const conker_exec_info *i, void *user)
{
	(void)i;
	++*(int *)user;
	return 0;
}

static void *asks(void *arg)
{
	const conker_exec_ref nobody = {.name = "nobody"};
	conker_box_stats st = {.size = sizeof(st)};
	conker_exec_info *found;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int n = 0;
		conker_box_info info = {.size = sizeof(info)};

		CHECK(conker_exec_list(box, CONKER_LIST_ALL, on_info, &n) == 0 && n >= 1);
		CHECK(conker_box_stats_get(box, &st) == 0);
		CHECK(conker_box_info_get(box, &info) == 0);
		CHECK(conker_exec_lookup(box, &nobody, 0, &found) == -ESRCH);
		CHECK(strstr(conker_errmsg(), "no such")); /* this thread's own */
	}
	return NULL;
}

static void *runs(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		char word[] = {(char)('a' + i), 0};
		conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("echo", word)};
		conker_result r = {.size = sizeof(r)};

		CHECK(conker_run(box, &o, NULL, &r) == 0);
		CHECK(r.out.len == 2 && r.out.data[0] == word[0]);
		conker_result_free(&r);
	}
	return NULL;
}

static void asks_and_runs(void *arg)
{
	(void)asks(arg);
	(void)runs(arg);
}

static void *one_of_each(void *e)
{
	static int turn; /* atomic */
	thread_fn *const all[] = {views, asks, runs};

	return all[__atomic_fetch_add(&turn, 1, __ATOMIC_SEQ_CST) % 3](e);
}

static void requests(void)
{
	struct count c = {0};
	conker_exec *e = start(&c, 0, ARGV("sleep"));

	while (!conker_exec_id(e))
		CHECK(conker_box_ping(box, LIMIT_MS) == 0);
	together(one_of_each, e, asks_and_runs, 3);
	conker_exec_free(e);
}

/* ---- files, of the box that stands for this machine ---- */

static int on_file(const conker_file_info *f, void *n)
{
	(void)f;
	++*(int *)n;
	return 0;
}

static void *copies(void *dir)
{
	static int serial; /* atomic */
	static const char data[100000] = "x";
	char path[300], copy[300], *got = NULL;
	int n = 0, own = __atomic_fetch_add(&serial, 1, __ATOMIC_SEQ_CST);
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/tsan-%d", (const char *)dir, own);
	(void)snprintf(copy, sizeof(copy), "%s/copy-%d", (const char *)dir, own);
	for (int i = 0; i < ROUNDS / 4; i++) {
		CHECK(conker_file_write(box, path, NULL, data, sizeof(data), 0) == 0);
		CHECK(conker_copy_out(box, path, copy, NULL) == 0);
		CHECK(conker_file_read(box, copy, NULL, 0, &got, &len) == 0);
		CHECK(len == sizeof(data) && memcmp(got, data, len) == 0);
		free(got);
		CHECK(conker_file_list(box, dir, NULL, on_file, &n) == 0 && n >= 2);
	}
	CHECK(conker_file_remove(box, path, NULL, 0) == 0);
	CHECK(conker_file_remove(box, copy, NULL, 0) == 0);
	return NULL;
}

/* ---- boxes: made, listed, stopped and lost by many ---- */

static int on_box(const conker_box_info *i, void *user)
{
	(void)i;
	(void)user;
	return 0;
}

static void *lives(void *arg)
{
	(void)arg;
	for (int i = 0; i < 4; i++) {
		conker_box_opts o = {.size = sizeof(o)};
		conker_exec_opts x = {.size = sizeof(x), .argv = ARGV("exit", "3")};
		conker_result r = {.size = sizeof(r)};
		conker_box *own;

		CHECK(conker_box_create(&o, &own) == 0);
		CHECK(conker_box_list(on_box, NULL) >= 0);
		CHECK(conker_run(own, &x, NULL, &r) == 0 && r.status.code == 3);
		conker_result_free(&r);
		conker_box_free(own);
	}
	return NULL;
}

static void boxes(void)
{
	together(lives, NULL, NULL, THREADS);
}

static void *outlives(void *e)
{
	CHECK(conker_exec_wait(e, LIMIT_MS, NULL) == -ESHUTDOWN);
	CHECK(conker_errkind() == CONKER_ERR_BOX);
	CHECK(conker_box_wait(box, LIMIT_MS) == 0);
	return NULL;
}

static void stops(void *e)
{
	(void)e;
	usleep(2000);
	CHECK(conker_box_stop(box, LIMIT_MS) == 0);
}

static void stop(void)
{
	for (int i = 0; i < 4; i++) {
		struct count c = {0};

		create(0);
		conker_exec *e = start(&c, 0, ARGV("sleep"));
		together(outlives, e, stops, THREADS);
		CHECK(c.ends == 1 && c.frees == 1);
		conker_exec_free(e);
		box = conker_box_free(box);
	}
}

/* A box that is freed in a callback, while the handle of an execution is still held. */
static void on_last(conker_exec *e, enum conker_event ev, const conker_event_data *data, void *user)
{
	(void)e;
	(void)data;
	(void)user;
	if (ev == CONKER_EXIT)
		box = conker_box_free(box);
}

static void *frees_box(void *arg)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("exit", "0")};
	conker_exec *e;

	(void)arg;
	create(0);
	CHECK(conker_exec_start(box, &o, (conker_exec_cb){.fn = on_last}, &e) == 0);
	CHECK(conker_exec_wait(e, LIMIT_MS, NULL) == 0);
	conker_exec_free(e);
	return NULL;
}

static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
	(void)signo;
	signals++;
}

/* Starting a VMM resets the signals of its process, not of ours: also where calls of libc have been taken over
 * to keep account of them, as here. */
static void handlers_stay(void)
{
	struct sigaction sa = {.sa_handler = on_signal}, now;

	sigaction(SIGUSR1, &sa, NULL);
	create(0);
	CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == on_signal);
	raise(SIGUSR1);
	CHECK(signals == 1);
}

int main(void)
{
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%s", fakevmm_use());
	handlers_stay();
	wait_and_kill();
	wait_many();
	dispatch_and_write();
	free_in_callbacks();
	requests();
	together(copies, dir, NULL, 3);
	box = conker_box_free(box);
	boxes();
	stop();
	together(frees_box, NULL, NULL, 1); /* in a thread other than the one that frees last */
	fakevmm_clean();
	puts("lib_calls: no race seen");
	return 0;
}
