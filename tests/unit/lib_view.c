/* SPDX-License-Identifier: Apache-2.0 */
/* lib_view.c - views, gaps, lines, completions of stdin, N of M, run and capture; against the fake
 * init. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/watched.h"
#include "util/util.h"

TestSuite(lib_view, .init = up, .fini = down);

static conker_exec *attach(struct got *g, const char *exec, uint32_t flags)
{
	conker_view_opts o = {.size = sizeof(o), .flags = flags};
	conker_exec_cb cb = {.fn = on_event, .user = g, .free = on_free};
	conker_exec *e = NULL;

	cr_assert_eq(conker_exec_attach(box, NAMED(exec), &o, cb, &e), 0, "%s", conker_errmsg());
	return e;
}

static conker_exec *start_named(struct got *g, const char *name, uint32_t flags)
{
	conker_exec_opts o = {
		.size = sizeof(o), .argv = ARGV("sleep"), .name = name, .flags = flags};
	conker_exec_cb cb = {.fn = on_event, .user = g, .free = on_free};
	conker_exec *e = NULL;

	cr_assert_eq(conker_exec_start(box, &o, cb, &e), 0, "%s", conker_errmsg());
	return e;
}

/* ---- views ----------------------------------------------------------------------------------- */

Test(lib_view, a_following_view_ends_with_exit)
{
	struct got v = {0};
	conker_status st = {.size = sizeof(st)};

	job = start_named(&seen, "job", 0);
	conker_exec *w = attach(&v, "job", CONKER_VIEW_FOLLOW);
	cr_expect_eq(conker_exec_wait(w, 20000, &st), 0);
	cr_expect_eq(st.code, 3);
	cr_expect_eq(st.returncode, 3);
	cr_expect_str_eq(v.out, "view\n");
	cr_expect_eq(conker_exec_id(w), conker_exec_id(job));
	conker_exec_free(w);
	cr_expect_eq(v.frees, 1);
}

Test(lib_view, a_view_of_what_is_there_ends_with_detached)
{
	struct got v = {0};

	job = start_named(&seen, "job", 0);
	conker_exec *w = attach(&v, "job", 0);
	cr_expect_eq(conker_exec_wait(w, 20000, NULL), -ENODATA);
	cr_expect_eq(v.detached, 1);
	cr_expect_eq(v.exits + v.losts, 0);
	conker_exec_free(w);
}

Test(lib_view, an_unknown_execution_is_lost_as_a_wrong_call)
{
	struct got v = {0};
	conker_exec *w = attach(&v, "nobody", CONKER_VIEW_FOLLOW);

	cr_expect_eq(conker_exec_wait(w, 20000, NULL), -ESRCH);
	cr_expect_eq(conker_errkind(), CONKER_ERR_CALL);
	cr_expect_eq(v.losts, 1);
	conker_exec_free(w);
}

static char long_name[] =
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"; /* 65 */

Test(lib_view, a_wrong_reference_is_refused_by_every_call_with_the_reason)
{
	static const struct {
		conker_exec_ref ref;
		const char *why;
	} cases[] = {
		{{0}, "exactly one"},
		{{.id = 1, .name = "job"}, "exactly one"},
		{{.id = 1, .key = "k"}, "exactly one"},
		{{.name = "job", .key = "k"}, "exactly one"},
		{{.name = ""}, "empty name"},
		{{.key = ""}, "empty key"},
		{{.name = long_name}, "as long as"},
		{{.name = "4"}, "execution's number"},
		{{.name = "key:k"}, "would mean a key"},
		{{.name = "a\nb"}, "control characters"},
	};
	const uint16_t port = 80;
	conker_exec_info *info = NULL;
	conker_exec *w = NULL;

	for (size_t i = 0; i < countof(cases); i++) {
		const conker_exec_ref *ref = &cases[i].ref;
		const int r[] = {
			conker_exec_attach(box, ref, NULL, (conker_exec_cb){0}, &w),
			conker_exec_kill_ref(box, ref, 0, 0),
			conker_exec_lookup(box, ref, 0, &info),
			conker_exec_forget(box, ref),
			conker_box_await_ports(box, ref, &port, 1, 0),
		};

		for (size_t k = 0; k < countof(r); k++)
			cr_expect_eq(r[k], -EINVAL, "case %zu, call %zu", i, k);
		cr_expect(strstr(conker_errmsg(), cases[i].why), "%s", conker_errmsg());
	}
	cr_expect_eq(conker_exec_attach(box, NULL, NULL, (conker_exec_cb){0}, &w), -EINVAL);
	cr_expect_eq(conker_exec_kill_ref(box, NULL, 0, 0), -EINVAL);
	cr_expect(!w && !info);
}

