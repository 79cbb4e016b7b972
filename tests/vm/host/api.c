/* SPDX-License-Identifier: Apache-2.0 */
/* api.c BOX BOX2 TEST - what the library promises of executions, on real boxes.
 *
 * One function per promise; t_api.sh names them. Exit status 0, or 1 with the line that was not so.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/conker.h"

enum { LONG_MS = 60000 }; /* patience with a slow host; nothing is expected to take that long */

#define check(cond)                              \
	do {                                     \
		if (!(cond))                     \
			not_so(__LINE__, #cond); \
	} while (0)

static conker_box *box, *box2;
static const char *box_name;

static void not_so(int line, const char *what)
{
	printf("line %d: %s is not so; errno %d, last message: %s\n", line, what, errno,
	       conker_errmsg());
	exit(1);
}

/* ---- what an execution said ----------------------------------------------------------------------- */

struct seen {
	char out[1 << 20], err[4096], order[64]; /* order: a letter per event */
	size_t out_len, err_len, events, gap_bytes;
	conker_written written[16];
	size_t n_written;
	conker_status status;
	int error, ends, frees;
};

static void append(char *to, size_t *len, size_t max, const conker_output *o)
{
	check(*len + o->len < max);
	memcpy(to + *len, o->bytes, o->len);
	*len += o->len;
	to[*len] = 0;
}

static void letter(struct seen *s, char c)
{
	if (s->events + 1 < sizeof(s->order))
		s->order[s->events++] = c;
}

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct seen *s = user;

	(void)e;
	letter(s, "?SoewXL|.D"[ev]);
	switch (ev) {
	case CONKER_STDOUT: append(s->out, &s->out_len, sizeof(s->out), &data->output); break;
	case CONKER_STDERR: append(s->err, &s->err_len, sizeof(s->err), &data->output); break;
	case CONKER_GAP: s->gap_bytes += (size_t)(data->gap.to - data->gap.from); break;
	case CONKER_WRITTEN:
		check(s->n_written < 16);
		s->written[s->n_written++] = data->written;
		break;
	case CONKER_EXIT: s->status = data->status; break;
	case CONKER_LOST: s->error = data->failure.error; break;
	case CONKER_STARTED:
	case CONKER_WRITABLE:
	case CONKER_DETACHED: break;
	}
	s->ends += ev == CONKER_EXIT || ev == CONKER_LOST || ev == CONKER_DETACHED;
}

static void on_free(void *user)
{
	((struct seen *)user)->frees++;
}

static struct seen *seen_new(void)
{
	struct seen *s = calloc(1, sizeof(*s));

	check(s);
	return s;
}

static conker_exec_opts sh(const char *script, uint32_t flags)
{
	static const char *argv[8][4]; /* alive for long enough */
	static size_t n;
	const char **v = argv[n++ % 8];

	v[0] = "sh";
	v[1] = "-c";
	v[2] = script;
	v[3] = NULL;
	return (conker_exec_opts){.size = sizeof(conker_exec_opts), .argv = v, .flags = flags};
}

static conker_exec *start_opts(conker_box *b, const conker_exec_opts *o, struct seen *s)
{
	conker_exec *e = NULL;

	check(conker_exec_start(b, o, (conker_exec_cb){on_event, s, on_free}, &e) == 0);
	return e;
}

static conker_exec *start(const char *script, uint32_t flags, struct seen *s)
{
	const conker_exec_opts o = sh(script, flags);

	return start_opts(box, &o, s);
}

static conker_status wait_end(conker_exec *e)
{
	conker_status st = {.size = sizeof(st)};

	check(conker_exec_wait(e, LONG_MS, &st) == 0);
	return st;
}

/* Dispatches until STARTED has come. */
static uint64_t wait_started(conker_exec *e)
{
	for (int i = 0; i < LONG_MS / 10 && conker_exec_id(e) == 0; i++)
		check(conker_exec_wait(e, 10, NULL) == -ETIMEDOUT || conker_exec_id(e));
	check(conker_exec_id(e) != 0);
	return conker_exec_id(e);
}

