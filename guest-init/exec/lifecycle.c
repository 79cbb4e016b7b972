/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle.c - see lifecycle.h. */
#include "guest-init/exec/lifecycle.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "guest-init/exec/output.h"
#include "guest-init/exec/runs.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/exec/views.h"
#include "guest-init/sys/sys.h"

/* SIGKILL and SIGTERM by request count only if they are what ended it. What was left behind has no
 * status of its own to tell. */
static int was_killed(const struct exec *x)
{
	return x->abandoned || (x->signo == SIGKILL && (x->asked & ASKED_KILL)) ||
	       (x->signo == SIGTERM && (x->asked & ASKED_TERM));
}

static Conker__Status status_of_end(const struct exec *x)
{
	if (x->failed)
		return CONKER__STATUS__FAILED;
	if (x->timed_out)
		return CONKER__STATUS__TIMED_OUT;
	if (was_killed(x))
		return CONKER__STATUS__KILLED;
	if (x->signo == SIGKILL && x->oom_kills > 0)
		return CONKER__STATUS__OOM_KILLED;
	return x->signo ? CONKER__STATUS__SIGNALED : CONKER__STATUS__EXITED;
}

/* Before its group is given back. */
static void take_usage(struct execs *e, struct exec *x)
{
	const struct cg_main m = {
		.user_us = (uint64_t)x->user_us, .sys_us = (uint64_t)x->sys_us, .signo = x->signo};

	x->oom_kills = x->cg < 0 ? 0 : cg_usage_end(&e->cg, x->cg, &m, &x->usage);
}

/* Whether a request is what ended this run: main died of that signal, or exited on SIGTERM, for which it may need its
 * time. One that took SIGTERM as a hint and lived on has had it, and ends some day for reasons of its own. */
static int ended_as_asked(const struct exec *x)
{
	int orderly = x->code == 0 || x->code == 128 + SIGTERM;
	int64_t most_ms = orderly ? TERM_ORDERLY_MS : TERM_MIN_MS;

	if (was_killed(x))
		return 1;
	most_ms = most_ms > x->grace_ms ? most_ms : x->grace_ms;
	return !x->signo && (x->asked & ASKED_TERM) &&
	       x->end_us - x->termed_us <= ms_to_us(most_ms);
}

static int wants_again(const struct exec *x)
{
	const struct exec_restart *r = &x->restart;

	if (ended_as_asked(x) || (r->max && r->n == r->max))
		return 0;
	return r->policy == CONKER__RESTART__POLICY__ALWAYS ||
	       (r->policy == CONKER__RESTART__POLICY__ON_FAILURE && !x->timed_out &&
		(x->code || x->signo));
}

static void back_off(struct execs *e, struct exec *x)
{
	struct exec_restart *r = &x->restart;

	take_usage(e, x);
	x->status = status_of_end(x);
	run_end(e, x);
	x->deadline_us = e->poller->now_us + ms_to_us(r->backoff_ms);
	r->backoff_ms =
		r->backoff_ms > r->backoff_max_ms / 2 ? r->backoff_max_ms : r->backoff_ms * 2;
}

static void report_end(struct execs *e, struct exec *x)
{
	take_usage(e, x);
	x->status = status_of_end(x);
	x->ended_real_us = real_us();
	execs_retire(e, x);
}

/* The next run, of the message that was kept. 0 or -errno. */
static int run_again(struct execs *e, struct exec *x)
{
	Conker__ClientMsg *m;
	const char *why;
	uint32_t channel;

	e->arena->used_bytes = 0;
	int r = codec_decode_client(x->restart.start, x->restart.start_len, e->arena, &m, &channel,
				    &why);
	assert(r == 0); /* it could be decoded before */
	x->timed_out = x->asked = 0;
	x->run_us = e->poller->now_us;
	x->restart.n++;
	struct refusal no = run_begin(e, x, m->start, 0);
	if (!no.step)
		return 0;
	x->failed = 1;
	x->signo = 0;
	x->code = no.code == ENOENT ? 127 : 126; /* as a shell puts it */
	x->end_us = e->poller->now_us;
	return -no.code;
}

