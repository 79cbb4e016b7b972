/* SPDX-License-Identifier: Apache-2.0 */
/* num.h - numbers from text: the one parser, for all of the tree.
 *
 * A number is digits and nothing else. strtoul() and sscanf() also take blanks, signs and prefixes, and what they do with
 * a number that is too large is easy to overlook. Here that is an error, told apart from text that is no number.
 *
 * Pure. tests/lint/ceilings.py bans the functions of the C library elsewhere.
 */
#ifndef UTIL_NUM_H
#define UTIL_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

/* The value of the digit c in base 8, 10 or 16; -1: it is none. */
must_check int num_digit(char c, unsigned base);
/* Appends the digit c to *n. -EINVAL: it is none; -ERANGE: the number does not fit, and *n is UINT64_MAX. */
must_check int num_append(uint64_t *n, unsigned base, char c);

/* The number at *at, which then points behind its digits. They end before `end`; NULL: before the NUL. -EINVAL: there is no
 * digit, *ret is 0; -ERANGE: it is above max, *ret is max. */
must_check int num_take(const char **at, const char *end, unsigned base, uint64_t max,
			uint64_t *ret);
/* As num_take(), of a text that is a number and nothing else. */
must_check int num_parse(const char *s, size_t len, unsigned base, uint64_t max, uint64_t *ret);
/* As num_parse(), in base 10 with at most one point: "2", "0.5", ".5". Digits beyond a double's precision are rounded. */
must_check int num_fraction(const char *s, size_t len, double *ret);

/* Of text that the kernel or one of our own processes wrote: the decimal number at its front, behind spaces. 0: there is
 * none; UINT64_MAX: it is larger. */
uint64_t num_at(const char *s);

#endif