/* ---- run and capture ------------------------------------------------------------------------------ */

static conker_result run(const char *script, uint32_t exec_flags, const conker_run_opts *opts,
			 int expected)
{
	const conker_exec_opts o = sh(script, exec_flags);
	conker_result r = {.size = sizeof(r)};

	check(conker_run(box, &o, opts, &r) == expected);
	return r;
}

static void run_captures_streams_and_their_order(void)
{
	conker_result r =
		run("echo one; sleep .5; echo two >&2; sleep .5; echo three; exit 3", 0, NULL, 0);

	check(r.status.code == 3 && r.status.returncode == 3);
	check(strcmp(r.out.data, "one\nthree\n") == 0 && r.out.lines == 2);
	check(strcmp(r.err.data, "two\n") == 0 && r.err.lines == 1);
	check(strcmp(r.both.data, "one\ntwo\nthree\n") == 0 && r.both.len == 14);
	check(!r.out.truncated && r.out.produced == 10);
	check(strstr(r.message, "3"));
	conker_result_free(&r);
	r = run("for i in 1 2 3; do echo o$i; echo e$i >&2; done", CONKER_EXEC_MERGE_STDERR, NULL,
		0);
	check(strcmp(r.out.data, "o1\ne1\no2\ne2\no3\ne3\n") == 0);
	check(strcmp(r.message, "") == 0);
	conker_result_free(&r);
}

static void run_output_is_bounded_and_counted(void)
{
	const conker_run_opts o = {.size = sizeof(o), .output_max_bytes = 1000};
	conker_result r = run("head -c 300000 /dev/zero; echo x >&2", 0, &o, 0);

	check(r.status.code == 0);
	check(r.out.truncated && r.out.len == 1000 && r.out.produced == 300000);
	check(!r.err.truncated && r.err.len == 2);
	check(r.both.truncated && r.both.len == 1000 && r.both.produced == 300002);
	conker_result_free(&r);
}

static void run_feeds_input(void)
{
	static const char input[] = "b\n\0\xff\na\n";
	const conker_run_opts o = {
		.size = sizeof(o), .input = input, .input_len = sizeof(input) - 1};
	conker_result r = run("cat", 0, &o, 0);

	check(r.out.len == sizeof(input) - 1 && memcmp(r.out.data, input, r.out.len) == 0);
	check(r.out.lines == 3);
	conker_result_free(&r);
	r = run("wc -c", 0, NULL, 0); /* no input: reads EOF */
	check(strcmp(r.out.data, "0\n") == 0);
	conker_result_free(&r);
}

static void run_check_makes_a_bad_end_an_error(void)
{
	const conker_run_opts o = {.size = sizeof(o), .flags = CONKER_RUN_CHECK};
	conker_exec_opts late = sh("echo partial; sleep 100", 0);
	conker_result r = run("echo why >&2; exit 4", 0, &o, -EREMOTEIO);

	check(conker_errkind() == CONKER_ERR_COMMAND);
	check(r.status.code == 4 && strcmp(r.err.data, "why\n") == 0);
	conker_result_free(&r);
	late.timeout_ms = 1500;
	r = (conker_result){.size = sizeof(r)};
	check(conker_run(box, &late, &o, &r) == -ETIME);
	check(conker_errkind() == CONKER_ERR_TIMEOUT && r.status.timed_out);
	check(strcmp(r.out.data, "partial\n") == 0);
	conker_result_free(&r);
	r = run("true", 0, &o, 0);
	conker_result_free(&r);
}