/* ---- transitions ---- */

static void transit(struct execs *e, struct exec *x, enum exec_event event);

/* Nobody in the cgroup any more: what is in the pipes now is all that will come, even if somebody
 * elsewhere in the box got hold of a writing end. */
static void check_drained(struct execs *e, struct exec *x)
{
	x->check_ms = min_(x->check_ms * 2, (uint32_t)DRAIN_CHECK_MAX_MS);
	x->deadline_us = e->poller->now_us + ms_to_us(x->check_ms);
	if (cg_populated(&e->cg, x->cg))
		cg_kill(&e->cg, x->cg);
	else
		output_close_drained(e, x);
}

static void drain(struct execs *e, struct exec *x)
{
	run_unwatch_group(e, x);
	if (cg_left_behind(&e->cg, x->cg))
		cg_kill(&e->cg, x->cg);
	stdin_drop(e, x);
	x->check_ms = DRAIN_CHECK_MS;
	x->deadline_us = e->poller->now_us + ms_to_us(DRAIN_CHECK_MS);
}

static void settle_main(struct exec *x)
{
	x->left = 1;
	x->status = status_of_end(x);
	output_settle(x);
}

/* Its starter has had the Exit it waited for, so from now on nobody is needed to keep it alive. */
static void leave_main(struct execs *e, struct exec *x)
{
	x->detached = 1;
	stdin_drop(e, x);
	x->in_open = 0;
	view_end_all(e, x);
	output_rearm(e, x);
}

static void act(struct execs *e, struct exec *x, enum exec_action action)
{
	switch (action) {
	case ACT_NONE: break;
	case ACT_BUG: assert(0); break;
	case ACT_ARM:
		x->deadline_us = x->timeout_ms ? e->poller->now_us + ms_to_us(x->timeout_ms) : 0;
		break;
	case ACT_TERM:
		x->timed_out = 1;
		/* All dead: the exit is on its way. */
		(void)!cg_signal(&e->cg, x->cg, x->stop_signal ? x->stop_signal : SIGTERM);
		x->deadline_us = e->poller->now_us + ms_to_us(x->grace_ms);
		break;
	case ACT_KILL:
		cg_kill(&e->cg, x->cg);
		x->deadline_us = e->poller->now_us + ms_to_us(KILL_AGAIN_MS);
		break;
	case ACT_DRAIN: drain(e, x); break;
	case ACT_CHECK: check_drained(e, x); break;
	case ACT_SETTLE: settle_main(x); break;
	case ACT_LEAVE: leave_main(e, x); break;
	case ACT_WAIT: back_off(e, x); break;
	case ACT_AGAIN: transit(e, x, run_again(e, x) < 0 ? EV_FAILED : EV_STARTED); break;
	case ACT_REPORT: report_end(e, x); break;
	}
}

static void transit(struct execs *e, struct exec *x, enum exec_event event)
{
	struct exec_step step = exec_fsm(x->state, event);

	x->state = step.next;
	act(e, x, step.action);
}

/* Also after the exit: the output may have ended before. */
static void check_output_end(struct execs *e, struct exec *x)
{
	if (x->state == EXEC_BACKOFF || !exec_is_live(x) || !output_is_over(x))
		return;
	transit(e, x, x->state == EXEC_DRAINING && wants_again(x) ? EV_AGAIN : EV_OUTPUT_END);
}

void exec_started(struct execs *e, struct exec *x)
{
	transit(e, x, EV_STARTED);
}

/* ---- events ---- */

