/* SPDX-License-Identifier: Apache-2.0 */
/* starts.h - Start: from the message to a running execution, or a refusal. */
#ifndef INIT_EXEC_STARTS_H
#define INIT_EXEC_STARTS_H

#include "guest-init/exec/execs.h"

/* A message as it came, of which a Start is decoded: kept for a restart. */
struct start_bytes {
	const uint8_t *p;
	size_t len;
};

/* A request; answers by itself. may_wait: it is the last thing that its client has asked so far. */
void exec_start(struct execs *e, struct outbox *out, uint32_t channel, const Conker__Start *m,
		struct start_bytes raw, int may_wait);

#endif
