/* exec_fsm.c - see exec_fsm.h. */
#include "guest-init/exec_fsm.h"

#include <assert.h>

#define NEVER                      \
	{                          \
		EXEC_FREE, ACT_BUG \
	}

static const struct exec_step table[EXEC_N_STATES][EXEC_N_EVENTS] = {
	[EXEC_FREE] =
		{
			[EV_STARTED] = {EXEC_RUNNING, ACT_ARM},
			[EV_TIMEOUT] = NEVER,
			[EV_CLIENT_GONE] = NEVER,
			[EV_EXITED] = NEVER,
			[EV_OUTPUT_END] = NEVER,
		},
	[EXEC_RUNNING] =
		{
			[EV_STARTED] = NEVER,
			[EV_TIMEOUT] = {EXEC_TERMED, ACT_TERM},
			[EV_CLIENT_GONE] = {EXEC_KILLED, ACT_KILL},
			[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
			[EV_OUTPUT_END] = {EXEC_RUNNING, ACT_NONE},
		},
	[EXEC_TERMED] =
		{
			[EV_STARTED] = NEVER,
			[EV_TIMEOUT] = {EXEC_KILLED, ACT_KILL},
			[EV_CLIENT_GONE] = {EXEC_KILLED, ACT_KILL},
			[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
			[EV_OUTPUT_END] = {EXEC_TERMED, ACT_NONE},
		},
	[EXEC_KILLED] =
		{
			[EV_STARTED] = NEVER,
			[EV_TIMEOUT] = {EXEC_KILLED, ACT_KILL},
			[EV_CLIENT_GONE] = {EXEC_KILLED, ACT_NONE},
			[EV_EXITED] = {EXEC_DRAINING, ACT_DRAIN},
			[EV_OUTPUT_END] = {EXEC_KILLED, ACT_NONE},
		},
	[EXEC_DRAINING] =
		{
			[EV_STARTED] = NEVER,
			[EV_TIMEOUT] = {EXEC_DRAINING, ACT_CHECK},
			[EV_CLIENT_GONE] = {EXEC_DRAINING, ACT_NONE},
			[EV_EXITED] = NEVER,
			[EV_OUTPUT_END] = {EXEC_FREE, ACT_REPORT},
		},
};

struct exec_step exec_fsm(enum exec_state state, enum exec_event event)
{
	assert(state < EXEC_N_STATES && event < EXEC_N_EVENTS);
	return table[state][event];
}
