/* idle.h - the box that ends by itself: after being idle for so long, or at the end of its life.
 *
 * Instead of powering off when idle it may freeze itself and ask the host to keep it (freeze.h). After a Resume, or
 * when the host does not want to, its idle time begins anew.
 *
 * Idle is a box without a view on an execution, also an ended one, a live keep-alive execution, a forwarded connection,
 * a wait for ports, or a request. The kernel's command line says how long (main.c), and of a copy of the box the Resume
 * that it begins with; the VMM enforces the end of life a second time, because a guest may have other plans. Neither comes
 * while the box is frozen: a copy does not end at the end of another's life.
 *
 * The reason is the console's last line, "conker-init: the box was idle for 30 s", which the library shows.
 */
#ifndef INIT_IDLE_H
#define INIT_IDLE_H

#include <stdint.h>

#include "util/util.h"

struct server;

struct idle {
	int64_t idle_ms, life_ms; /* 0: no such limit */
	int64_t born_us;          /* when its life began: 0, with the machine, or by a Resume */
	int64_t since_us;         /* when it was last busy */
	int suspends;             /* asks to be kept instead of powering off when idle */
};

/* It is a new box from now on, with these limits. */
void idle_begin(struct server *s, int64_t life_ms, int64_t idle_ms, int suspends);

/* Once a turn: begins the power-off when it is time. */
void idle_run(struct server *s);

/* When idle_run() may have something to do, or INT64_MAX. */
must_check int64_t idle_due_us(const struct server *s);

/* A client said something. */
void idle_touch(struct server *s);

/* How long it has been idle; 0: it is not. */
must_check int64_t idle_for_us(const struct server *s);

#endif
