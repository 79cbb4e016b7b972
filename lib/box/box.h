/* SPDX-License-Identifier: Apache-2.0 */
/* box.h - a box and its life: the handle on it (lib/handle/handle.h), its directory, its VMM. */
#ifndef LIB_BOX_BOX_H
#define LIB_BOX_BOX_H

#include "lib/handle/handle.h"
#include "lib/host/boxdir.h"
#include "lib/images/images.h"

struct pending {           /* of a box that is being created, by conker_box_create_start() */
	conker_box_opts o; /* its numbers and flags; no strings */
	int64_t until_ms;
};

struct box {
	conker_box handle;
	struct meta meta;
	struct image_config image; /* what its image says of itself; empty: nothing */
	int doomed;                /* the box ends with this handle */
	int dir, starter;          /* the box's directory; the starter's lock */
	int owner, vmm;            /* our end of the owner socket; a pidfd */
	int grace;                 /* a timer, see life_on_conn_end() */
	int child, child_stderr;   /* of a VMM that we have started */
	uint64_t template_us;      /* see conker_box_info */
	struct pending *pending;   /* NULL: nobody asks whether it is ready */
	int ready_timer;           /* when it has to be */
	struct line_buf line;      /* [leader] */
	struct vm_events events;
	int gone; /* the VMM has ended */
};

/* Its own descriptors in the handle's epoll. */
enum { SRC_VMM = SRC_OWNER + 1, SRC_GRACE, SRC_READY_TIMER /* only wakes */ };

static inline struct box *box_of(const conker_box *b)
{
	return container_of(b, struct box, handle);
}

/* ---- box.c ------------------------------------------------------------------------------------------- */

struct box *box_new(struct err *e); /* NULL: with e set, which is required */
/* Another handle on the same running box, with a connection of its own. NULL: with e set. */
struct box *box_second(const struct box *b, struct err *e);
/* Ends the VMM of a box of ours, wherever it is. Little can be done with the handle afterwards but free it. 0 or
 * -errno: it may still be there. */
must_check int box_end_vmm(struct box *b);
/* The end of the box's life on this handle, once its users have gone. */
void box_teardown(struct box *b);

/* ---- life.c: what becomes of it [leader] ------------------------------------------------------------- */

void life_on_event(conker_box *b, uint32_t src);
void life_on_conn_end(conker_box *b);
/* Its end is noticed from now on. */
void life_watch_vmm(struct box *b);

/* ---- info.c ------------------------------------------------------------------------------------------ */

/* -errno: whether the box lives cannot be told; it is then filled as if it does. */
must_check int info_fill(conker_box_info *ret, const struct meta *m, const struct vm_events *v,
			 int dir);
/* Says that the box in dir has the name: a name_taken_fn. */
int info_name_taken(int dir, const char *name, struct err *e);

/* ---- freeze.c: around a snapshot --------------------------------------------------------------------- */

/* Stops the box's processes until box_thaw() on the same handle; if its connection is lost, for five seconds more.
 * *ret_port, unless NULL: the host's vsock port of its connection, 0 if unknown. While it is frozen a start by
 * another handle waits, and one by this handle fails with EBUSY. -EBUSY: frozen already. */
must_check int box_freeze(conker_box *b, uint32_t *ret_port, struct err *e);
/* -EINVAL: not frozen (any more); -EPERM: by another connection. */
must_check int box_thaw(conker_box *b, struct err *e);
/* 1: it is not frozen, and has just been used; 0: it is, by somebody else. -ETIMEDOUT: its guest does not answer, or its
 * VMM is writing its memory; -errno. */
must_check int box_is_awake(conker_box *b, int timeout_ms, struct err *e);
/* To be called once, first, on a box restored from a snapshot: gives it the time of day, the handle's box name as
 * hostname and a new generation, and lets its processes run. The executions that had clients are detached. A new box
 * gets the life and idle times in o; NULL: it is the one it was, and keeps its own. -EINVAL: it is not frozen. */
must_check int box_resume(conker_box *b, const conker_box_opts *o, struct err *e);
/* The same without waiting for the answer: what is sent next is handled right behind it. */
must_check int box_resume_send(conker_box *b, const conker_box_opts *o, struct err *e);

#endif
