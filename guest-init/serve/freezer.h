/* SPDX-License-Identifier: Apache-2.0 */
/* freezer.h - a box that stands still while a snapshot is taken of it, and what it does when it finds itself
 * in a new world.
 *
 *             Freeze        all stand still        Thaw
 *    NONE ------------> BEGUN ------------> HELD --------> NONE
 *      \                                      | holder lost    lease over: as Thaw
 *       \ idle                                +-------> LEASE --------> NONE
 *        +------------> BEGUN ------------> RUNG -------------------> NONE
 *                                  ring            nobody answers: as Thaw
 *    any but NONE --Resume--> NONE
 *
 * Whether init goes on in the old world or was restored into a new one it learns only by Thaw and Resume:
 * connections break in both. So while the box is frozen the loss of a starter is only noted (exec.orphaned);
 * Thaw kills what lost its starter, Resume detaches it. The clocks of executions stand still, so that a timeout
 * neither fires at a process that could do nothing about it nor counts time that it did not have. A Start
 * waits in its client's inbox; that of the holder is refused, whose Thaw would wait behind it.
 *
 * The holder's connection may go on in a copy, where another client has its other end. A second Hello tells.
 *
 * A restored guest makes few system calls before it runs commands: per lost connection recvfrom and close; for
 * Resume clock_settime, sethostname, pwrite of the generation, ioctl of the kernel's generator and, if any process stood
 * still, pwrite of the freezer's flag. What can be done beforehand is done by Freeze.
 *
 * Limits: a process that the kernel is busy for (uninterruptible) does not delay Freeze for more than a
 * second: it cannot get back to user mode either. A holder that lives and says nothing keeps the box frozen.
 */
#ifndef INIT_SERVE_FREEZER_H
#define INIT_SERVE_FREEZER_H

#include <stdint.h>

#include "guest-init/exec/execs.h"

enum {
	FREEZE_WAIT_MS = 1000,  /* for all to stand still */
	FREEZE_LEASE_MS = 5000, /* for a Resume after the loss of the holder */
	FREEZE_RING_MS = 10000, /* for the host to take what it was offered, and for a Resume */
};

enum freezer_state {
	FREEZE_NONE,
	FREEZE_BEGUN, /* not all stand still yet */
	FREEZE_HELD,  /* by a client */
	FREEZE_LEASE, /* the client has gone */
	FREEZE_RUNG,  /* by init itself, and the host was told */
};

/* Asks the host to keep the box and end; a descriptor that stands for the request, or -errno. */
typedef int freezer_ring_fn(void);

struct freezer {
	struct execs *execs;
	enum freezer_state state;
	struct outbox *holder;    /* NULL: it has gone, or it is init itself */
	uint32_t channel;         /* of a Freeze that waits for its answer */
	uint32_t host_port;       /* of the holder's connection, or 0 */
	uint32_t n;               /* freezes so far: tells clients of before this one */
	int64_t since_us, due_us; /* due: when the state ends by itself; 0: it does not */
	int is_open, is_watched;  /* the freezer's files; the one with its events */
	int is_set;               /* the freezer's flag; not where there is nobody to freeze */
	int is_still;             /* BEGUN: all stand still, or have had their time */
	struct cg_freezer files;
	int generation_fd, random_fd; /* 0: none (yet) */
	int ring_fd;                  /* 0, or of the last ring */
	const char *root;             /* NULL, or where init sees the root directory of the box */
	freezer_ring_fn *ring;
};

/* Begins to freeze, for a client, which is answered when all stand still, or for init itself (NULL), who then
 * rings. event: what cgroup.events is to be heard by. 0 or -errno. */
must_check int freezer_begin(struct freezer *f, struct outbox *holder, uint32_t channel,
			     uint32_t host_port, struct ev_name event);

/* All go on. The processes run first; whom to kill among them comes after. forgive: who lost his starter is not. */
void freezer_end(struct freezer *f, int forgive);

/* Of a Resume: the clock, the name, the generation and the seed of the new world. */
void freezer_set_world(const struct freezer *f, const Conker__Resume *m);

must_check static inline int freezer_is_on(const struct freezer *f)
{
	return f->state != FREEZE_NONE;
}

/* Whether it is the one that may not wait for the thaw. */
must_check static inline int freezer_is_holder(const struct freezer *f, const struct outbox *out)
{
	return f->holder == out;
}

/* The client goes; if it is the holder, a Resume has some seconds to come. */
void freezer_lose(struct freezer *f, const struct outbox *out);

/* cgroup.events has changed. */
void freezer_on_event(struct freezer *f);

enum freezer_news {
	FREEZER_NO_NEWS,
	FREEZER_STILL, /* all stand still: freezer_hold(), when all that was said before is on its way */
	FREEZER_ENDED,   /* it was time */
	FREEZER_REFUSED, /* likewise, and nothing came of what init asked for */
};

/* Once a turn, and when that has something to do next, or INT64_MAX. */
must_check enum freezer_news freezer_run(struct freezer *f);
must_check int64_t freezer_due_us(const struct freezer *f);

/* Answers the holder, or rings. 0, or -errno: there is nobody to ring at, and all go on. */
must_check int freezer_hold(struct freezer *f);

#endif
