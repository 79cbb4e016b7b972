/* exec.c - see exec.h: slots, and the life of an execution. */
#include "guest-init/exec/execution.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include "guest-init/exec/stdin.h"
#include "guest-init/exec/output.h"
#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"

static unsigned index_of(const struct server *s, const struct exec *x)
{
	return (unsigned)(x - s->exec);
}

unsigned exec_log_id(const struct server *s, const struct exec *x, int k)
{
	return 2 * index_of(s, x) + (unsigned)k;
}

struct log *exec_log(struct server *s, const struct exec *x, int k)
{
	return &s->log.log[exec_log_id(s, x, k)];
}

int exec_watch(struct server *s, const struct exec *x, int fd, uint32_t events, struct ev_name name)
{
	name.index = (uint16_t)index_of(s, x);
	name.gen = x->gen;
	return server_watch(s, EPOLL_CTL_ADD, fd, events, name);
}

/* ---- slots: free ones are a stack, live ones an array, ended ones a list in order of their ends ---- */

static void add_live(struct server *s, struct exec *x)
{
	x->pos = (uint16_t)s->n_live;
	s->live[s->n_live++] = (uint16_t)index_of(s, x);
}

static void remove_live(struct server *s, struct exec *x)
{
	uint16_t last = s->live[--s->n_live];

	if (x->keep_alive)
		idle_leave(s);
	s->live[x->pos] = last;
	s->exec[last].pos = x->pos;
}

static void add_ended(struct server *s, struct exec *x)
{
	x->older = s->newest_ended;
	x->newer = NULL;
	*(x->older ? &x->older->newer : &s->oldest_ended) = x;
	s->newest_ended = x;
	s->n_ended++;
}

static void remove_ended(struct server *s, struct exec *x)
{
	*(x->older ? &x->older->newer : &s->oldest_ended) = x->newer;
	*(x->newer ? &x->newer->older : &s->newest_ended) = x->older;
	s->n_ended--;
}

/* The oldest one that nobody is looking at; `force`: or else the oldest, whose views are cut short. */
static void evict(struct server *s, int force)
{
	struct exec *x = s->oldest_ended;

	while (x && x->views)
		x = x->newer;
	if (!x && force)
		x = s->oldest_ended;
	if (x)
		exec_release(s, x);
}

/* Of init's own programs nothing is kept that nobody looks at: it would push out what somebody may ask
 * for. */
static void drop_builtins(struct server *s)
{
	for (struct exec *x = s->oldest_ended, *next; x; x = next) {
		next = x->newer;
		if (x->builtin && !x->views)
			exec_release(s, x);
	}
}

struct exec *exec_take_slot(struct server *s)
{
	drop_builtins(s);
	if (s->n_live == EXEC_MAX)
		return NULL;
	if (s->n_free == 0 && s->n_slots == SLOTS_MAX)
		evict(s, 1); /* there is one: not all slots live */

	struct exec *x = &s->exec[s->n_free > 0 ? s->free[--s->n_free] : s->n_slots++];
	uint32_t gen = x->gen;
	memset(x, 0, offsetof(struct exec, argv));
	x->gen = gen + 1;
	x->pidfd = x->cg = x->in_fd = x->out[0].fd = x->out[1].fd = x->out[0].wr = x->out[1].wr =
		-1;
	in_flow_init(&x->in, s->in_mem[index_of(s, x)], STDIN_WINDOW_BYTES);
	add_live(s, x);
	return x;
}

static void drop_start(struct exec *x)
{
	if (x->restart.start)
		(void)munmap(x->restart.start, x->restart.start_len);
	x->restart.start = NULL;
}

void exec_release(struct server *s, struct exec *x)
{
	exec_end_run(s, x);
	view_cut_all(s, x);
	drop_start(x);
	for (int k = 0; k < 2; k++)
		if (exec_log(s, x, k)->open)
			log_close(&s->log, exec_log_id(s, x, k));
	if (x->state == EXEC_ENDED)
		remove_ended(s, x);
	else
		remove_live(s, x);
	x->state = EXEC_FREE;
	s->free[s->n_free++] = (uint16_t)index_of(s, x);
}

