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
#ifndef INIT_SERVE_FREEZER
#define INIT_SERVE_FREEZER

#include <stdint.h>

#include "guest-init/sys/cg.h"
#include "proto/codec.h"
#include "util/util.h"

enum {
	FREEZE_WAIT_MS = 1000,  /* for all to stand still */
	FREEZE_LEASE_MS = 5000, /* for a Resume after the loss of the holder */
	FREEZE_RING_MS = 10000, /* for the host to take what it was offered, and for a Resume */
};

struct server;
struct client;

enum freeze_state {
	FREEZE_NONE,
	FREEZE_BEGUN, /* not all stand still yet */
	FREEZE_HELD,  /* by a client */
	FREEZE_LEASE, /* the client has gone */
	FREEZE_RUNG,  /* by init itself, and the host was told */
};

/* Asks the host to keep the box and end; a descriptor that stands for the request, or -errno. */
typedef int freeze_ring_fn(void);

struct freeze {
	enum freeze_state state;
	struct client *holder;    /* NULL: it has gone, or it is init itself */
	uint32_t channel;         /* of a Freeze that waits for its answer */
	uint32_t n;               /* freezes so far: tells clients of before this one */
	int64_t since_us, due_us; /* due: when the state ends by itself; 0: it does not */
	int is_open, is_watched;  /* the freezer's files; the one with its events */
	int is_set;               /* the freezer's flag; not where there is nobody to freeze */
	struct cg_freezer freezer;
	int generation_fd, random_fd; /* 0: none (yet) */
	int ring_fd;                  /* 0, or of the last ring */
	int n_waiting;                /* clients with a Start that waits */
	const char *root;             /* NULL, or where init sees the root directory of the box */
	freeze_ring_fn *ring;
};

/* Requests; they answer by themselves. */
void freeze_begin(struct server *s, struct client *c, uint32_t channel);
void freeze_thaw(struct server *s, struct client *c, uint32_t channel);
void freeze_resume(struct server *s, struct client *c, uint32_t channel, const Conker__Resume *m);

/* For a box that is idle: freezes it, then rings. 0 or -errno. */
must_check int freeze_and_ring(struct server *s);

must_check int freeze_is_on(const struct server *s);

/* Whether c is the one that may not wait for the thaw. */
must_check int freeze_is_holder(const struct server *s, const struct client *c);

/* The holder has said Hello once more: there is another client at the other end of its connection, so this is a
 * copy. It is one of the new world, and no holder any more; nothing of the old one's is its. */
void freeze_copied(struct server *s, struct client *c);

/* A client is about to go. */
void freeze_client_gone(struct server *s, const struct client *c);

/* cgroup.events has changed. */
void freeze_on_event(struct server *s);

/* Once a turn, and when that has something to do next, or INT64_MAX. */
void freeze_run(struct server *s);
must_check int64_t freeze_due_us(const struct server *s);

#endif
