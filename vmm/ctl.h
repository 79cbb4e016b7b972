/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h - the control channel: what the host asks of a running box. Only `snapshot` so far.
 *
 * A Unix SOCK_SEQPACKET socket; one client at a time, the others wait in the backlog; one message a request, one an
 * answer.
 *
 *	snapshot [stop] [keep PORT]	with two descriptors, SCM_RIGHTS: regular files (what they hold is lost), open for reading and writing, for the state and
 *				the memory. stop: the machine ends afterwards, and does not go on in between. keep: the host port of a
 *				vsock connection that goes on in the copy, with the first new client at its end (vsock_keep())
 *	-> done PAUSE_US MEMORY_BYTES	how long the guest stood still; bytes of data in the sparse memory file
 *	-> failed ERRNO TEXT		the machine goes on as if nothing had been asked; the files are empty again
 *
 * Who may connect has the box in his hands anyway: the socket lies in its directory. What he sends is checked all the
 * same.
 *
 * Thread: the loop's. A request is not served inside a handler: who turns the loop asks ctl_pending() after each step.
 */
#ifndef VMM_CTL_H
#define VMM_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/loop.h"
#include "util/util.h"

enum { CTL_MESSAGE_BYTES = 640, CTL_FDS = 2 };

struct ctl_request {
	bool stop;
	uint32_t keep_port; /* 0: none */
	int fds[CTL_FDS];   /* state, memory */
};

struct ctl {
	struct loop *loop;
	struct loop_src listener,
		client; /* the client's descriptor is ours, the listener's borrowed */
	bool pending;
	struct ctl_request request;
};

/* Pure. 0, or -EINVAL: no such request. */
must_check int ctl_parse(const char *text, size_t len, struct ctl_request *ret);

/* fd -1: nobody will ever ask. 0 or -errno. ctl_fini() copes with a zeroed one whose descriptors are -1. */
must_check int ctl_init(struct ctl *c, struct loop *l, int fd, struct err *e);
void ctl_fini(struct ctl *c);

/* The request that waits for its answer, NULL: none. Its descriptors stay ours. */
const struct ctl_request *ctl_pending(const struct ctl *c);

/* Answers it, and goes on listening. */
void ctl_answer(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
