/* stats.c - see stats.h. */
#include "tools/bench/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t stats_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void stats_add(struct series *s, uint64_t us)
{
	if (s->n < STATS_SAMPLES_MAX)
		s->us[s->n++] = us;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t stats_percentile(struct series *s, unsigned p)
{
	if (s->n == 0)
		return 0;
	qsort(s->us, s->n, sizeof(s->us[0]), by_value);
	size_t rank = (s->n * p + 99) / 100;
	return s->us[rank ? rank - 1 : 0];
}

void stats_print(const char *name, struct series *s)
{
	printf("  %-44s n=%-4zu p50=%-9.2f p90=%-9.2f p99=%-9.2f max=%-9.2f ms  failures=%zu\n",
	       name, s->n, (double)stats_percentile(s, 50) / 1e3,
	       (double)stats_percentile(s, 90) / 1e3, (double)stats_percentile(s, 99) / 1e3,
	       (double)stats_percentile(s, 100) / 1e3, s->failures);
	fflush(stdout);
}

const char *stats_host_kind(void)
{
	const char *told = getenv("HOST"); /* the lab sets it */

	if (told && *told)
		return told;
	if (access("/dev/kvm", F_OK) < 0)
		return "none";
	return access("/sys/module/kvm_pvm", F_OK) == 0 ? "pvm" : "hw";
}
