/* SPDX-License-Identifier: Apache-2.0 */
/* idle.h - the box that ends by itself: after being idle for so long, or at the end of its life.
 *
 * Instead of powering off when idle it may freeze itself and ask the host to keep it (freezer.h). After a Resume its idle
 * time begins anew. When nothing came of it, too, and then it waits longer: IDLE_RETRY_MS after the first time, twice that
 * after the next, up to IDLE_RETRY_MAX_MS. The host may lack the room, and each attempt stops the box for a while.
 *
 * In use is a box with a view on an execution, also an ended one, a live keep-alive execution, a forwarded connection, a
 * wait for ports, or a freeze (exec/uses.h). A request begins the idle time anew.
 *
 * The kernel's command line says how long (main.c), and of a copy of the box the Resume that it begins with; the VMM
 * enforces the end of life a second time, because a guest may have other plans. Neither comes while the box is frozen: a
 * copy does not end at the end of another's life.
 *
 * The reason is the console's last line, "conker-init: the box was idle for 30 s", which the library shows.
 */
#ifndef INIT_SERVE_IDLE_H
#define INIT_SERVE_IDLE_H

#include <stdint.h>

#include "guest-init/exec/uses.h"
#include "util/util.h"

enum {
	IDLE_RETRY_MS = 30000,
	IDLE_RETRY_MAX_MS = 600000,
};

struct idle {
	int64_t idle_ms, life_ms; /* 0: no such limit */
	int64_t born_us;          /* when its life began: 0, with the machine, or by a Resume */
	int64_t retry_ms;         /* 0, or how long the next attempt to be kept waits at least */
	int suspends;             /* asks to be kept instead of powering off when idle */
};

enum idle_verdict {
	IDLE_GO_ON,
	IDLE_SUSPEND, /* ask to be kept */
	IDLE_END,
};

/* The host did not keep what it was offered; it has. */
void idle_refused(struct idle *d);
void idle_kept(struct idle *d);

/* What it is time for. Says why on the console, if it is the end. */
must_check enum idle_verdict idle_check(const struct idle *d, const struct uses *u, int64_t now_us);

/* When idle_check() may have something to say, or INT64_MAX. */
must_check int64_t idle_due_us(const struct idle *d, const struct uses *u);

#endif
