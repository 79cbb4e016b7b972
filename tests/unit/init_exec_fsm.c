/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/exec/exec_fsm.h. */
#include "guest-init/exec/exec_fsm.h"
#include "tests/lib/test.h"
#include "util/util.h"

/* The header's table, entry by entry; what is not here is a bug. */
static const struct {
	enum exec_state state;
	enum exec_event event;
	enum exec_state next;
	enum exec_action action;
} entries[] = {
	{EXEC_FREE, EV_STARTED, EXEC_RUNNING, ACT_ARM},

	{EXEC_RUNNING, EV_TIMEOUT, EXEC_TERMED, ACT_TERM},
	{EXEC_RUNNING, EV_KILL, EXEC_KILLED, ACT_KILL},
	{EXEC_RUNNING, EV_EXITED, EXEC_DRAINING, ACT_DRAIN},
	{EXEC_RUNNING, EV_LEAVING, EXEC_LEAVING, ACT_SETTLE},
	{EXEC_RUNNING, EV_OUTPUT_END, EXEC_RUNNING, ACT_NONE},

	{EXEC_TERMED, EV_TIMEOUT, EXEC_KILLED, ACT_KILL},
	{EXEC_TERMED, EV_KILL, EXEC_KILLED, ACT_KILL},
	{EXEC_TERMED, EV_EXITED, EXEC_DRAINING, ACT_DRAIN},
	{EXEC_TERMED, EV_LEAVING, EXEC_DRAINING, ACT_DRAIN},
	{EXEC_TERMED, EV_OUTPUT_END, EXEC_TERMED, ACT_NONE},
	{EXEC_TERMED, EV_EMPTY, EXEC_DRAINING, ACT_DRAIN},

	{EXEC_KILLED, EV_TIMEOUT, EXEC_KILLED, ACT_KILL},
	{EXEC_KILLED, EV_KILL, EXEC_KILLED, ACT_NONE},
	{EXEC_KILLED, EV_EXITED, EXEC_DRAINING, ACT_DRAIN},
	{EXEC_KILLED, EV_LEAVING, EXEC_DRAINING, ACT_DRAIN},
	{EXEC_KILLED, EV_OUTPUT_END, EXEC_KILLED, ACT_NONE},
	{EXEC_KILLED, EV_EMPTY, EXEC_DRAINING, ACT_DRAIN},

	{EXEC_DRAINING, EV_TIMEOUT, EXEC_DRAINING, ACT_CHECK},
	{EXEC_DRAINING, EV_KILL, EXEC_DRAINING, ACT_NONE},
	{EXEC_DRAINING, EV_OUTPUT_END, EXEC_ENDED, ACT_REPORT},
	{EXEC_DRAINING, EV_AGAIN, EXEC_BACKOFF, ACT_WAIT},

	{EXEC_LEAVING, EV_TIMEOUT, EXEC_TERMED, ACT_TERM},
	{EXEC_LEAVING, EV_KILL, EXEC_KILLED, ACT_KILL},
	{EXEC_LEAVING, EV_OUTPUT_END, EXEC_LEFT, ACT_LEAVE},
	{EXEC_LEAVING, EV_EMPTY, EXEC_DRAINING, ACT_DRAIN},

	{EXEC_LEFT, EV_TIMEOUT, EXEC_TERMED, ACT_TERM},
	{EXEC_LEFT, EV_KILL, EXEC_KILLED, ACT_KILL},
	{EXEC_LEFT, EV_OUTPUT_END, EXEC_LEFT, ACT_NONE},
	{EXEC_LEFT, EV_EMPTY, EXEC_DRAINING, ACT_DRAIN},

	{EXEC_BACKOFF, EV_STARTED, EXEC_RUNNING, ACT_ARM},
	{EXEC_BACKOFF, EV_TIMEOUT, EXEC_BACKOFF, ACT_AGAIN},
	{EXEC_BACKOFF, EV_KILL, EXEC_ENDED, ACT_REPORT},
	{EXEC_BACKOFF, EV_FAILED, EXEC_ENDED, ACT_REPORT},

	{EXEC_ENDED, EV_KILL, EXEC_ENDED, ACT_NONE},
};

