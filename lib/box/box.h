/* box.h - the life of a box. */
#ifndef LIB_BOX_BOX_H
#define LIB_BOX_BOX_H

#include "lib/handle/request.h"
#include "lib/host/launch.h"

/* ---- freeze.c: around a snapshot -------------------------------------------------------------------------- */

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