Test(lib_view, names_that_would_mean_something_else_start_nothing)
{
	static const char *const bad[] = {"", "4", "00", "key:x", "a:b", "a\033b", long_name};

	for (size_t i = 0; i < countof(bad); i++) {
		conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("true"), .name = bad[i]};

		cr_expect_eq(conker_exec_start(box, &o, (conker_exec_cb){0}, &job), -EINVAL, "%zu",
			     i);
		cr_expect(strstr(conker_errmsg(), "name"), "%s", conker_errmsg());
	}
	cr_expect_null(job);
}

Test(lib_view, detach_leaves_the_execution_alone)
{
	job = start_named(&seen, "job", 0);
	cr_expect_eq(conker_exec_detach(job), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), -ENODATA);
	cr_expect_eq(seen.detached, 1);
	job = conker_exec_free(job);
	cr_expect_eq(conker_exec_kill_ref(box, NUMBERED(1), 0, 0), -ESRCH,
		     "the fake gave its slot away");
}

Test(lib_view, freeing_what_is_kept_sends_no_signal)
{
	job = start_named(&seen, "job", CONKER_EXEC_KEEP);
	cr_expect_eq(conker_box_ping(box, 20000), 0);
	job = conker_exec_free(job);
	cr_expect_eq(conker_box_ping(box, 20000), 0);
	cr_expect_eq(seen.frees, 1);
	cr_expect_eq(seen.exits + seen.losts, 0);
}

Test(lib_view, a_known_key_is_told)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("cat"), .key = "known"};
	conker_exec_cb cb = {.fn = on_event, .user = &seen};

	o.flags = CONKER_EXEC_STDIN;
	cr_assert_eq(conker_exec_start(box, &o, cb, &job), 0);
	cr_expect_eq(conker_exec_write_all(job, "x", 1), 1);
	cr_expect_eq(conker_exec_close_stdin(job), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_exec_existing(job), 1);
	cr_expect_str_eq(seen.out, "x");
}

Test(lib_view, a_view_can_feed)
{
	struct got v = {0};

	job = start_named(&seen, "job", 0);
	conker_exec *w = attach(&v, "job", CONKER_VIEW_FOLLOW | CONKER_VIEW_STDIN);
	cr_expect_eq(conker_exec_write(w, "x", 1), -EAGAIN, "not before the guest said how much");
	cr_expect_eq(conker_exec_write_all(w, "hello", 5), 1);
	cr_expect_eq(conker_exec_flush(w, 1, 20000), 0, "%s", conker_errmsg());
	conker_exec_close_stdin(w);
	cr_expect_eq(conker_exec_wait(w, 20000, NULL), 0);
	cr_expect_str_eq(v.out, "hello");
	conker_exec_free(w);
}

Test(lib_view, a_view_whose_window_is_not_open_yet_can_feed_later)
{
	struct got v = {0};

	job = start_named(&seen, "clogged", 0);
	conker_exec *w = attach(&v, "clogged", CONKER_VIEW_FOLLOW | CONKER_VIEW_STDIN);
	cr_expect_eq(conker_exec_write_all(w, "hello", 5), 1);
	cr_expect_eq(conker_exec_flush(w, 1, 20000), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_exec_stdin_pending(w), 0);
	conker_exec_close_stdin(w);
	cr_expect_eq(conker_exec_wait(w, 20000, NULL), 0, "%s", conker_errmsg());
	cr_expect_str_eq(v.out, "hello");
	conker_exec_free(w);
}

