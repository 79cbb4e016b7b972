/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - what a box reports: how it ended, and the event lines of vmm/README.md. A life has a handful of
 * them, and those that a guest can repeat are counted (vm_snap.c). */
#ifndef VMM_EVENTS_H
#define VMM_EVENTS_H

#include <stdint.h>

#include "util/err.h"

/* Why the machine ended. */
enum exit_reason {
	EXIT_NONE,
	EXIT_POWEROFF,
	EXIT_REBOOT,
	EXIT_PANIC,
	EXIT_CRASH,
	EXIT_STOPPED,
	EXIT_ERROR,
	EXIT_REASONS,
};

enum { EXIT_DETAIL_BYTES = 200 };

struct exit_report {
	enum exit_reason reason;
	char detail[EXIT_DETAIL_BYTES]; /* may be empty */
};

enum { STATUS_FAILED = 1, STATUS_USAGE = 2 }; /* set-up failed; the command line makes no sense */

/* "poweroff" ...; and the exit status of the process. */
const char *exit_reason_name(enum exit_reason r);
int exit_reason_status(enum exit_reason r);

/* Where event lines go; descriptors are borrowed, -1: none. Without any they go to stderr, for the
 * person who started the program by hand. */
struct events {
	int state_fd, owner_fd;
};

/* Writes one line to each place, in one piece. A place that does not take it is skipped: the machine
 * does not depend on being watched. Any one thread at a time. */
void events_emit(const struct events *ev, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
