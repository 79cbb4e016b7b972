/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/sys/self.c. */
#include "guest-init/sys/self.h"
#include "tests/lib/test.h"

#include <sys/mman.h>
#include <sys/stat.h>

Test(init_self, copy_is_the_whole_executable_and_cannot_be_changed)
{
	struct stat a, b;
	int fd = self_fd(&(struct self){.path = "/proc/self/exe"});

	cr_assert_geq(fd, 0);
	cr_assert_eq(stat("/proc/self/exe", &a), 0);
	cr_assert_eq(fstat(fd, &b), 0);
	cr_assert_eq(a.st_size, b.st_size);
	cr_assert_eq(pwrite(fd, "x", 1, 0), -1);
	cr_assert_eq(errno, EPERM);
	cr_assert_eq(ftruncate(fd, 0), -1);
	cr_assert_eq(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	(void)close(fd);
}

Test(init_self, copy_of_what_is_not_there_is_an_error)
{
	cr_assert_eq(self_fd(&(struct self){.path = "/no/such/file"}), -ENOENT);
}

Test(init_self, only_names_of_its_own_programs_count)
{
	cr_assert(self_has("conker-files"));
	cr_assert_not(self_has("/bin/conker-files"));
	cr_assert_not(self_has("sh"));
	cr_assert_not(self_has(""));
}