/* ---- output ---------------------------------------------------------------------------------- */

Test(lib_view, missing_bytes_are_told_also_at_the_end)
{
	job = start(&seen, 0, ARGV("gap"));
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(seen.gaps, 2);
	cr_expect_eq(seen.gap.stream, CONKER_STDOUT);
	cr_expect_eq(seen.gap.from, 6);
	cr_expect_eq(seen.gap.to, 9);
}

struct lines {
	size_t n, whole, longest;
	uint64_t next;
	int wrong;
};

static void on_line(conker_exec *e, enum conker_event ev, const conker_event_data *data, void *user)
{
	struct lines *l = user;

	(void)e;
	if (ev != CONKER_STDOUT)
		return;
	const char *p = data->output.bytes;
	size_t len = data->output.len;
	l->wrong |= data->output.offset != l->next || len == 0;
	l->wrong |= len > 1 && memchr(p, '\n', len - 1) != NULL;
	l->next += len;
	l->whole += p[len - 1] == '\n';
	l->longest = len > l->longest ? len : l->longest;
	l->n++;
}

static struct lines lines_of(const char *text, size_t len)
{
	struct lines l = {0};
	conker_exec_opts o = {.size = sizeof(o),
			      .argv = ARGV("cat"),
			      .flags = CONKER_EXEC_STDIN | CONKER_EXEC_LINES};
	conker_exec_cb cb = {.fn = on_line, .user = &l};
	conker_exec *e;

	cr_assert_eq(conker_exec_start(box, &o, cb, &e), 0);
	size_t step = len < 1000 ? 7 : 9999; /* in pieces, each answered by itself */
	for (size_t at = 0; at < len; at += step)
		cr_assert_gt(conker_exec_write_all(e, text + at, len - at < step ? len - at : step),
			     0);
	conker_exec_close_stdin(e);
	cr_assert_eq(conker_exec_wait(e, 20000, NULL), 0, "%s", conker_errmsg());
	conker_exec_free(e);
	cr_expect_eq(l.next, len);
	return l;
}

Test(lib_view, lines_are_whole_whatever_the_pieces)
{
	static const char text[] = "one\n\ntwo two two two\nthree\nno newline";
	struct lines l = lines_of(text, sizeof(text) - 1);

	cr_expect_eq(l.n, 5);
	cr_expect_eq(l.whole, 4);
	cr_expect_not(l.wrong);
}

Test(lib_view, a_line_without_end_comes_in_pieces)
{
	static char text[150000];

	memset(text, 'x', sizeof(text));
	struct lines l = lines_of(text, sizeof(text));
	cr_expect_eq(l.n, 3);
	cr_expect_eq(l.longest, 64 << 10);
	cr_expect_not(l.wrong);
}

/* ---- input ----------------------------------------------------------------------------------- */

Test(lib_view, each_write_completes_in_order)
{
	static char big[1 << 20];

	job = start(&seen, CONKER_EXEC_STDIN, ARGV("cat"));
	cr_expect_eq(conker_exec_write_all(job, big, sizeof(big)), 1);
	cr_expect_eq(conker_exec_write_all(job, "", 0), 2);
	cr_expect_eq(conker_exec_write_all(job, "x", 1), 3);
	cr_expect_gt(conker_exec_stdin_pending(job), 0);
	cr_expect_eq(conker_exec_write(job, "y", 1), -EAGAIN, "what was queued goes first");
	cr_expect_eq(conker_exec_flush(job, 0, 10000), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_exec_stdin_pending(job), 0);
	cr_expect_eq(conker_exec_close_stdin(job), 0);
	cr_expect_eq(conker_exec_write_all(job, "z", 1), -ESHUTDOWN);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.written, 3);
	cr_expect_eq(seen.last_written.ticket, 3);
	cr_expect_eq(seen.last_written.error, 0);
	cr_expect_eq(seen.total, sizeof(big) + 1);
	cr_expect_eq(conker_exec_flush(job, 4, 0), -EINVAL);
}