static void start_failures_have_an_errno_and_a_step(void)
{
	const char *nosuch[] = {"no-such-command", NULL};
	conker_exec_opts o[3] = {
		{.size = sizeof(o[0]), .argv = nosuch}, sh("true", 0), sh("true", 0)};
	static const char *const steps[] = {"exec", "cwd", "user"};
	static const int errors[] = {-ENOENT, -ENOENT, 0};

	o[1].cwd = "/no/such";
	o[2].user = "nosuchuser";
	for (int i = 0; i < 3; i++) {
		conker_result r = {.size = sizeof(r)};
		int e = conker_run(box, &o[i], NULL, &r);

		check(e < 0 && (!errors[i] || e == errors[i]));
		check(conker_errkind() == CONKER_ERR_START);
		check(strcmp(conker_errstep(), steps[i]) == 0);
		check(!r.out.data && !r.message);
	}
}

/* ---- events --------------------------------------------------------------------------------------- */

static void exit_comes_last_and_once(void)
{
	for (int i = 0; i < 5; i++) {
		struct seen *s = seen_new();
		conker_exec *e = start("echo short", 0, s);

		check(wait_end(e).code == 0);
		check(strcmp(s->out, "short\n") == 0);
		check(s->order[0] == 'S' && s->order[s->events - 1] == 'X' && s->ends == 1);
		check(s->frees <= 1);
		conker_exec_free(e);
		check(s->frees == 1);
		free(s);
	}
}

static void lines_come_whole(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("printf 'a\\nb'; sleep .5; printf 'b\\nlast'", CONKER_EXEC_LINES, s);

	check(wait_end(e).code == 0);
	check(strcmp(s->out, "a\nbb\nlast") == 0);
	check(strcmp(s->order, "SoooX") == 0);
	conker_exec_free(e);
	free(s);
}

static void returncode_is_negative_for_a_signal(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("kill -11 $$", 0, s);
	conker_status st = wait_end(e);

	check(st.signo == 11 && st.returncode == -11 && st.state == CONKER_EXEC_SIGNALED);
	check(conker_exec_kill(e, SIGTERM, CONKER_KILL_PROCESS) == -ESRCH);
	conker_exec_free(e);
	e = start("sleep 1000", 0, s);
	wait_started(e);
	check(conker_exec_kill(e, 0, CONKER_KILL_ALL) == 0);
	st = wait_end(e);
	check(st.signo == 9 && st.returncode == -9 && st.state == CONKER_EXEC_KILLED);
	check(conker_status_check(&st) == -EREMOTEIO);
	conker_exec_free(e);
	free(s);
}

static void several_readers_get_every_byte(void)
{
	struct seen *s[3] = {seen_new(), seen_new(), seen_new()};
	conker_exec *e = start("for i in 1 2 3 4 5; do echo line $i; sleep .3; done",
			       CONKER_EXEC_KEEP, s[0]);
	conker_exec *view[2];
	conker_box *other;
	const conker_exec_ref whom = {.id = wait_started(e)};

	check(conker_box_open(box_name, &other) == 0);
	for (int i = 0; i < 2; i++)
		check(conker_exec_attach(i ? other : box, &whom, NULL,
					 (conker_exec_cb){on_event, s[i + 1], on_free},
					 &view[i]) == 0);
	for (int i = 0; i < 2; i++)
		check(wait_end(view[i]).code == 0);
	check(wait_end(e).code == 0);
	for (int i = 0; i < 3; i++)
		check(strcmp(s[i]->out, "line 1\nline 2\nline 3\nline 4\nline 5\n") == 0);
	conker_exec_free(view[0]);
	conker_exec_free(view[1]);
	conker_exec_free(e);
	conker_box_free(other);
	for (int i = 0; i < 3; i++)
		free(s[i]);
}

/* ---- stdin ---------------------------------------------------------------------------------------- */