struct exec *exec_by_id(struct server *s, uint64_t id)
{
	for (struct exec *x = s->exec; x < s->exec + s->n_slots; x++)
		if (x->state != EXEC_FREE && x->id == id)
			return x;
	return NULL;
}

struct exec *exec_by_name(struct server *s, const char *name)
{
	struct exec *best = NULL;

	for (struct exec *x = s->exec; x < s->exec + s->n_slots; x++)
		if (x->state != EXEC_FREE && strcmp(x->name, name) == 0 &&
		    (!best || x->id > best->id))
			best = x;
	return best;
}

struct exec *exec_by_key(struct server *s, const char *key)
{
	for (struct exec *x = s->exec; x < s->exec + s->n_slots; x++)
		if (x->state != EXEC_FREE && strcmp(x->key, key) == 0)
			return x;
	return NULL;
}

struct exec *exec_by_ref(struct server *s, const Conker__ExecRef *r)
{
	if (r->exec)
		return exec_by_id(s, r->exec);
	return r->name.len > 0 ? exec_by_name(s, (const char *)r->name.data)
			       : exec_by_key(s, (const char *)r->key.data);
}

/* ---- the end of a run ---- */

static void unwatch_group(struct server *s, struct exec *x)
{
	if (x->group_watched)
		server_unwatch(s, cg_fd(&s->cg, x->cg, CG_EVENTS));
	x->group_watched = 0;
}

