/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/sys/env.h. */
#include "guest-init/sys/env.h"
#include "tests/lib/test.h"

static char *env[] = {"PATHX=no", "A=1", "EMPTY=", "A=2", "NOVALUE", NULL};

Test(init_env, finds_whole_names_and_the_first_of_two)
{
	cr_assert_str_eq(env_get(env, "A"), "1");
	cr_assert_str_eq(env_get(env, "EMPTY"), "");
	cr_assert_null(env_get(env, "PATH"));
	cr_assert_null(env_get(env, "NOVALUE"));
}

static void walk(const char *path, const char *file, const char *const *want)
{
	char buf[32];

	for (; *want; want++) {
		cr_assert_eq(env_path_next(&path, file, buf, sizeof(buf)), 1);
		cr_assert_str_eq(buf, *want);
	}
	cr_assert_eq(env_path_next(&path, file, buf, sizeof(buf)), 0);
}

Test(init_env, walks_path_in_order)
{
	walk("/usr/bin:/bin", "ls", (const char *[]){"/usr/bin/ls", "/bin/ls", NULL});
	walk("/bin", "ls", (const char *[]){"/bin/ls", NULL});
}

Test(init_env, empty_element_is_the_working_directory)
{
	walk("", "x", (const char *[]){"./x", NULL});
	walk(":/bin:", "x", (const char *[]){"./x", "/bin/x", "./x", NULL});
}

Test(init_env, candidate_that_does_not_fit_is_skipped)
{
	const char *path = "/a-directory-of-some-length:/bin";
	char buf[8];

	cr_assert_eq(env_path_next(&path, "ls", buf, sizeof(buf)), -ENAMETOOLONG);
	cr_assert_eq(env_path_next(&path, "ls", buf, sizeof(buf)), 1);
	cr_assert_str_eq(buf, "/bin/ls");
}

Test(init_env, candidate_may_fill_the_buffer_to_the_last_byte)
{
	const char *path = "/bin:/bin";
	char buf[8];

	cr_assert_eq(env_path_next(&path, "ls", buf, 8), 1); /* "/bin/ls" and its NUL */
	cr_assert_eq(env_path_next(&path, "ls", buf, 7), -ENAMETOOLONG);
}
