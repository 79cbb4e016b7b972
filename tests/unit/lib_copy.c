/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of copies beside what lib_files has: sources whose size is a lie, and limits of what is written here. The
 * program for files is the real one, see tests/lib/fakefiles.h. */
#include <sys/resource.h>

#include "tests/lib/files_fixture.h"

TestSuite(lib_copy, .init = set_up, .fini = tear_down, .timeout = 120);

static size_t contents(const char *path, char ret[4096])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, ret, 4096);

	cr_assert_geq(n, 0, "%s: %s", path, strerror(errno));
	close(fd);
	return (size_t)n;
}

static void is_proc_version(const char *path)
{
	char want[4096], got[4096];
	size_t n = contents("/proc/version", want);

	cr_assert_eq(contents(path, got), n);
	cr_assert_arr_eq(got, want, n);
}

static void keep_note(const char *text, void *user)
{
	(void)snprintf(user, 256, "%s", text);
}

Test(lib_copy, what_has_no_size_arrives_in_both_directions)
{
	char note[256] = "", *data;
	conker_copy_opts o = {.size = sizeof(o), .note = keep_note, .note_data = note};
	size_t len;

	cr_expect_eq(conker_copy_out(box, "/proc/version", at("out"), &o), 0, "%s",
		     conker_errmsg());
	is_proc_version(at("out"));
	cr_expect_eq(conker_copy_in(box, "/proc/version", at("in"), &o), 0);
	is_proc_version(at("in"));
	cr_expect_str_eq(note, "", "nothing was left out");
	cr_expect_eq(conker_file_read(box, "/proc/version", NULL, 3, &data, &len), -EFBIG);
	if (access("/sys/kernel/uevent_seqnum", R_OK) < 0)
		return;
	cr_assert_eq(conker_file_read(box, "/sys/kernel/uevent_seqnum", NULL, 100, &data, &len), 0,
		     "of which 4,096 bytes are said: %s", conker_errmsg());
	cr_expect_lt(len, 100);
	free(data);
}

/* A limit of a file's size is an error of ours, and its signal, which would end the process, is not seen. */
Test(lib_copy, a_limit_of_file_sizes_is_an_error_and_no_signal)
{
	static char data[100000];
	struct rlimit was, small;

	cr_assert_eq(conker_file_write(box, at("f"), NULL, data, sizeof(data), 0), 0);
	cr_assert_eq(mkdir(at("d"), 0755), 0);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 4096;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	cr_expect_eq(conker_copy_out(box, at("f"), at("d/f"), NULL), -EFBIG);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
	cr_expect_eq(rmdir(at("d")), 0, "nothing is left of it");
}

Test(lib_copy, a_name_with_controls_is_told_without_them)
{
	cr_expect_eq(conker_copy_out(box, at("a\x1b[31m\xc2\x9b"), at("out"), NULL), -ENOENT);
	cr_expect_not_null(strstr(conker_errmsg(), "a?[31m??"), "%s", conker_errmsg());
}