void exec_end_run(struct server *s, struct exec *x)
{
	input_drop(s, x);
	output_close(s, x, 0);
	output_close(s, x, 1);
	if (x->pidfd >= 0)
		close(x->pidfd);
	x->pidfd = -1;
	unwatch_group(s, x);
	if (x->cg >= 0)
		cg_put(&s->cg, x->cg);
	x->cg = -1;
	if (x->in_used)
		(void)madvise(s->in_mem[index_of(s, x)], STDIN_WINDOW_BYTES, MADV_DONTNEED);
	x->in_used = 0;
	x->deadline_us = 0;
	x->gen++;
	if (s->young == x)
		s->young = NULL;
}

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
static void take_usage(struct server *s, struct exec *x)
{
	const struct cg_main m = {
		.user_us = (uint64_t)x->user_us, .sys_us = (uint64_t)x->sys_us, .signo = x->signo};

	x->oom_kills = x->cg < 0 ? 0 : cg_usage_end(&s->cg, x->cg, &m, &x->usage);
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

static void back_off(struct server *s, struct exec *x)
{
	struct exec_restart *r = &x->restart;

	take_usage(s, x);
	x->status = status_of_end(x);
	exec_end_run(s, x);
	x->deadline_us = s->now_us + ms_to_us(r->backoff_ms);
	r->backoff_ms =
		r->backoff_ms > r->backoff_max_ms / 2 ? r->backoff_max_ms : r->backoff_ms * 2;
}

static void report(struct server *s, struct exec *x)
{
	take_usage(s, x);
	x->status = status_of_end(x);
	x->ended_real_us = real_us();
	exec_end_run(s, x);
	drop_start(x);
	remove_live(s, x);
	add_ended(s, x);
	for (int k = 0; k < 2; k++)
		log_ended(&s->log, exec_log_id(s, x, k));
	view_end_all(s, x);
	if (s->n_ended > RETAINED_MAX)
		evict(s, 0);
}

/* ---- transitions ---- */

static void transit(struct server *s, struct exec *x, enum exec_event event);

/* Nobody in the cgroup any more: what is in the pipes now is all that will come, even if somebody
 * elsewhere in the box got hold of a writing end. */
static void check_drained(struct server *s, struct exec *x)
{
	x->check_ms = min_(x->check_ms * 2, (uint32_t)DRAIN_CHECK_MAX_MS);
	x->deadline_us = s->now_us + ms_to_us(x->check_ms);
	if (cg_populated(&s->cg, x->cg))
		cg_kill(&s->cg, x->cg);
	else
		output_close_drained(s, x);
}

static void drain(struct server *s, struct exec *x)
{
	unwatch_group(s, x);
	if (cg_left_behind(&s->cg, x->cg))
		cg_kill(&s->cg, x->cg);
	input_drop(s, x);
	x->check_ms = DRAIN_CHECK_MS;
	x->deadline_us = s->now_us + ms_to_us(DRAIN_CHECK_MS);
}

static void settle(struct server *s, struct exec *x)
{
	x->left = 1;
	x->status = status_of_end(x);
	output_settle(s, x);
}

/* Its starter has had the Exit it waited for, so from now on nobody is needed to keep it alive. */
static void leave(struct server *s, struct exec *x)
{
	x->detached = 1;
	input_drop(s, x);
	x->in_open = 0;
	view_end_all(s, x);
	output_rearm(s, x);
}

static void act(struct server *s, struct exec *x, enum exec_action action)
{
	switch (action) {
	case ACT_NONE: break;
	case ACT_BUG: assert(0); break;
	case ACT_ARM:
		x->deadline_us = x->timeout_ms ? s->now_us + ms_to_us(x->timeout_ms) : 0;
		break;
	case ACT_TERM:
		x->timed_out = 1;
		(void)!cg_signal(&s->cg, x->cg, SIGTERM); /* all dead: the exit is on its way */
		x->deadline_us = s->now_us + ms_to_us(x->grace_ms);
		break;
	case ACT_KILL:
		cg_kill(&s->cg, x->cg);
		x->deadline_us = s->now_us + ms_to_us(KILL_AGAIN_MS);
		break;
	case ACT_DRAIN: drain(s, x); break;
	case ACT_CHECK: check_drained(s, x); break;
	case ACT_SETTLE: settle(s, x); break;
	case ACT_LEAVE: leave(s, x); break;
	case ACT_WAIT: back_off(s, x); break;
	case ACT_AGAIN: transit(s, x, exec_start_again(s, x) < 0 ? EV_FAILED : EV_STARTED); break;
	case ACT_REPORT: report(s, x); break;
	}
}

static void transit(struct server *s, struct exec *x, enum exec_event event)
{
	struct exec_step step = exec_fsm(x->state, event);

	x->state = step.next;
	act(s, x, step.action);
}

/* Also after the exit: the output may have ended before. */
void exec_check_output_end(struct server *s, struct exec *x)
{
	if (x->state == EXEC_BACKOFF || !exec_is_live(x) || !output_is_over(s, x))
		return;
	transit(s, x, x->state == EXEC_DRAINING && wants_again(x) ? EV_AGAIN : EV_OUTPUT_END);
}

void exec_started(struct server *s, struct exec *x)
{
	transit(s, x, EV_STARTED);
}

/* ---- events ---- */

static void reap(struct server *s, struct exec *x, const siginfo_t *si, const struct rusage *ru)
{
	close(x->pidfd);
	x->pidfd = -1;
	x->code = si->si_code == CLD_EXITED ? si->si_status : 0;
	x->signo = si->si_code == CLD_EXITED ? 0 : si->si_status;
	x->end_us = s->now_us;
	x->user_us = ru->ru_utime.tv_sec * INT64_C(1000000) + ru->ru_utime.tv_usec;
	x->sys_us = ru->ru_stime.tv_sec * INT64_C(1000000) + ru->ru_stime.tv_usec;
	x->max_rss_kib = ru->ru_maxrss;
}

/* Whether others live on, whose end will be heard of: the event comes when the file has changed
 * since it was last read, which cg_populated() just did. */
static int leaves_others(struct server *s, struct exec *x)
{
	if (!x->leave || !cg_populated(&s->cg, x->cg))
		return 0;
	x->group_watched = exec_watch(s, x, cg_fd(&s->cg, x->cg, CG_EVENTS), EPOLLPRI,
				      (struct ev_name){.kind = KIND_GROUP}) == 0;
	return x->group_watched;
}

void exec_on_exit(struct server *s, struct exec *x)
{
	struct rusage ru = {0};
	siginfo_t si = {0};

	if (x->pidfd < 0 || sys_waitid(x->pidfd, &si, &ru) < 0)
		return;
	reap(s, x, &si, &ru);
	output_main_ended(s, x);
	if (x->out[0].due_us)
		output_hurry(s, x);
	transit(s, x, leaves_others(s, x) ? EV_LEAVING : EV_EXITED);
	exec_check_output_end(s, x);
}

void exec_on_group(struct server *s, struct exec *x)
{
	if (!x->group_watched || cg_populated(&s->cg, x->cg))
		return;
	x->end_us = s->now_us;
	transit(s, x, EV_EMPTY);
	exec_check_output_end(s, x);
}

void exec_on_timer(struct server *s, struct exec *x)
{
	x->deadline_us = 0;
	transit(s, x, EV_TIMEOUT);
	exec_check_output_end(s, x);
}

/* ---- from outside ---- */

static void kill_now(struct server *s, struct exec *x)
{
	x->abandoned = 1;
	transit(s, x, EV_KILL);
	exec_check_output_end(s, x);
}

static void lose_view(struct server *s, struct view *v)
{
	struct exec *x = v->exec;
	int mine = (v->flags & VIEW_STARTER) && !x->detached;

	if (v->flags & VIEW_FEEDS)
		input_leave(x);
	view_close(s, v);
	if (!exec_is_live(x))
		return;
	output_rearm(s, x);
	if (!mine)
		return;
	if (freeze_is_on(s))
		x->orphaned = 1;
	else
		kill_now(s, x);
}

void exec_client_gone(struct server *s, struct client *c)
{
	for (int i = s->views.n - 1; i >= 0;
	     i--) { /* backwards: a closed one is replaced by the last */
		struct view *v = &s->views.view[s->views.slot[i]];

		if (v->client == c)
			lose_view(s, v);
	}
}

/* Nobody could ever end the input of one of init's own programs. */
static void resolve_orphan(struct server *s, struct exec *x, int forgive)
{
	x->orphaned = 0;
	if (forgive && !x->builtin)
		x->detached = 1;
	else
		kill_now(s, x);
}

void exec_thawed(struct server *s, int64_t frozen_us, int forgive)
{
	for (unsigned i = s->n_live; i-- > 0;) { /* backwards, as one may end */
		struct exec *x = &s->exec[s->live[i]];

		if (x->deadline_us)
			x->deadline_us += frozen_us;
		x->termed_us += frozen_us;
		if (x->orphaned)
			resolve_orphan(s, x, forgive);
	}
}

void exec_kill_all(struct server *s)
{
	for (unsigned i = 0; i < s->n_live; i++) {
		struct exec *x = &s->exec[s->live[i]];

		x->abandoned = 1;
		if (x->cg >= 0)
			cg_kill(&s->cg, x->cg);
	}
}

/* To all of it, or to what was left behind, which has no main process. */
static int signal_all(struct server *s, struct exec *x, int signo)
{
	if (signo != SIGKILL)
		return cg_signal(&s->cg, x->cg, signo);
	x->leave = 0;
	cg_kill(&s->cg, x->cg);
	return 0;
}

int exec_signal(struct server *s, struct exec *x, int signo, Conker__Scope scope)
{
	int ends = signo == SIGKILL ? ASKED_KILL : signo == SIGTERM ? ASKED_TERM : 0;

	if (x->state == EXEC_BACKOFF && ends) {
		kill_now(s, x);
		return 0;
	}
	if (x->cg < 0 || (x->pidfd < 0 && !x->left))
		return -ESRCH;
	x->asked |= ends;
	if (ends & ASKED_TERM)
		x->termed_us = s->now_us;
	if (x->left && ends)
		x->abandoned = 1;
	if (x->left || scope == CONKER__SCOPE__ALL)
		return signal_all(s, x, signo);
	return sys_pidfd_signal(x->pidfd, signo,
				scope == CONKER__SCOPE__GROUP ? PIDFD_SIGNAL_GROUP : 0);
}

void exec_resize(struct exec *x, const Conker__Resize *m)
{
	struct winsize w = {.ws_row = (uint16_t)m->rows, .ws_col = (uint16_t)m->cols};

	if (x->tty && x->out[0].fd >= 0)
		(void)ioctl(x->out[0].fd, TIOCSWINSZ, &w);
}
