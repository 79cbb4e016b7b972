/* SPDX-License-Identifier: Apache-2.0 */
/* expect.h - for a program of facts: it prints each that is not so, and main() returns `bad`. */
#ifndef TESTS_GUEST_EXPECT_H
#define TESTS_GUEST_EXPECT_H

#include <stdio.h>

static int bad;

static void expect(int so, const char *what)
{
	if (so)
		return;
	printf("not so: %s\n", what);
	bad = 1;
}

#endif
