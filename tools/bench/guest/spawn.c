/* SPDX-License-Identifier: Apache-2.0 */
/* spawn PROGRAM - starts PROGRAM and waits for it, the cheapest way there is, and tells how long it took.
 *
 * For each byte N on stdin: N times vfork, exec, wait; then N times the microseconds as 32-bit numbers
 * on stdout. The stack, the descriptors and the namespaces are this process's own, no cgroup is changed
 * and nothing is redirected: what an execution does beyond this is what it costs.
 */
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/mark.h"

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int spawn_and_wait(char **argv)
{
	static char *env[] = {0};
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(argv[0], argv, env);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

int main(int argc, char **argv)
{
	uint32_t us[256];
	unsigned char n;

	if (argc < 2)
		return 2;
	while (read(0, &n, 1) == 1) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t start = now_us();

			BENCH_MARK(MARK_NOTHING);
			if (spawn_and_wait(argv + 1) != 0)
				return 1;
			BENCH_MARK(MARK_SPAWN);
			us[i] = (uint32_t)(now_us() - start);
		}
		if (write(1, us, n * sizeof(us[0])) != (ssize_t)(n * sizeof(us[0])))
			return 1;
	}
	return 0;
}