static void every_write_completes_in_order(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("cat", CONKER_EXEC_STDIN, s);

	check(conker_exec_write_all(e, "one ", 4) == 1);
	check(conker_exec_write_all(e, "two ", 4) == 2);
	check(conker_exec_flush(e, 1, LONG_MS) == 0);
	check(conker_exec_write_all(e, "three", 5) == 3);
	check(conker_exec_flush(e, 0, LONG_MS) == 0);
	check(conker_exec_stdin_pending(e) == 0);
	check(conker_exec_close_stdin(e) == 0 && conker_exec_close_stdin(e) == 0);
	check(conker_exec_write(e, "x", 1) == -ESHUTDOWN);
	check(conker_exec_write_all(e, "x", 1) == -ESHUTDOWN);
	check(wait_end(e).code == 0 && strcmp(s->out, "one two three") == 0);
	check(s->n_written == 3);
	for (size_t i = 0; i < 3; i++)
		check(s->written[i].ticket == (int64_t)i + 1 && s->written[i].error == 0);
	conker_exec_free(e);
	free(s);
}

static void close_flushes_what_is_pending(void)
{
	enum { LEN = 600000 };
	struct seen *s = seen_new();
	char *data = malloc(LEN);
	conker_exec *e = start("sleep 1; cat", CONKER_EXEC_STDIN, s);

	check(data);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (char)(i % 251);
	check(conker_exec_write_all(e, data, LEN) == 1);
	check(conker_exec_close_stdin(e) == 0);
	check(wait_end(e).code == 0);
	check(s->out_len == LEN && memcmp(s->out, data, LEN) == 0);
	check(s->n_written == 1 && s->written[0].error == 0);
	conker_exec_free(e);
	free(data);
	free(s);
}

static void back_pressure_shows(void)
{
	static char data[65536];
	struct seen *s = seen_new();
	conker_exec *e = start("sleep 2; wc -c", CONKER_EXEC_STDIN, s);
	size_t taken = 0;
	ssize_t n;

	wait_started(e);
	while ((n = conker_exec_write(e, data, sizeof(data))) > 0 && taken < 64 << 20)
		taken += (size_t)n;
	check(n == -EAGAIN && taken > 0 && taken < 64 << 20);
	check(conker_exec_stdin_pending(e) > 0);
	while (!strchr(s->order, 'w'))
		check(conker_exec_wait(e, 100, NULL) == -ETIMEDOUT);
	check(conker_exec_write(e, "x", 1) == 1);
	check(conker_exec_close_stdin(e) == 0 && wait_end(e).code == 0);
	check(strtoull(s->out, NULL, 10) == taken + 1);
	conker_exec_free(e);
	free(s);
}

static void writes_to_the_closed_and_the_ended_have_their_own_errors(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("exec <&-; echo closed; sleep 2", CONKER_EXEC_STDIN, s);
	ssize_t n = 0;

	while (!s->out_len)
		check(conker_exec_wait(e, 100, NULL) == -ETIMEDOUT);
	for (int i = 0; i < 300 && n >= 0; i++) {
		n = conker_exec_write(e, "x", 1);
		if (n >= 0)
			(void)conker_exec_wait(e, 50, NULL);
	}
	check(n == -EPIPE || n == -ESRCH);
	wait_end(e);
	check(conker_exec_write(e, "x", 1) == -ESRCH);
	conker_exec_free(e);
	e = start("sleep 1", 0, s);
	check(conker_exec_write(e, "x", 1) == -ESHUTDOWN);
	wait_end(e);
	conker_exec_free(e);
	free(s);
}

/* ---- waiting -------------------------------------------------------------------------------------- */

static void wait_polls_and_times_out(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("sleep 1000", 0, s);

	check(conker_exec_wait(e, 0, NULL) == -ETIMEDOUT);
	check(conker_exec_wait(e, 200, NULL) == -ETIMEDOUT);
	check(conker_exec_kill(e, SIGTERM, CONKER_KILL_PROCESS) == 0);
	check(wait_end(e).signo == SIGTERM);
	check(conker_exec_wait(e, 0, NULL) == 0); /* again and again */
	conker_exec_free(e);
	free(s);
}

