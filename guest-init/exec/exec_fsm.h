/* SPDX-License-Identifier: Apache-2.0 */
/* exec_fsm.h - the life of an execution as a table: state x event -> next state and one action.
 *
 *            STARTED   TIMEOUT   KILL      EXITED    LEAVING   OUTPUT_END  AGAIN     EMPTY     FAILED
 *  FREE      RUNNING   -         -         -         -         -           -         -         -
 *              arm
 *  RUNNING   -         TERMED    KILLED    DRAINING  LEAVING   stays       -         -         -
 *                        term      kill      drain     settle
 *  TERMED    -         KILLED    KILLED    DRAINING  DRAINING  stays       -         DRAINING  -
 *                        kill      kill      drain     drain                           drain
 *  KILLED    -         stays     stays     DRAINING  DRAINING  stays       -         DRAINING  -
 *                        kill                drain     drain                           drain
 *  DRAINING  -         stays     stays     -         -         ENDED       BACKOFF   -         -
 *                        check                                   report      wait
 *  LEAVING   -         TERMED    KILLED    -         -         LEFT        -         DRAINING  -
 *                        term      kill                          leave                 drain
 *  LEFT      -         TERMED    KILLED    -         -         stays       -         DRAINING  -
 *                        term      kill                                                drain
 *  BACKOFF   RUNNING   stays     ENDED     -         -         -           -         -         ENDED
 *              arm       again     report                                                        report
 *  ENDED     -         -         stays     -         -         -           -         -         -
 *
 * "-" cannot happen; it is answered by ACT_BUG. What each action does stands in lifecycle.c, once.
 */
#ifndef INIT_EXEC_EXEC_FSM_H
#define INIT_EXEC_EXEC_FSM_H

enum exec_state {
	EXEC_FREE,
	EXEC_RUNNING,  /* the main process lives (or died and was not reaped yet) */
	EXEC_TERMED,   /* timed out: SIGTERM went out, the grace period runs */
	EXEC_KILLED,   /* SIGKILL went out */
	EXEC_DRAINING, /* nobody is to run any more; the last output is on the way */
	EXEC_LEAVING,  /* main was reaped and leaves others behind; its own output is on the way */
	EXEC_LEFT,     /* what it left behind runs; main's end was told */
	EXEC_BACKOFF,  /* ended, and waits for its next run */
	EXEC_ENDED,    /* kept for those who ask later */
	EXEC_N_STATES,
};

enum exec_event {
	EV_STARTED,
	EV_TIMEOUT, /* the deadline of the current state passed */
	EV_KILL,    /* it shall end at once: its starter went, or it was asked to while it waits */
	EV_EXITED,  /* the main process was reaped */
	EV_LEAVING, /* likewise, and what it left behind may live on */
	EV_OUTPUT_END, /* the last output stream has ended (LEAVING: main's share of it was read) */
	EV_AGAIN,      /* likewise, and there is to be another run */
	EV_EMPTY,      /* the last process of what was left behind has gone */
	EV_FAILED,     /* the next run could not be started */
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
	ACT_SETTLE, /* what is in the pipes now is main's; read that much */
	ACT_LEAVE,  /* Exit of main to those who are attached */
	ACT_WAIT,   /* give everything of this run back; start the clock of the backoff */
	ACT_AGAIN,  /* start the next run; it raises STARTED or FAILED */
	ACT_REPORT, /* Exit to those who are attached, and give everything back but what is kept */
};

struct exec_step {
	enum exec_state next;
	enum exec_action action;
};

/* Pure. */
struct exec_step exec_fsm(enum exec_state state, enum exec_event event);

#endif
