/* SPDX-License-Identifier: Apache-2.0 */
/* exec_fsm.c - see exec_fsm.h. */
#include "guest-init/exec/exec_fsm.h"

#include <assert.h>

/* What is not listed cannot happen. */
static const struct exec_step table[EXEC_N_STATES][EXEC_N_EVENTS] =
	{
		[EXEC_FREE] =
			{
				[EV_STARTED] = {EXEC_RUNNING, ACT_ARM},
			},
		[EXEC_RUNNING] =
			{
				[EV_TIMEOUT] = {EXEC_TERMED, ACT_TERM},
				[EV_KILL] = {EXEC_KILLED, ACT_KILL},
				[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
				[EV_LEAVING] = {EXEC_LEAVING, ACT_SETTLE},
				[EV_OUTPUT_END] = {EXEC_RUNNING, ACT_NONE},
			},
		[EXEC_TERMED] =
			{
				[EV_TIMEOUT] = {EXEC_KILLED, ACT_KILL},
				[EV_KILL] = {EXEC_KILLED, ACT_KILL},
				[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
				[EV_LEAVING] = {EXEC_DRAINING, ACT_DRAIN},
				[EV_OUTPUT_END] = {EXEC_TERMED, ACT_NONE},
				[EV_EMPTY] = {EXEC_DRAINING, ACT_DRAIN},
			},
		[EXEC_KILLED] =
			{
				[EV_TIMEOUT] = {EXEC_KILLED, ACT_KILL},
				[EV_KILL] = {EXEC_KILLED, ACT_NONE},
				[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
				[EV_LEAVING] = {EXEC_DRAINING, ACT_DRAIN},
				[EV_OUTPUT_END] = {EXEC_KILLED, ACT_NONE},
				[EV_EMPTY] = {EXEC_DRAINING, ACT_DRAIN},
			},
		[EXEC_DRAINING] =
			{
				[EV_TIMEOUT] = {EXEC_DRAINING, ACT_CHECK},
				[EV_KILL] = {EXEC_DRAINING, ACT_NONE},
				[EV_OUTPUT_END] = {EXEC_ENDED, ACT_REPORT},
				[EV_AGAIN] = {EXEC_BACKOFF, ACT_WAIT},
			},
		[EXEC_LEAVING] =
			{
				[EV_TIMEOUT] = {EXEC_TERMED, ACT_TERM},
				[EV_KILL] = {EXEC_KILLED, ACT_KILL},
				[EV_OUTPUT_END] = {EXEC_LEFT, ACT_LEAVE},
				[EV_EMPTY] = {EXEC_DRAINING, ACT_DRAIN},
			},
		[EXEC_LEFT] =
			{
				[EV_TIMEOUT] = {EXEC_TERMED, ACT_TERM},
				[EV_KILL] = {EXEC_KILLED, ACT_KILL},
				[EV_OUTPUT_END] = {EXEC_LEFT, ACT_NONE},
				[EV_EMPTY] = {EXEC_DRAINING, ACT_DRAIN},
			},
		[EXEC_BACKOFF] =
			{
				[EV_STARTED] = {EXEC_RUNNING, ACT_ARM},
				[EV_TIMEOUT] = {EXEC_BACKOFF, ACT_AGAIN},
				[EV_KILL] = {EXEC_ENDED, ACT_REPORT},
				[EV_FAILED] = {EXEC_ENDED, ACT_REPORT},
			},
		[EXEC_ENDED] =
			{
				[EV_KILL] = {EXEC_ENDED, ACT_NONE},
			},
};

struct exec_step exec_fsm(enum exec_state state, enum exec_event event)
{
	assert((unsigned)state < EXEC_N_STATES && (unsigned)event < EXEC_N_EVENTS);

	struct exec_step step = table[state][event];
	if (step.next == EXEC_FREE) /* no step leads there */
		step.action = ACT_BUG;
	return step;
}