static void wait_many_counts_across_boxes(void)
{
	struct seen *s = seen_new();
	const conker_exec_opts fast = sh("exit 1", 0), slow = sh("sleep 1000", 0);
	conker_exec *v[4] = {start_opts(box, &slow, s), start_opts(box2, &fast, s),
			     start_opts(box, &fast, s), start_opts(box2, &slow, s)};
	unsigned char done[4];

	check(conker_exec_wait_many(v, 4, 2, LONG_MS, done) == 2);
	check(!done[0] && done[1] && done[2] && !done[3]);
	check(conker_exec_wait_many(v, 4, 3, 300, done) == -ETIMEDOUT);
	check(conker_exec_kill(v[3], 0, CONKER_KILL_ALL) == 0);
	check(conker_exec_wait_many(v, 4, 3, LONG_MS, done) == 3 && done[3]);
	check(conker_exec_kill(v[0], 0, CONKER_KILL_ALL) == 0);
	check(conker_exec_wait_many(v, 4, 4, LONG_MS, NULL) == 4);
	for (int i = 0; i < 4; i++)
		conker_exec_free(v[i]);
	free(s);
}

static void *waiter(void *e)
{
	conker_status st = {.size = sizeof(st)};
	int r = conker_exec_wait(e, LONG_MS, &st);

	return r == 0 && st.signo == SIGUSR1 ? e : NULL;
}

static void several_threads_wait_while_another_kills(void)
{
	struct seen *s = seen_new();
	conker_exec *e = start("sleep 1000", 0, s);
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		check(pthread_create(&t[i], NULL, waiter, e) == 0);
	usleep(300000);
	check(conker_exec_kill(e, SIGUSR1, CONKER_KILL_PROCESS) == 0);
	for (int i = 0; i < 3; i++) {
		void *ret;

		check(pthread_join(t[i], &ret) == 0 && ret == e);
	}
	conker_exec_free(e);
	free(s);
}

static void the_end_is_kept_for_who_comes_later(void)
{
	struct seen *s = seen_new();
	const conker_view_opts quiet = {.size = sizeof(quiet),
					.flags = CONKER_VIEW_FOLLOW | CONKER_VIEW_NO_STDOUT};
	conker_exec *e = start("echo said; exit 6", CONKER_EXEC_KEEP, s);
	conker_box *other;
	const conker_exec_ref whom = {.id = wait_started(e)};

	conker_exec_free(e);
	check(conker_box_open(box_name, &other) == 0);
	check(conker_exec_attach(other, &whom, &quiet, (conker_exec_cb){0}, &e) == 0);
	check(wait_end(e).code == 6);
	conker_exec_free(e);
	struct seen *late = seen_new();
	check(conker_exec_attach(other, &whom, NULL, (conker_exec_cb){on_event, late, NULL}, &e) ==
	      0);
	check(wait_end(e).code == 6 && strcmp(late->out, "said\n") == 0);
	conker_exec_free(e);
	check(conker_exec_forget(other, &whom) == 0);
	check(conker_exec_forget(other, &whom) == -ESRCH);
	conker_box_free(other);
	free(s);
	free(late);
}

/* ---- starting ------------------------------------------------------------------------------------- */

static void same_key_starts_once(void)
{
	struct seen *a = seen_new(), *b = seen_new();
	conker_exec_opts o = sh("echo ran >>/tmp/key.runs; cat /tmp/key.runs; sleep 1", 0);
	conker_exec *first, *second;

	o.key = "k\xff/1";
	first = start_opts(box, &o, a);
	second = start_opts(box, &o, b);
	check(wait_end(first).code == 0 && wait_end(second).code == 0);
	check(conker_exec_id(first) == conker_exec_id(second));
	check(!conker_exec_existing(first) && conker_exec_existing(second));
	check(strcmp(a->out, "ran\n") == 0 && strcmp(b->out, "ran\n") == 0);
	conker_exec_free(first);
	conker_exec_free(second);
	free(a);
	free(b);
}

