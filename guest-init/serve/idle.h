/* idle.h - the box that ends by itself: after being idle for so long, or at the end of its life.
 *
 * Instead of powering off when idle it may freeze itself and ask the host to keep it (freeze.h). After a Resume its idle
 * time begins anew. When nothing came of it, too, and then it waits longer: IDLE_RETRY_MS after the first time, twice that
 * after the next, up to IDLE_RETRY_MAX_MS. The host may lack the room, and each attempt stops the box for a while.
 *
 * In use is a box with a view on an execution, also an ended one, a live keep-alive execution, a forwarded connection, a
 * wait for ports, or a freeze. Each of these counts itself with idle_enter() when it begins and idle_leave() when it ends,
 * and nobody looks at their tables: so the idle time begins when the last use ends. A request begins it anew.
 *
 * The kernel's command line says how long (main.c), and of a copy of the box the Resume that it begins with; the VMM
 * enforces the end of life a second time, because a guest may have other plans. Neither comes while the box is frozen: a
 * copy does not end at the end of another's life.
 *
 * The reason is the console's last line, "conker-init: the box was idle for 30 s", which the library shows.
 */
#ifndef INIT_SERVE_IDLE
#define INIT_SERVE_IDLE

#include <stdint.h>

#include "util/util.h"

enum {
	IDLE_RETRY_MS = 30000,
	IDLE_RETRY_MAX_MS = 600000,
};

struct server;

struct idle {
	int64_t idle_ms, life_ms; /* 0: no such limit */
	int64_t born_us;          /* when its life began: 0, with the machine, or by a Resume */
	unsigned users;           /* who uses the box now */
	int64_t since_us;         /* of a box without users: when it was last used */
	int64_t retry_ms;         /* 0, or how long the next attempt to be kept waits at least */
	int suspends;             /* asks to be kept instead of powering off when idle */
};

/* It is a new box from now on, with these limits; who uses it stays. */
void idle_begin(struct server *s, int64_t life_ms, int64_t idle_ms, int suspends);

/* A use of the box begins; ends. */
void idle_enter(struct server *s);
void idle_leave(struct server *s);

/* The host did not keep what it was offered; it has. */
void idle_refused(struct server *s);
void idle_kept(struct server *s);

/* Once a turn: begins the power-off when it is time. */
void idle_run(struct server *s);

/* When idle_run() may have something to do, or INT64_MAX. */
must_check int64_t idle_due_us(const struct server *s);

/* A client said something. */
void idle_touch(struct server *s);

/* How long it has been idle; 0: it is not. */
must_check int64_t idle_for_us(const struct server *s);

#endif
