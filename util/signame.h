/* SPDX-License-Identifier: Apache-2.0 */
/* signame.h - names of signals: "TERM", "RTMIN+3". The C library's are not used: musl has none by number.
 *
 * Realtime signals are counted from SIGRTMIN as programs of a box mean it, most of which use glibc: 34. The kernel's
 * own first is 32; two that glibc keeps for itself, and the third of musl, have no name, and are sent by number. Named
 * as `kill -l` does: RTMIN to RTMIN+15, RTMAX-14 to RTMAX.
 */
#ifndef UTIL_SIGNAME_H
#define UTIL_SIGNAME_H

#include "util/util.h"

enum { SIGNAME_RTMIN = 34, SIGNAME_RTMAX = 64 };

/* Without the SIG; NULL when there is none. */
const char *signame(int signo);
/* The number of a name, in any case, with or without the SIG: "TERM", "sigterm", "RTMIN+3", "SIGRTMAX-1". -EINVAL. */
must_check int signame_number(const char *name);

#endif