Test(init_exec_fsm, is_the_table_in_its_header)
{
	int listed[EXEC_N_STATES][EXEC_N_EVENTS] = {0};

	for (size_t i = 0; i < countof(entries); i++) {
		struct exec_step s = exec_fsm(entries[i].state, entries[i].event);

		cr_assert_eq(s.next, entries[i].next, "entry %zu", i);
		cr_assert_eq(s.action, entries[i].action, "entry %zu", i);
		listed[entries[i].state][entries[i].event] = 1;
	}
	for (int s = 0; s < EXEC_N_STATES; s++)
		for (int e = 0; e < EXEC_N_EVENTS; e++)
			cr_assert(listed[s][e] ||
					  exec_fsm((enum exec_state)s, (enum exec_event)e).action ==
						  ACT_BUG,
				  "state %d event %d", s, e);
}

/* What lifecycle.c knows beside the state, and raises events by. */
struct life {
	enum exec_state state;
	int main_lives, others_live, output_open; /* others: main may leave them behind */
	int reports, leaves;
	int again; /* it has a restart policy; such a one leaves no children */
};

static void take(struct life *l, enum exec_event e)
{
	struct exec_step s = exec_fsm(l->state, e);

	cr_assert_neq(s.action, ACT_BUG, "state %d event %d", l->state, e);
	cr_assert_eq(l->reports, 0, "something happened after the report");
	l->state = s.next;
	l->reports += s.action == ACT_REPORT;
	l->leaves += s.action == ACT_LEAVE;
	if (s.action == ACT_AGAIN || s.action == ACT_ARM)
		l->main_lives = l->output_open = 1;
}

/* Every walk of events that can happen, up to a depth at which every state was reached. */
static int walk(struct life l, int depth)
{
	static int reached[EXEC_N_STATES];
	static const enum exec_event any[] = {EV_TIMEOUT, EV_KILL};

	reached[l.state] = 1;
	cr_assert_leq(l.leaves, 1);
	if (depth == 0 || l.reports > 0) {
		int n = 0;

		for (int s = 0; s < EXEC_N_STATES; s++)
			n += reached[s];
		return n;
	}
	for (size_t i = 0; i < countof(any); i++) {
		struct life next = l;

		if (any[i] == EV_TIMEOUT && l.state == EXEC_BACKOFF) {
			for (enum exec_event e = EV_STARTED; e <= EV_FAILED; e += EV_FAILED) {
				next = l;
				take(&next, EV_TIMEOUT);
				take(&next, e);
				(void)walk(next, depth - 1);
			}
			continue;
		}
		take(&next, any[i]);
		(void)walk(next, depth - 1);
	}
	if (l.state == EXEC_BACKOFF)
		return walk(l, 0);
	if (l.main_lives) {
		for (enum exec_event e = EV_EXITED; e <= (l.again ? EV_EXITED : EV_LEAVING); e++) {
			struct life next = l;

			take(&next, e);
			next.main_lives = 0;
			next.others_live = next.state == EXEC_LEAVING;
			(void)walk(next, depth - 1);
		}
	} else if (l.others_live) {
		struct life next = l;

		take(&next, EV_EMPTY);
		next.others_live = 0;
		(void)walk(next, depth - 1);
	}
	for (enum exec_event e = EV_OUTPUT_END; e <= EV_AGAIN; e++) {
		struct life next = l;

		if (e == EV_AGAIN && (l.state != EXEC_DRAINING || !l.again))
			continue;
		take(&next, e);
		(void)walk(next, depth - 1);
	}
	return walk(l, 0);
}

Test(init_exec_fsm, every_life_ends_with_one_report_and_leaves_at_most_once)
{
	struct life l;

	for (int again = 0; again < 2; again++) {
		l = (struct life){.state = EXEC_FREE, .again = again};
		take(&l, EV_STARTED);
		(void)walk(l, 7);
	}
	cr_assert_eq(walk(l, 0), EXEC_N_STATES - 1, "not every state was reached");
}