Test(lib_view, a_process_that_closes_its_stdin_fails_the_write)
{
	job = start(&seen, CONKER_EXEC_STDIN, ARGV("closes"));
	int64_t ticket = conker_exec_write_all(job, "unread", 6);

	cr_expect_eq(conker_exec_flush(job, ticket, 20000), -EPIPE);
	cr_expect_eq(conker_exec_write(job, "x", 1), -EPIPE);
	cr_expect_eq(conker_exec_write_all(job, "x", 1), -EPIPE);
	cr_expect_eq(conker_exec_kill(job, 0, CONKER_KILL_ALL), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.written, 1);
	cr_expect_eq(seen.last_written.error, -EPIPE);
	cr_expect_eq(conker_exec_write(job, "x", 1), -ESRCH);
}

Test(lib_view, what_was_not_taken_at_the_end_is_told)
{
	job = start(&seen, CONKER_EXEC_STDIN, ARGV("deaf"));
	cr_expect_eq(conker_exec_write_all(job, "unread", 6), 1);
	cr_expect_eq(conker_exec_flush(job, 1, 100), -ETIMEDOUT);
	cr_expect_eq(conker_exec_kill(job, 9, CONKER_KILL_ALL), 0);
	cr_expect_eq(conker_exec_flush(job, 1, 20000), -ESRCH);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.written, 1);
	cr_expect_eq(seen.last_written.error, -ESRCH);
}

/* ---- questions ------------------------------------------------------------------------------- */

Test(lib_view, lookup_finds_one)
{
	conker_exec_info *i = NULL, *none = NULL;

	job = start_named(&seen, "job", 0);
	cr_assert_eq(conker_exec_lookup(box, NAMED("job"), 0, &i), 0);
	cr_expect_eq(i->id, conker_exec_id(job));
	cr_expect_str_eq(i->name, "job", "valid until it is freed");
	cr_expect_null(conker_exec_info_free(i));
	cr_expect_null(conker_exec_info_free(NULL));
	cr_expect_eq(conker_exec_lookup(box, NAMED("other"), 0, &none), -ESRCH);
	cr_expect_eq(conker_exec_lookup(box, NAMED("job"), 1u << 30, &none), -EINVAL);
	cr_expect_eq(conker_exec_lookup(box, NAMED("job"), 0, NULL), -EINVAL);
	cr_expect_null(none);
	cr_expect_eq(conker_exec_forget(box, NAMED("job")), 0);
}

Test(lib_view, figures_of_the_box)
{
	conker_box_stats s = {.size = sizeof(s)};
	conker_box_stats no_size = {0};

	cr_expect_eq(conker_box_stats_get(box, &s), 0);
	cr_expect_eq(s.running, 2);
	cr_expect_eq(s.usage.memory_bytes, 4711);
	cr_expect_eq(conker_box_stats_get(box, &no_size), -EINVAL);
}

Test(lib_view, ports_are_awaited)
{
	const uint16_t good[] = {80, 443}, bad[] = {1};

	cr_expect_eq(conker_box_await_ports(box, NULL, good, 2, 1000), 0);
	cr_expect_eq(conker_box_await_ports(box, NULL, bad, 1, 1000), -ETIMEDOUT);
	cr_expect_eq(conker_box_await_ports(box, NULL, good, 0, 1000), -EINVAL);
	cr_expect_eq(conker_box_await_ports(box, NULL, good, 33, 1000), -EINVAL);
}

/* ---- kinds of errors ------------------------------------------------------------------------- */

