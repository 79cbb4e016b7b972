/* SPDX-License-Identifier: Apache-2.0 */
/* vector_switch [ROUNDS] - processes and threads that take turns keep their own vector registers:
 * when they block in a system call, and when they are preempted while computing.
 */
#include "vector.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

enum { PREEMPTIONS = 20, SPIN_STEPS = 3000000, PATIENCE_S = 60 };

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

/* Writes a byte to one pipe, then waits for one from the other, with full registers all the while. */
static unsigned long take_turns(unsigned tag, int rd, int wr, unsigned long rounds)
{
	unsigned long bad = 0;
	char byte = 0;

	for (unsigned long i = 0; i < rounds; i++) {
		struct vec_call put = {SYS_write, {wr, (long)&byte, 1}};
		struct vec_call get = {SYS_read, {rd, (long)&byte, 1}};
		long r;

		bad += (unsigned long)vec_through("across write", tag, &put, &r);
		if (r != 1)
			die("write");
		bad += (unsigned long)vec_through("across read", tag, &get, &r);
		if (r != 1)
			die("read");
	}
	return bad;
}

static long preemptions(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nivcsw;
}

/* Computes until it was preempted often enough; being alone on a CPU it gives up after a while. */
static unsigned long compute(unsigned tag, long *ret_preempted)
{
	struct vec_call spin = {VEC_SPIN, {SPIN_STEPS}};
	long start = preemptions();
	time_t end = time(NULL) + PATIENCE_S;
	unsigned long bad = 0;

	do {
		bad += (unsigned long)vec_through("while preempted", tag, &spin, NULL);
		*ret_preempted = preemptions() - start;
	} while (*ret_preempted < PREEMPTIONS && time(NULL) < end);
	return bad;
}

static unsigned long compute_and_tell(unsigned tag)
{
	long n;
	unsigned long bad = compute(tag, &n);

	printf("tag %u: preempted %ld times\n", tag, n);
	return bad + (n == 0 ? 1000 : 0); /* proves nothing */
}

static void *thread(void *arg)
{
	return (void *)compute_and_tell((unsigned)(uintptr_t)arg);
}

static unsigned long threads(void)
{
	unsigned long bad = 0;
	pthread_t t[2];

	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, thread, (void *)(uintptr_t)(0x20 + i)) != 0)
			die("pthread_create");
	for (unsigned i = 0; i < 2; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad += (unsigned long)r;
	}
	return bad;
}

int main(int argc, char **argv)
{
	unsigned long rounds = vec_rounds(argc, argv, 100), bad;
	int to_child[2], to_parent[2];
	pid_t pid;

	vec_init();
	if (pipe(to_child) < 0 || pipe(to_parent) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		bad = take_turns(0x11, to_child[0], to_parent[1], rounds);
		bad += compute_and_tell(0x13);
		_exit(bad != 0);
	}
	bad = take_turns(0x12, to_parent[0], to_child[1], rounds);
	bad += compute_and_tell(0x14);
	bad += vec_wait(pid) != 0;
	bad += threads();
	return vec_end("vector_switch", rounds, bad);
}