static void detached_lives_on(void)
{
	conker_exec_info *info;
	struct seen *s = seen_new();
	conker_exec *e = start("sleep 1000", 0, s);
	const conker_exec_ref whom = {.id = wait_started(e)};

	check(conker_exec_detach(e) == 0);
	check(conker_exec_wait(e, LONG_MS, NULL) == -ENODATA);
	check(s->order[s->events - 1] == 'D' && s->ends == 1);
	conker_exec_free(e);
	check(conker_exec_lookup(box, &whom, 0, &info) == 0);
	check(info->state == CONKER_EXEC_RUNNING);
	conker_exec_info_free(info);
	check(conker_exec_kill_ref(box, &whom, 0, CONKER_KILL_ALL) == 0);
	free(s);
}

static void environment_of_a_mebibyte(void)
{
	enum { N = 10, EACH = 104900 };
	static char text[N][EACH + 8];
	const char *env[N + 1] = {NULL};
	conker_exec_opts o = sh("env | wc -c", 0);
	conker_result r = {.size = sizeof(r)};

	for (int i = 0; i < N; i++) {
		int n = snprintf(text[i], sizeof(text[i]), "V%d=", i);

		memset(text[i] + n, 'a' + i, EACH);
		env[i] = text[i];
	}
	o.env = env;
	check(conker_run(box, &o, NULL, &r) == 0);
	check(r.status.code == 0 && strtoul(r.out.data, NULL, 10) > 1 << 20);
	conker_result_free(&r);
}

static void bytes_that_are_no_utf8_pass(void)
{
	static const char odd[] = "\xff\xfe\xc3(\x80";
	const char *argv[] = {"sh", "-c", "printf '%s|%s|' \"$1\" \"$X\"; pwd", "sh", odd, NULL};
	const char *env[] = {"X=\xff\xfe\xc3(\x80", NULL};
	conker_exec_opts o = {
		.size = sizeof(o), .argv = argv, .env = env, .cwd = "/tmp/\xff\xfe\xc3(\x80"};
	conker_result r = run("mkdir -p \"$(printf '/tmp/\\377\\376\\303(\\200')\"", 0, NULL, 0);

	check(r.status.code == 0);
	conker_result_free(&r);
	r = (conker_result){.size = sizeof(r)};
	check(conker_run(box, &o, NULL, &r) == 0);
	check(strcmp(r.out.data, "\xff\xfe\xc3(\x80|\xff\xfe\xc3(\x80|/tmp/\xff\xfe\xc3(\x80\n") ==
	      0);
	conker_result_free(&r);
}

/* ---- by name -------------------------------------------------------------------------------------- */

#define TEST(name)          \
	{                   \
#name, name \
	}
static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	TEST(run_captures_streams_and_their_order),
	TEST(run_output_is_bounded_and_counted),
	TEST(run_feeds_input),
	TEST(run_check_makes_a_bad_end_an_error),
	TEST(start_failures_have_an_errno_and_a_step),
	TEST(exit_comes_last_and_once),
	TEST(lines_come_whole),
	TEST(returncode_is_negative_for_a_signal),
	TEST(several_readers_get_every_byte),
	TEST(every_write_completes_in_order),
	TEST(close_flushes_what_is_pending),
	TEST(back_pressure_shows),
	TEST(writes_to_the_closed_and_the_ended_have_their_own_errors),
	TEST(wait_polls_and_times_out),
	TEST(wait_many_counts_across_boxes),
	TEST(several_threads_wait_while_another_kills),
	TEST(the_end_is_kept_for_who_comes_later),
	TEST(same_key_starts_once),
	TEST(detached_lives_on),
	TEST(environment_of_a_mebibyte),
	TEST(bytes_that_are_no_utf8_pass),
};

int main(int argc, char **argv)
{
	check(argc == 4);
	box_name = argv[1];
	check(conker_box_open(argv[1], &box) == 0);
	check(conker_box_open(argv[2], &box2) == 0);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[3], tests[i].name) != 0)
			continue;
		tests[i].fn();
		conker_box_free(box);
		conker_box_free(box2);
		return 0;
	}
	printf("no test '%s'\n", argv[3]);
	return 1;
}