Test(lib_view, what_cannot_be_started_is_of_its_own_kind)
{
	job = start(&seen, 0, ARGV("missing"));
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), -ENOENT);
	cr_expect_eq(conker_errkind(), CONKER_ERR_START);
	cr_expect_str_eq(conker_errstep(), "exec");
	cr_expect_eq(seen.kind, CONKER_ERR_START);
}

Test(lib_view, a_broken_box_is_of_its_own_kind)
{
	job = start(&seen, 0, ARGV("panic"));
	cr_expect_lt(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(conker_errkind(), CONKER_ERR_BOX);
	cr_expect_str_eq(conker_errstep(), "");
	cr_expect_eq(seen.kind, CONKER_ERR_BOX);
	cr_expect_lt(conker_box_ping(box, 20000), 0);
	cr_expect_eq(conker_errkind(), CONKER_ERR_BOX);
}

Test(lib_view, the_check_of_a_status)
{
	conker_status st = {.size = sizeof(st)};

	cr_expect_eq(conker_status_check(&st), 0);
	st.code = 3;
	cr_expect_eq(conker_status_check(&st), -EREMOTEIO);
	cr_expect_eq(conker_errkind(), CONKER_ERR_COMMAND);
	cr_expect_str_eq(conker_errmsg(), "exited with code 3");
	st.signo = 9;
	st.state = CONKER_EXEC_OOM_KILLED;
	cr_expect_eq(conker_status_check(&st), -EREMOTEIO);
	cr_expect_str_eq(conker_errmsg(), "killed by signal 9 (SIGKILL, out of memory)");
	st.timed_out = 1;
	st.duration_us = 5000000;
	cr_expect_eq(conker_status_check(&st), -ETIME);
	cr_expect_eq(conker_errkind(), CONKER_ERR_TIMEOUT);
	cr_expect_str_eq(conker_errmsg(), "timed out after 5.0 s");
}

/* ---- run and capture ------------------------------------------------------------------------- */

static int run_it(const char *const *argv, conker_run_opts o, conker_result *ret)
{
	conker_exec_opts x = {.size = sizeof(x), .argv = argv};

	o.size = sizeof(o);
	*ret = (conker_result){.size = sizeof(*ret)};
	return conker_run(box, &x, &o, ret);
}

Test(lib_view, run_captures_both_streams_and_together)
{
	conker_result r;

	cr_assert_eq(run_it(ARGV("both"), (conker_run_opts){0}, &r), 0, "%s", conker_errmsg());
	cr_expect_str_eq(r.out.data, "out\n");
	cr_expect_str_eq(r.err.data, "err\n");
	cr_expect_str_eq(r.both.data, "err\nout\n");
	cr_expect_eq(r.both.lines, 2);
	cr_expect_eq(r.out.lines, 1);
	cr_expect_str_eq(r.message, "");
	conker_result_free(&r);
	cr_expect_null(r.out.data);
}

Test(lib_view, run_without_output_gives_empty_strings)
{
	conker_result r;

	cr_assert_eq(run_it(ARGV("exit", "7"), (conker_run_opts){0}, &r), 0);
	cr_expect_str_eq(r.out.data, "");
	cr_expect_eq(r.out.lines, 0);
	cr_expect_eq(r.status.code, 7);
	cr_expect_str_eq(r.message, "exited with code 7");
	conker_result_free(&r);
}

Test(lib_view, run_counts_what_it_does_not_keep)
{
	conker_result r;

	cr_assert_eq(
		run_it(ARGV("flood", "1000000"), (conker_run_opts){.output_max_bytes = 1000}, &r),
		0);
	cr_expect_eq(r.out.len, 1000);
	cr_expect_eq(strlen(r.out.data), 1000);
	cr_expect_eq(r.out.produced, 1000000);
	cr_expect(r.out.truncated);
	cr_expect(r.both.truncated);
	cr_expect_not(r.err.truncated);
	conker_result_free(&r);
}

Test(lib_view, run_feeds_its_input)
{
	static char input[3 << 20];
	conker_result r;

	memset(input, 'i', sizeof(input));
	cr_assert_eq(run_it(ARGV("cat"),
			    (conker_run_opts){.input = input, .input_len = sizeof(input)}, &r),
		     0, "%s", conker_errmsg());
	cr_expect_eq(r.out.len, sizeof(input));
	cr_expect_arr_eq(r.out.data, input, sizeof(input));
	conker_result_free(&r);
}

Test(lib_view, run_checked_is_an_error_that_carries_the_result)
{
	conker_result r;

	cr_expect_eq(run_it(ARGV("exit", "7"), (conker_run_opts){.flags = CONKER_RUN_CHECK}, &r),
		     -EREMOTEIO);
	cr_expect_eq(conker_errkind(), CONKER_ERR_COMMAND);
	cr_expect_eq(r.status.code, 7);
	conker_result_free(&r);
	cr_expect_eq(run_it(ARGV("missing"), (conker_run_opts){.flags = CONKER_RUN_CHECK}, &r),
		     -ENOENT);
	cr_expect_eq(conker_errkind(), CONKER_ERR_START);
	cr_expect_null(r.message);
	conker_result_free(&r);
}

/* ---- N of M ---------------------------------------------------------------------------------- */

Test(lib_view, n_of_m_are_waited_for)
{
	struct got g[3] = {0};
	conker_exec *e[3] = {start(&g[0], 0, ARGV("sleep")), start(&g[1], 0, ARGV("exit", "0")),
			     start(&g[2], 0, ARGV("sleep"))};
	unsigned char done[3];

	cr_expect_eq(conker_exec_wait_many(e, 3, 1, 20000, done), 1);
	cr_expect_eq(done[1], 1);
	cr_expect_eq(done[0] + done[2], 0);
	cr_expect_eq(conker_exec_wait_many(e, 3, 2, 50, done), -ETIMEDOUT);
	cr_expect_eq(conker_exec_wait_many(e, 3, 4, 0, done), -EINVAL);
	cr_expect_eq(conker_exec_wait_many(e, 3, 0, -1, NULL), 1);
	conker_exec_kill(e[0], 9, 0);
	cr_expect_eq(conker_exec_wait_many(e, 3, 2, 20000, done), 2);
	for (int i = 0; i < 3; i++)
		conker_exec_free(e[i]);
}

static void *wait_for_one(void *arg)
{
	return (void *)(intptr_t)conker_exec_wait(arg, 10000, NULL);
}

static void *wait_for_both(void *arg)
{
	return (void *)(intptr_t)conker_exec_wait_many(arg, 2, 2, 10000, NULL);
}

Test(lib_view, n_of_m_from_several_threads_while_another_leads)
{
	struct got g[2] = {0};
	conker_exec *e[2] = {start(&g[0], 0, ARGV("sleep")), start(&g[1], 0, ARGV("sleep"))};
	pthread_t t[3];
	void *r[3];

	pthread_create(&t[0], NULL, wait_for_one, e[0]);
	pthread_create(&t[1], NULL, wait_for_both, e);
	pthread_create(&t[2], NULL, wait_for_both, e);
	usleep(50000);
	conker_exec_kill(e[0], 9, 0); /* the leader leaves with it, and a waiter takes over */
	usleep(50000);
	conker_exec_kill(e[1], 9, 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], &r[i]);
	cr_expect_eq((intptr_t)r[0], 0);
	cr_expect_eq((intptr_t)r[1], 2);
	cr_expect_eq((intptr_t)r[2], 2);
	conker_exec_free(e[0]);
	conker_exec_free(e[1]);
}

Test(lib_view, an_older_caller_knows_fewer_options)
{
	conker_exec_opts o = {.argv = ARGV("exit", "0"), .key = (const char *)1};
	conker_exec_cb cb = {.fn = on_event, .user = &seen};

	o.size = offsetof(conker_exec_opts, key); /* what follows is not his */
	cr_assert_eq(conker_exec_start(box, &o, cb, &job), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
}
