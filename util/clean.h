/* SPDX-License-Identifier: Apache-2.0 */
/* clean.h - text that somebody else chose, fit for a terminal: the one rule, for all of the tree.
 *
 * Whoever names a file, an execution or a box, and whoever writes an error message in a guest, may put bytes into it
 * that would command the terminal of the reader, or hide or forge a line there. Fit is printable ASCII and
 * well-formed UTF-8 (RFC 3629). Unfit are the control characters (C0, DEL, and C1: U+0080 to U+009F, which some
 * terminals obey), and bytes that are no UTF-8, which a terminal in another encoding takes for C1.
 *
 * Pure.
 */
#ifndef UTIL_CLEAN_H
#define UTIL_CLEAN_H

#include <stddef.h>

#include "util/util.h"

/* Length of the well-formed UTF-8 sequence at the front of (s, len), len > 0; or 0. */
must_check size_t utf8_length(const char *s, size_t len);
/* Whether all of it is well-formed UTF-8. */
must_check int utf8_is_valid(const char *s, size_t len);
/* Whether (s, n), a whole UTF-8 sequence, is a control character. */
must_check int clean_is_control(const char *s, size_t n);
/* Whether (s, len) is fit for a terminal as it is. */
must_check int clean_is_fit(const char *s, size_t len);

/* Replaces each unfit byte by '?'. */
void clean_text(char *s);
/* Likewise of (s, len), and leaves the control characters in `keep` alone. A sequence that is cut off by the end of s
 * is not touched if more follows: returned is how many bytes are fit now, at most three fewer than len. */
size_t clean_piece(char *s, size_t len, const char *keep, int more);

#endif
