/* signame: the names are the C library's. */
#include "util/signame.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(signame, every_signal_is_called_as_glibc_calls_it)
{
	for (int i = -1; i <= NSIG + 1; i++) {
		const char *theirs = sigabbrev_np(i), *ours = signame(i);

		cr_expect_eq(!ours, !theirs, "signal %d", i);
		if (ours && theirs)
			cr_expect_str_eq(ours, theirs);
	}
}
