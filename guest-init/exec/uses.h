/* SPDX-License-Identifier: Apache-2.0 */
/* uses.h - who uses the box now: views on executions, keep-alive executions, and what other floors count here.
 *
 * Each use counts itself when it begins and when it ends, and nobody looks at their tables: so the idle time begins
 * when the last use ends. Pure.
 */
#ifndef INIT_EXEC_USES_H
#define INIT_EXEC_USES_H

#include <assert.h>
#include <stdint.h>

struct uses {
	unsigned n;
	int64_t since_us; /* of a box without users: when it was last used */
};

static inline void uses_enter(struct uses *u)
{
	u->n++;
}

static inline void uses_leave(struct uses *u, int64_t now_us)
{
	assert(u->n > 0);
	u->n--;
	u->since_us = now_us;
}

#endif
