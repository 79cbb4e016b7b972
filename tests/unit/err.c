/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - the rules of util/err.h. */
#include "tests/lib/test.h"
#include "util/err.h"

Test(err, set_records_and_returns_the_negative_code)
{
	struct err e = {0};

	cr_assert_eq(err_set(&e, EINVAL, "size %d", 7), -EINVAL);
	cr_assert_eq(e.code, EINVAL);
	cr_assert_str_eq(e.msg, "size 7");
}

Test(err, null_is_allowed)
{
	cr_assert_eq(err_set(NULL, EIO, "x"), -EIO);
	cr_assert_eq(err_wrap(NULL, -EIO, "x"), -EIO);
}

Test(err, errno_text_is_appended)
{
	struct err e = {0};

	errno = ENOENT;
	cr_assert_eq(err_errno(&e, "open '%s'", "f"), -ENOENT);
	cr_assert_str_eq(e.msg, "open 'f': No such file or directory");
}

Test(err, wrap_puts_context_in_front)
{
	struct err e = {0};
	int r = err_set(&e, EIO, "inner");

	cr_assert_eq(err_wrap(&e, r, "outer %d", 1), -EIO);
	cr_assert_str_eq(e.msg, "outer 1: inner");
}

Test(err, wrap_of_nothing_is_only_the_context)
{
	struct err e = {0};

	cr_assert_eq(err_wrap(&e, -EIO, "outer"), -EIO);
	cr_assert_str_eq(e.msg, "outer");
}

Test(err, too_long_a_message_is_cut_and_terminated)
{
	struct err e = {0};
	char longer[2 * ERR_MSG_BYTES];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	cr_assert_eq(err_set(&e, EIO, "%s", longer), -EIO);
	cr_assert_eq(strlen(e.msg), ERR_MSG_BYTES - 1);
	cr_assert_eq(err_wrap(&e, -EIO, "%s", longer), -EIO);
	cr_assert_eq(strlen(e.msg), ERR_MSG_BYTES - 1);
}
