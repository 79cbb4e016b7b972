/* Rules of guest-init/exec_fsm.h. */
#include <criterion/criterion.h>

#include "guest-init/exec_fsm.h"
#include "util/util.h"

static void expect(enum exec_state state, enum exec_event event, enum exec_state next,
		   enum exec_action action)
{
	struct exec_step s = exec_fsm(state, event);

	cr_assert_eq(s.next, next, "state %d event %d", state, event);
	cr_assert_eq(s.action, action, "state %d event %d", state, event);
}

Test(init_exec_fsm, timeout_terminates_then_kills_and_goes_on_killing)
{
	expect(EXEC_RUNNING, EV_TIMEOUT, EXEC_TERMED, ACT_TERM);
	expect(EXEC_TERMED, EV_TIMEOUT, EXEC_KILLED, ACT_KILL);
	expect(EXEC_KILLED, EV_TIMEOUT, EXEC_KILLED, ACT_KILL);
}

Test(init_exec_fsm, exit_drains_from_every_living_state)
{
	expect(EXEC_RUNNING, EV_EXITED, EXEC_DRAINING, ACT_DRAIN);
	expect(EXEC_TERMED, EV_EXITED, EXEC_DRAINING, ACT_DRAIN);
	expect(EXEC_KILLED, EV_EXITED, EXEC_DRAINING, ACT_DRAIN);
}

Test(init_exec_fsm, end_of_output_alone_reports_nothing)
{
	expect(EXEC_RUNNING, EV_OUTPUT_END, EXEC_RUNNING, ACT_NONE);
	expect(EXEC_TERMED, EV_OUTPUT_END, EXEC_TERMED, ACT_NONE);
	expect(EXEC_KILLED, EV_OUTPUT_END, EXEC_KILLED, ACT_NONE);
}

Test(init_exec_fsm, lost_client_kills_what_lives)
{
	expect(EXEC_RUNNING, EV_CLIENT_GONE, EXEC_KILLED, ACT_KILL);
	expect(EXEC_TERMED, EV_CLIENT_GONE, EXEC_KILLED, ACT_KILL);
	expect(EXEC_DRAINING, EV_CLIENT_GONE, EXEC_DRAINING, ACT_NONE);
}

/* Every walk of events that can happen reports exactly once, as its last step: explored in full up to a
 * depth at which every cell was reached. */
static int walk(enum exec_state state, int depth, int exited, int ended)
{
	static const enum exec_event any[] = {EV_TIMEOUT, EV_CLIENT_GONE};
	int reports = 0;

	if (depth == 0)
		return 0;
	for (size_t i = 0; i < countof(any); i++) {
		struct exec_step s = exec_fsm(state, any[i]);

		cr_assert_neq(s.action, ACT_REPORT);
		cr_assert_neq(s.action, ACT_BUG);
		reports += walk(s.next, depth - 1, exited, ended);
	}
	if (!exited) {
		struct exec_step s = exec_fsm(state, EV_EXITED);

		cr_assert_eq(s.next, EXEC_DRAINING);
		if (ended) { /* the caller raises it again */
			s = exec_fsm(s.next, EV_OUTPUT_END);
			cr_assert_eq(s.action, ACT_REPORT);
			return reports + 1;
		}
		reports += walk(s.next, depth - 1, 1, ended);
	}
	if (!ended) {
		struct exec_step s = exec_fsm(state, EV_OUTPUT_END);

		cr_assert_eq(s.action, exited ? ACT_REPORT : ACT_NONE);
		if (exited) {
			cr_assert_eq(s.next, EXEC_FREE);
			return reports + 1;
		}
		reports += walk(s.next, depth - 1, exited, 1);
	}
	return reports;
}

Test(init_exec_fsm, every_life_ends_with_one_report)
{
	struct exec_step s = exec_fsm(EXEC_FREE, EV_STARTED);

	cr_assert_eq(s.next, EXEC_RUNNING);
	cr_assert_gt(walk(s.next, 7, 0, 0), 0);
}

Test(init_exec_fsm, nothing_happens_to_a_free_slot)
{
	for (enum exec_event e = EV_TIMEOUT; e < EXEC_N_EVENTS; e++)
		cr_assert_eq(exec_fsm(EXEC_FREE, e).action, ACT_BUG);
	for (enum exec_state s = EXEC_RUNNING; s < EXEC_N_STATES; s++)
		cr_assert_eq(exec_fsm(s, EV_STARTED).action, ACT_BUG);
	cr_assert_eq(exec_fsm(EXEC_DRAINING, EV_EXITED).action, ACT_BUG);
}
