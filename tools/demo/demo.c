/* SPDX-License-Identifier: Apache-2.0 */
/* demo.c - what `make run` runs in a box: a little of what real programs do.
 *
 * Counts primes in user space, writes a file and reads it back, has children work and report through a
 * pipe, and says on what kernel. Static, so that it runs in any image. Exit status 0 when all that was
 * computed is right.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LIMIT = 20 * 1000 * 1000,
	PRIMES_BELOW_LIMIT = 1270607,
	ROOT = 4473, /* LIMIT < ROOT^2 */
	SMALL = 607, /* primes below ROOT */
	SEGMENT = 32 * 1024,
	FILE_BYTES = 32 * 1024,
	CHILDREN = 2,
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int report(const char *what, double since_ms, int right)
{
	printf("%-52s %8.1f ms  %s\n", what, now_ms() - since_ms, right ? "right" : "WRONG");
	fflush(stdout);
	return right ? 0 : 1;
}

/* ---- primes: a sieve in segments that fit the cache ---------------------------------------------- */

static int small_primes(int *ret)
{
	char composite[ROOT] = {0};
	int n = 0;

	for (int i = 2; i < ROOT; i++) {
		if (composite[i])
			continue;
		ret[n++] = i;
		for (int k = i * i; k < ROOT; k += i)
			composite[k] = 1;
	}
	return n;
}

static int count_segment(int from, const int *primes, int n)
{
	static char composite[SEGMENT];
	int count = 0, end = LIMIT - from < SEGMENT ? LIMIT - from : SEGMENT;

	memset(composite, 0, sizeof(composite));
	for (int i = 0; i < n; i++) {
		int p = primes[i], first = (from + p - 1) / p * p;

		for (int k = (first < p * p ? p * p : first) - from; k < end; k += p)
			composite[k] = 1;
	}
	for (int k = 0; k < end; k++)
		count += !composite[k];
	return count;
}

static int primes(void)
{
	double start = now_ms();
	int small[SMALL], n = small_primes(small), count = -2; /* 0 and 1 */

	for (int from = 0; from < LIMIT; from += SEGMENT)
		count += count_segment(from, small, n);
	printf("There are %d primes below %d.\n", count, LIMIT);
	return report("Counted them in user space:", start, count == PRIMES_BELOW_LIMIT);
}

/* ---- files --------------------------------------------------------------------------------------- */

static void fill(uint32_t *words, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++)
		words[i] = x = x * 1664525 + 1013904223;
}

static int files(void)
{
	static uint32_t out[FILE_BYTES / 4], in[FILE_BYTES / 4];
	char path[] = "/tmp/demo.XXXXXX";
	double start = now_ms();
	int fd = mkstemp(path);

	fill(out, FILE_BYTES / 4);
	int right = fd >= 0 && write(fd, out, sizeof(out)) == sizeof(out) && fsync(fd) == 0 &&
		    pread(fd, in, sizeof(in), 0) == sizeof(in) &&
		    memcmp(in, out, sizeof(in)) == 0 && unlink(path) == 0 && close(fd) == 0;
	return report("Wrote 32 KiB to a file and read them back:", start, right);
}

/* ---- processes ----------------------------------------------------------------------------------- */

static void child(int id, int to)
{
	uint64_t sum = 0;

	for (uint64_t i = 1; i <= 1000000; i++)
		sum += i % (uint64_t)(id + 2);
	_exit(write(to, &sum, sizeof(sum)) == sizeof(sum) ? id : 99);
}

static int processes(void)
{
	double start = now_ms();
	int from_to[2], status, right = pipe(from_to) == 0, statuses = 0;
	uint64_t sum = 0, one;

	for (int id = 0; right && id < CHILDREN; id++) {
		pid_t pid = fork();

		if (pid == 0)
			child(id, from_to[1]);
		right = pid > 0;
	}
	for (int id = 0; right && id < CHILDREN; id++) {
		right = read(from_to[0], &one, sizeof(one)) == sizeof(one) && wait(&status) > 0;
		sum += one;
		statuses += right && WIFEXITED(status) ? WEXITSTATUS(status) : 100;
	}
	return report("Two children counted and reported through a pipe:", start,
		      right && sum == 500000 + 1000000 && statuses == 0 + 1);
}

int main(void)
{
	struct utsname u;
	struct sysinfo s;

	if (uname(&u) < 0 || sysinfo(&s) < 0)
		return 1;
	printf("Hello from process %d on '%s': %s %s (%s), up %ld s, %lu MiB of memory, %d CPU.\n",
	       getpid(), u.nodename, u.sysname, u.release, u.machine, s.uptime,
	       s.totalram * s.mem_unit >> 20, get_nprocs());
	fflush(stdout);
	int wrong = primes() + files() + processes();
	printf("%s\n", wrong ? "Something was wrong." : "Done.");
	return wrong ? 1 : 0;
}
