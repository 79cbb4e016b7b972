/* SPDX-License-Identifier: Apache-2.0 */
/* last_words.h - the last event line of a process that must end at once.
 *
 * Two things end it so by themselves: a system call that its seccomp filter forbids (SIGSYS), and an assertion of
 * ours. Both may happen on any thread, with the loop in any state: the line is put together without
 * allocation or lock, and the process ends without tear-down. A taken-over thread can keep the line
 * from being said, but not the call from being refused.
 */
#ifndef VMM_LAST_WORDS_H
#define VMM_LAST_WORDS_H

#include "util/util.h"
#include "vmm/events.h"

/* From here on last words go to ev, which must stay as it is for the life of the process. 0 or -errno. */
must_check int last_words_init(const struct events *ev, struct err *e);

/* Says "exited error ..." and ends the process. Any thread. */
_Noreturn void last_words(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
