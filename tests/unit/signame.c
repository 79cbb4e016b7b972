/* SPDX-License-Identifier: Apache-2.0 */
/* signame: the names are the C library's, and those of realtime signals. */
#include "tests/lib/test.h"
#include "util/signame.h"

#include <signal.h>

Test(signame, every_signal_is_called_as_glibc_calls_it)
{
	for (int i = -1; i < SIGNAME_RTMIN; i++) {
		const char *theirs = sigabbrev_np(i), *ours = signame(i);

		cr_expect_eq(!ours, !theirs, "signal %d", i);
		if (ours && theirs)
			cr_expect_str_eq(ours, theirs);
	}
	cr_expect_null(signame(SIGNAME_RTMAX + 1));
}

Test(signame, realtime_signals_are_called_as_kill_calls_them)
{
	cr_expect_eq(SIGNAME_RTMIN, SIGRTMIN);
	cr_expect_eq(SIGNAME_RTMAX, SIGRTMAX);
	cr_expect_str_eq(signame(34), "RTMIN");
	cr_expect_str_eq(signame(37), "RTMIN+3");
	cr_expect_str_eq(signame(49), "RTMIN+15");
	cr_expect_str_eq(signame(50), "RTMAX-14");
	cr_expect_str_eq(signame(63), "RTMAX-1");
	cr_expect_str_eq(signame(64), "RTMAX");
}

Test(signame, every_name_leads_back_to_its_number)
{
	char with[24];

	for (int i = 1; i <= SIGNAME_RTMAX; i++) {
		if (!signame(i))
			continue;
		cr_expect_eq(signame_number(signame(i)), i);
		(void)snprintf(with, sizeof(with), "sig%s", signame(i));
		cr_expect_eq(signame_number(with), i);
	}
	cr_expect_eq(signame_number("SIGRTMIN+3"), 37);
	cr_expect_eq(signame_number("rtmin+30"), 64);
	cr_expect_eq(signame_number("RTMAX-30"), 34);
}

Test(signame, what_is_no_name_is_refused)
{
	static const char *const bad[] = {"",       "SIG",      "SIGSIGTERM", "RTMIN+",
					  "RTMIN3", "RTMIN-1",  "RTMIN+31",   "RTMAX+1",
					  "RTMAX-", "RTMAX-31", "RTMIN+x",    "RTMIN+4294967299",
					  "RT",     "9"};

	for (size_t i = 0; i < countof(bad); i++)
		cr_expect_eq(signame_number(bad[i]), -EINVAL, "%s", bad[i]);
}
