/* SPDX-License-Identifier: Apache-2.0 */
/* loop - calls posted by many threads while sources come and go: each runs once, on the loop's thread, in the order
 * in which its thread posted it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/loop.h"

enum { THREADS = 4, CALLS = 5000, SOURCES = 8 };

static struct loop loop;
static pthread_t owner;

struct poster {
	pthread_t thread;
	unsigned ran; /* the loop's */
	struct call {
		struct loop_call call;
		struct poster *by;
		unsigned number;
	} calls[CALLS];
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "loop: %s\n", what);
	exit(1);
}

static void on_call(struct loop_call *c)
{
	struct call *p = container_of(c, struct call, call);

	must(pthread_equal(pthread_self(), owner), "a call on another thread");
	must(p->by->ran == p->number, "out of order, or twice");
	p->by->ran++;
	p->call.fn = NULL; /* the poster's memory is ours from the post on */
}

static void *post(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < CALLS; i++) {
		p->calls[i] = (struct call){.call.fn = on_call, .by = p, .number = i};
		loop_post(&loop, &p->calls[i].call);
	}
	return NULL;
}

/* Sources that are always ready; each removes itself or its neighbour, which may be in the same batch. */
static struct loop_src sources[SOURCES];
static int fds[SOURCES];
static unsigned turns;

static void on_source(struct loop_src *s, uint32_t revents)
{
	struct loop_src *other = &sources[(size_t)(s - sources + 1) % SOURCES];

	(void)revents;
	must(s->fd >= 0, "an event of a source that was removed");
	if (++turns % 3 == 0)
		loop_del(&loop, other);
}

static void add_sources(void)
{
	for (int i = 0; i < SOURCES; i++)
		if (sources[i].fd < 0)
			must(loop_add(&loop, &sources[i], fds[i], EPOLLIN, on_source) == 0, "add");
}

int main(void)
{
	struct poster *p = calloc(THREADS, sizeof(*p));
	unsigned left = THREADS * CALLS;

	must(p && loop_init(&loop) == 0, "set-up");
	owner = pthread_self();
	for (int i = 0; i < SOURCES; i++) {
		fds[i] = eventfd(1, EFD_CLOEXEC);
		sources[i].fd = -1;
	}
	for (int i = 0; i < THREADS; i++)
		must(pthread_create(&p[i].thread, NULL, post, &p[i]) == 0, "thread");
	while (left > 0) {
		add_sources();
		must(loop_step(&loop, 1000) >= 0, "step");
		left = THREADS * CALLS;
		for (int i = 0; i < THREADS; i++)
			left -= p[i].ran;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(p[i].thread, NULL);
	loop_fini(&loop);
	free(p);
	printf("loop: %u turns of sources\n", turns);
	return 0;
}
