/* exec_fsm.h - the life of an execution as a table: state x event -> next state and one action.
 *
 *            STARTED      TIMEOUT         CLIENT_GONE     EXITED          OUTPUT_END
 *  FREE      RUNNING      -               -               -               -
 *  RUNNING   -            TERMED: term    KILLED: kill    DRAINING: drain stays
 *  TERMED    -            KILLED: kill    KILLED: kill    DRAINING: drain stays
 *  KILLED    -            KILLED: kill    stays           DRAINING: drain stays
 *  DRAINING  -            stays: check    stays           -               FREE: report
 *
 * "-" cannot happen; it is answered by ACT_BUG. What each action does stands in exec.c, once.
 */
#ifndef INIT_EXEC_FSM_H
#define INIT_EXEC_FSM_H

enum exec_state {
	EXEC_FREE,
	EXEC_RUNNING,  /* the main process lives (or died and was not reaped yet) */
	EXEC_TERMED,   /* timed out: SIGTERM went out, the grace period runs */
	EXEC_KILLED,   /* SIGKILL went out */
	EXEC_DRAINING, /* reaped; its last output is on the way */
	EXEC_N_STATES,
};

enum exec_event {
	EV_STARTED,
	EV_TIMEOUT,     /* the deadline of the current state passed */
	EV_CLIENT_GONE, /* nobody is left to report to */
	EV_EXITED,      /* the main process was reaped */
	EV_OUTPUT_END,  /* the last output stream has ended */
	EXEC_N_EVENTS,
};

enum exec_action {
	ACT_NONE,
	ACT_BUG,
	ACT_ARM,    /* start the clock of Start.timeout_ms */
	ACT_TERM,   /* SIGTERM to all; start the clock of Start.grace_ms */
	ACT_KILL,   /* SIGKILL to all; look again later, a fork may have slipped through */
	ACT_DRAIN,  /* SIGKILL to what is left; look later whether that ended its output */
	ACT_CHECK,  /* nobody left who could write? then what is in the pipes is all */
	ACT_REPORT, /* Exit, and the slot is free */
};

struct exec_step {
	enum exec_state next;
	enum exec_action action;
};

/* Pure. */
struct exec_step exec_fsm(enum exec_state state, enum exec_event event);

#endif
