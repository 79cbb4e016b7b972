/* SPDX-License-Identifier: Apache-2.0 */
/* clean: the one rule of what may reach a terminal. */
#include "tests/lib/test.h"
#include "util/clean.h"

#include "util/err.h"

static void becomes(const char *from, const char *to)
{
	char s[64];

	memcpy(s, from, strlen(from) + 1);
	clean_text(s);
	cr_expect_str_eq(s, to);
	cr_expect_eq(clean_is_fit(from, strlen(from)), strcmp(from, to) == 0);
}

Test(clean, controls_and_what_is_no_utf8_become_question_marks)
{
	becomes("plain ~", "plain ~");
	becomes("a\x1b[2J\x7f\r\n\t", "a?[2J????");
	becomes("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	becomes("\xc2\x9b\x31m\xc2\xa0", "??1m\xc2\xa0"); /* C1 in UTF-8, and what is beside it */
	becomes("\x9b\x31m", "?1m");                      /* C1 to a terminal of eight bits */
	becomes("\xc2", "?");
	becomes("\xc0\x9b", "??");           /* too long a form */
	becomes("\xe0\x82\x9b", "???");      /* likewise */
	becomes("\xed\xa0\x80", "???");      /* a surrogate */
	becomes("\xf4\x90\x80\x80", "????"); /* above U+10FFFF */
	becomes("\xe2\x82x", "??x");
}

Test(clean, a_piece_keeps_the_beginning_of_a_character_for_the_next)
{
	char s[] = "ab\xe2\x82";

	cr_expect_eq(clean_piece(s, 4, "", 1), 2);
	cr_expect_str_eq(s, "ab\xe2\x82");
	cr_expect_eq(clean_piece(s, 4, "", 0), 4);
	cr_expect_str_eq(s, "ab??");
	char t[] = "ab\xc2";
	cr_expect_eq(clean_piece(t, 3, "", 1), 2);
	char u[] = "ab\xe0\x80"; /* no beginning of anything */
	cr_expect_eq(clean_piece(u, 4, "", 1), 4);
}

Test(clean, only_what_is_to_be_kept_is)
{
	char s[] = "a\tb\nc\0d";

	cr_expect_eq(clean_piece(s, 7, "\n", 0), 7);
	cr_expect_arr_eq(s, "a?b\nc?d", 7);
}

/* Every message of library, VMM and init is made by these. */
Test(clean, no_error_has_a_control_character_in_it)
{
	struct err e;

	cr_expect_eq(err_set(&e, EINVAL, "no box '%s'", "x\x1b[31m"), -EINVAL);
	cr_expect_str_eq(e.msg, "no box 'x?[31m'");
	cr_expect_eq(err_wrap(&e, -EINVAL, "open\x9b"), -EINVAL);
	cr_expect_str_eq(e.msg, "open?: no box 'x?[31m'");
	errno = ENOENT;
	cr_expect_eq(err_errno(&e, "\n"), -ENOENT);
	cr_expect_str_eq(e.msg, "?: No such file or directory");
}