static void reap(struct execs *e, struct exec *x, const siginfo_t *si, const struct rusage *ru)
{
	close(x->pidfd);
	x->pidfd = -1;
	x->code = si->si_code == CLD_EXITED ? si->si_status : 0;
	x->signo = si->si_code == CLD_EXITED ? 0 : si->si_status;
	x->end_us = e->poller->now_us;
	x->user_us = ru->ru_utime.tv_sec * INT64_C(1000000) + ru->ru_utime.tv_usec;
	x->sys_us = ru->ru_stime.tv_sec * INT64_C(1000000) + ru->ru_stime.tv_usec;
	x->max_rss_kib = ru->ru_maxrss;
}

/* Whether others live on, whose end will be heard of: the event comes when the file has changed
 * since it was last read, which cg_populated() just did. */
static int leaves_others(struct execs *e, struct exec *x)
{
	if (!x->leave || !cg_populated(&e->cg, x->cg))
		return 0;
	x->group_watched =
		exec_watch(e, x, cg_fd(&e->cg, x->cg, CG_EVENTS), EPOLLPRI, KIND_GROUP, 0) == 0;
	return x->group_watched;
}

static void on_output_event(struct execs *e, struct exec *x, int k, uint32_t revents)
{
	output_on_event(e, x, k, revents);
	check_output_end(e, x);
}

static void on_main_exit(struct execs *e, struct exec *x)
{
	struct rusage ru = {0};
	siginfo_t si = {0};

	if (x->pidfd < 0 || sys_waitid(x->pidfd, &si, &ru) < 0)
		return;
	reap(e, x, &si, &ru);
	output_main_ended(e, x);
	if (x->out[0].due_us)
		output_hurry(e, x);
	transit(e, x, leaves_others(e, x) ? EV_LEAVING : EV_EXITED);
	check_output_end(e, x);
}

static void on_group_event(struct execs *e, struct exec *x)
{
	if (!x->group_watched || cg_populated(&e->cg, x->cg))
		return;
	x->end_us = e->poller->now_us;
	transit(e, x, EV_EMPTY);
	check_output_end(e, x);
}

static void on_deadline(struct execs *e, struct exec *x)
{
	x->deadline_us = 0;
	transit(e, x, EV_TIMEOUT);
	check_output_end(e, x);
}

void execs_on_event(struct execs *e, struct ev_name name, uint32_t revents)
{
	struct exec *x = &e->exec[name.index];

	if (x->gen != name.gen)
		return;
	switch ((enum exec_kind)name.kind) {
	case KIND_EXIT: on_main_exit(e, x); break;
	case KIND_OUTPUT: on_output_event(e, x, name.stream, revents); break;
	case KIND_GROUP: on_group_event(e, x); break;
	case KIND_INPUT: stdin_on_event(e, x); break;
	case EXEC_N_KINDS: break;
	}
}

void execs_run_young(struct execs *e)
{
	struct exec *x = e->young;
	uint16_t seen[YOUNG_FDS];

	if (!x)
		return;
	uint32_t gen = x->gen;
	memcpy(seen, e->young_seen, sizeof(seen));
	memset(e->young_seen, 0, sizeof(seen));
	for (int k = 0; k < 2; k++)
		if (seen[k] && x->gen == gen)
			on_output_event(e, x, k, seen[k]);
	if (seen[2] && x->gen == gen)
		on_main_exit(e, x);
}

static void run_clocks(struct execs *e, struct exec *x)
{
	uint32_t gen = x->gen;

	if (!e->is_frozen && x->deadline_us && x->deadline_us <= e->poller->now_us)
		on_deadline(e, x);
	if (x->gen != gen || !x->out[0].due_us || x->out[0].due_us > e->poller->now_us)
		return;
	output_take_gathered(e, x);
	check_output_end(e, x);
}

void execs_run(struct execs *e)
{
	execs_run_young(e);
	for (unsigned i = e->n_live;
	     i-- > 0;) /* backwards: one that ends is replaced by the last */
		run_clocks(e, &e->exec[e->live[i]]);
}

