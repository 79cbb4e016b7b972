/* SPDX-License-Identifier: Apache-2.0 */
/* parallel - shows that two CPUs run at the same time.
 *
 * Two threads hand a counter back and forth by spinning, without a system call. On two CPUs a handover
 * takes well under a microsecond; on one it takes a scheduler tick, so that the number of handovers
 * within the time allowed tells the cases apart by orders of magnitude.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { HANDOVERS = 100000, SECONDS_MAX = 60 };

static atomic_uint turn;

static void *play(void *parity)
{
	unsigned me = *(unsigned *)parity;

	for (unsigned i = me; i < HANDOVERS; i += 2) {
		while (atomic_load_explicit(&turn, memory_order_acquire) != i)
			;
		atomic_store_explicit(&turn, i + 1, memory_order_release);
	}
	return NULL;
}

int main(void)
{
	unsigned zero = 0, one = 1;
	time_t start = time(NULL);
	pthread_t other;

	if (pthread_create(&other, NULL, play, &one))
		return 1;
	play(&zero);
	pthread_join(other, NULL);
	if (time(NULL) - start > SECONDS_MAX)
		return 1;
	printf("parallel: %d handovers\n", HANDOVERS);
	return 0;
}
