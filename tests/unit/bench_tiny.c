/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the guests of a few instructions. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/test.h"
#include "tools/bench/tiny.h"

Test(bench_tiny, true_is_a_program_that_exits_with_0)
{
	unsigned char buf[TINY_BYTES_MAX];
	char path[] = "/tmp/bench-tiny.XXXXXX";
	int status, fd = mkstemp(path);
	size_t len = tiny_true(buf);

	cr_assert_eq(write(fd, buf, len), (ssize_t)len);
	cr_assert_eq(fchmod(fd, 0700), 0);
	close(fd);
	pid_t pid = fork();
	if (pid == 0) {
		execl(path, path, (char *)NULL);
		_exit(99);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	unlink(path);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
}

static unsigned field(const unsigned char *head, int n)
{
	char text[9] = "";

	memcpy(text, head + 6 + 8 * n, 8);
	return (unsigned)strtoul(text, NULL, 16);
}

Test(bench_tiny, initramfs_has_a_console_and_an_init_and_ends)
{
	static const char *const names[] = {"dev", "dev/console", "init", "TRAILER!!!"};
	unsigned char buf[TINY_BYTES_MAX];
	size_t len = tiny_initramfs(buf), at = 0;

	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(memcmp(buf + at, "070701", 6), 0);
		cr_assert_str_eq((char *)buf + at + 110, names[i]);
		cr_assert_eq(field(buf + at, 11), strlen(names[i]) + 1);
		size_t data = (at + 110 + strlen(names[i]) + 1 + 3) & ~(size_t)3;
		if (i == 1)
			cr_assert(field(buf + at, 9) == 5 && field(buf + at, 10) == 1);
		if (i == 2)
			cr_assert_eq(memcmp(buf + data, "\177ELF", 4), 0);
		at = (data + field(buf + at, 6) + 3) & ~(size_t)3;
	}
	cr_assert_eq(at, len);
}