int64_t execs_due_us(const struct execs *e)
{
	int64_t due = INT64_MAX;

	for (unsigned i = 0; i < e->n_live; i++) {
		const struct exec *x = &e->exec[e->live[i]];

		if (x->deadline_us && !e->is_frozen)
			due = min_(due, x->deadline_us);
		if (x->out[0].due_us)
			due = min_(due, x->out[0].due_us);
	}
	return due;
}

/* ---- from outside ---- */

void exec_abandon(struct execs *e, struct exec *x)
{
	x->abandoned = 1;
	transit(e, x, EV_KILL);
	check_output_end(e, x);
}

/* Nobody could ever end the input of one of init's own programs. */
static void resolve_orphan(struct execs *e, struct exec *x, int forgive)
{
	x->orphaned = 0;
	if (forgive && !x->builtin)
		x->detached = 1;
	else
		exec_abandon(e, x);
}

void execs_thawed(struct execs *e, int64_t frozen_us, int forgive)
{
	for (unsigned i = e->n_live; i-- > 0;) { /* backwards, as one may end */
		struct exec *x = &e->exec[e->live[i]];

		if (x->deadline_us)
			x->deadline_us += frozen_us;
		x->termed_us += frozen_us;
		if (x->orphaned)
			resolve_orphan(e, x, forgive);
	}
}

void execs_kill_all(struct execs *e)
{
	for (unsigned i = 0; i < e->n_live; i++) {
		struct exec *x = &e->exec[e->live[i]];

		x->abandoned = 1;
		if (x->cg >= 0)
			cg_kill(&e->cg, x->cg);
	}
}

/* To all of it, or to what was left behind, which has no main process. */
static int signal_all(struct execs *e, struct exec *x, int signo)
{
	if (signo != SIGKILL)
		return cg_signal(&e->cg, x->cg, signo);
	x->leave = 0;
	cg_kill(&e->cg, x->cg);
	return 0;
}

int exec_signal(struct execs *e, struct exec *x, int signo, Conker__Scope scope)
{
	int ends = signo == SIGKILL ? ASKED_KILL : signo == SIGTERM ? ASKED_TERM : 0;

	if (x->state == EXEC_BACKOFF && ends) {
		exec_abandon(e, x);
		return 0;
	}
	if (x->cg < 0 || (x->pidfd < 0 && !x->left))
		return -ESRCH;
	x->asked |= ends;
	if (ends & ASKED_TERM)
		x->termed_us = e->poller->now_us;
	if (x->left && ends)
		x->abandoned = 1;
	if (x->left || scope == CONKER__SCOPE__ALL)
		return signal_all(e, x, signo);
	return sys_pidfd_signal(x->pidfd, signo,
				scope == CONKER__SCOPE__GROUP ? PIDFD_SIGNAL_GROUP : 0);
}

/* What is restarted is not, from now on: to end was asked of it, by whatever signal. */
unsigned execs_stop(struct execs *e)
{
	unsigned n = 0;

	for (unsigned i = e->n_live;
	     i-- > 0;) { /* one that ends at once leaves its place to the last */
		struct exec *x = &e->exec[e->live[i]];

		if (!x->stop_signal)
			continue;
		x->restart.policy = CONKER__RESTART__POLICY__NEVER;
		if (x->state == EXEC_BACKOFF)
			exec_abandon(e, x);
		else if (exec_signal(e, x, x->stop_signal, CONKER__SCOPE__PROCESS) == 0)
			n++;
	}
	return n;
}

int execs_wait_for_stop(const struct execs *e)
{
	for (unsigned i = 0; i < e->n_live; i++)
		if (e->exec[e->live[i]].stop_signal)
			return 1;
	return 0;
}

void exec_resize(struct exec *x, const Conker__Resize *m)
{
	struct winsize w = {.ws_row = (uint16_t)m->rows, .ws_col = (uint16_t)m->cols};

	if (x->tty && x->out[0].fd >= 0)
		(void)ioctl(x->out[0].fd, TIOCSWINSZ, &w);
}
