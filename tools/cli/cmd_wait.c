/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_wait.c - conker wait: for executions to end, or for ports to be listened on. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wait_args {
	int any, json;
	uint32_t count;
	int timeout_ms;
	struct ports ports;
};

#define AT(field) offsetof(struct wait_args, field)

static const struct opt own_opts[] = {
	{"any", 0, OPT_FLAG, AT(any), NULL, "until one of them has ended"},
	{"count", 0, OPT_UINT, AT(count), "N", "until N of them have ended"},
	{"timeout", 0, OPT_SECONDS, AT(timeout_ms), "SECONDS", "give up then: status 124"},
	{"port", 'p', OPT_PORT, AT(ports), "PORT",
	 "until it is listened on in the box, or EXEC has ended"},
	{"json", 0, OPT_FLAG, AT(json), NULL, "for programs: an object per line"},
};

/* One execution that is waited for. */
struct waited {
	conker_box *box;
	int ended, status; /* in the order of their ends, from 1; and its exit status */
	int *ends;         /* how many have ended */
	conker_status result;
	int has_result;
};

static void on_waited_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			    void *user)
{
	struct waited *w = user;

	(void)e;
	if (ev != CONKER_EXIT && ev != CONKER_LOST)
		return;
	w->ended = ++*w->ends;
	if (ev == CONKER_EXIT) {
		w->result = data->status;
		w->has_result = 1;
		w->status = exit_status_of(&w->result);
	} else {
		w->status = report_failure(w->box, &data->failure);
	}
}

static void print_end(conker_exec *e, const struct waited *w, int json)
{
	unsigned long long id = conker_exec_id(e);
	const conker_status *st = &w->result;

	if (!w->has_result)
		return; /* reported on stderr */
	if (!json) {
		printf("%llu %s %d\n", id, exec_state_name(st->state),
		       st->signo ? st->signo : st->code);
		return;
	}
	printf("{\"id\":%llu,\"status\":", id);
	json_status(st);
	puts("}");
}

/* Of the last one named; or of the last that ended, when not all had to. */
static int status_of_last(const struct waited *w, size_t n, int all)
{
	const struct waited *last = &w[n - 1];

	for (size_t i = 0; !all && i < n; i++)
		if (w[i].ended > last->ended)
			last = &w[i];
	return last->status;
}

static int wait_for(conker_exec *const *v, const struct waited *w, size_t n,
		    const struct wait_args *a)
{
	size_t need = a->any ? 1 : a->count ? a->count : n;
	int64_t deadline_us = now_us() + (int64_t)a->timeout_ms * 1000;
	int r;

	do {
		int64_t left_ms = a->timeout_ms ? (deadline_us - now_us()) / 1000 : -1;

		r = conker_exec_wait_many(v, n, need,
					  a->timeout_ms && left_ms < 0 ? 0 : (int)left_ms, NULL);
	} while (r == -EINTR && !signals_caught());
	if (r == -ETIMEDOUT)
		fail("wait: not ended within %.1f s", (double)a->timeout_ms / 1000);
	else if (r < 0)
		return fail_lib();
	for (size_t i = 0; i < n; i++)
		print_end(v[i], &w[i], a->json);
	int status = finish_output();
	return r == -ETIMEDOUT ? EXIT_TIMED_OUT : status ? status : status_of_last(w, n, need == n);
}

struct wait_set {
	conker_box *box;
	char **names;
	size_t n;
	conker_exec **v;
	struct waited *w;
};

static int attach_and_wait(const struct wait_set *s, const struct wait_args *a)
{
	const conker_view_opts o = {.size = sizeof(o),
				    .flags = CONKER_VIEW_FOLLOW | CONKER_VIEW_NO_STDOUT |
					     CONKER_VIEW_NO_STDERR};
	int ends = 0, r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++) {
		s->w[i] = (struct waited){.box = s->box, .ends = &ends};
		const conker_exec_ref ref = exec_ref_of(s->names[i]);
		r = conker_exec_attach(s->box, &ref, &o,
				       (conker_exec_cb){on_waited_event, &s->w[i], NULL}, &s->v[i]);
	}
	int status = r < 0 ? fail_lib() : wait_for(s->v, s->w, s->n, a);
	for (size_t i = 0; i < s->n; i++)
		conker_exec_free(s->v[i]);
	return status;
}

static int wait_execs(conker_box *b, char **names, size_t n, const struct wait_args *a)
{
	struct wait_set s = {.box = b, .names = names, .n = n};

	s.v = calloc(n, sizeof(conker_exec *));
	s.w = calloc(n, sizeof(struct waited));
	int status = s.v && s.w ? attach_and_wait(&s, a) : fail("no memory");
	free(s.v);
	free(s.w);
	return status;
}

static int wait_ports(conker_box *b, const char *exec, const struct wait_args *a)
{
	const conker_exec_ref ref = exec_ref_of(exec ? exec : "");
	int64_t deadline_us = now_us() + (int64_t)a->timeout_ms * 1000;
	int r;

	do {
		int64_t left_ms = a->timeout_ms ? (deadline_us - now_us()) / 1000 : -1;

		r = conker_box_await_ports(b, exec ? &ref : NULL, a->ports.v, a->ports.n,
					   a->timeout_ms && left_ms < 0 ? 0 : (int)left_ms);
	} while (r == -EINTR && !signals_caught());
	if (r == -ETIMEDOUT) {
		fail("wait: no port listened on within %.1f s", (double)a->timeout_ms / 1000);
		return EXIT_TIMED_OUT;
	}
	return r < 0 ? fail_lib() : 0;
}

static int wait_check(const struct cli *c, const struct wait_args *a, int n)
{
	if (a->ports.n)
		return n > 2 || a->any || a->count
			       ? fail_usage(c, "--port goes with at most one EXEC")
			       : 0;
	if (n < 2)
		return fail_usage(c, "which execution, or --port?");
	if (a->any && a->count)
		return fail_usage(c, "--any and --count exclude each other");
	return a->count > (uint32_t)n - 1
		       ? fail_usage(c, "--count %u of %d executions", a->count, n - 1)
		       : 0;
}

int cmd_wait(struct cli *c, int argc, char **argv)
{
	struct wait_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX EXEC... | BOX [EXEC] --port PORT...",
		.text = "Waits until executions have ended, whoever started them, and prints "
			"NUMBER STATE CODE of each\n"
			"that has. The exit status is that of the last one named (with --any, "
			"--count: that ended).",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	conker_box *b;
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	status = wait_check(c, &a, n);
	if (status)
		return status;
	signals_init();
	if (over_again(conker_box_open(argv[0], &b)) < 0)
		return fail_lib();
	status = a.ports.n ? wait_ports(b, n > 1 ? argv[1] : NULL, &a)
			   : wait_execs(b, argv + 1, (size_t)n - 1, &a);
	conker_box_free(b);
	return status;
}
