/* SPDX-License-Identifier: Apache-2.0 */
/* execlogs.c - conker logs BOX EXEC: what an execution has said.
 *
 * Plain, its stdout goes to our stdout and its stderr to our stderr, byte by byte. With tags or
 * times it is lines, all on our stdout, in the order in which the box read them; on a terminal
 * without control characters, with which a line could pretend to be another. As JSON it is one
 * object per line of output.
 */
#include "tools/cli/logs.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/clean.h"

struct printer {
	const struct logs_args *a;
	conker_box *box;
	int status; /* of a failure */
	int clean;  /* stdout is a terminal */
};

static const char *stream_name(enum conker_event ev)
{
	return ev == CONKER_STDERR ? "stderr" : "stdout";
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void json_base64(const unsigned char *p, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	putchar('"');
	for (size_t i = 0; i < len; i += 3) {
		size_t n = min_(len - i, (size_t)3);
		unsigned v = (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) |
			     (n > 2 ? (unsigned)p[i + 2] : 0);

		for (size_t k = 0; k < 4; k++)
			putchar(k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
	}
	putchar('"');
}

static void json_output(enum conker_event ev, const conker_output *o)
{
	int text = utf8_is_valid(o->bytes, o->len);

	printf("{\"stream\":\"%s\",\"offset\":%llu,\"time_us\":%lld,\"%s\":", stream_name(ev),
	       (unsigned long long)o->offset, (long long)o->time_us, text ? "data" : "base64");
	if (text)
		json_bytes(o->bytes, o->len);
	else
		json_base64(o->bytes, o->len);
	puts("}");
}

static void json_gap(const conker_gap *g)
{
	printf("{\"stream\":\"%s\",\"gap_from\":%llu,\"gap_to\":%llu}\n", stream_name(g->stream),
	       (unsigned long long)g->from, (unsigned long long)g->to);
}

/* ---- as text --------------------------------------------------------------------------------- */

static void text_line(const struct printer *p, enum conker_event ev, const conker_output *o)
{
	const char *data = o->bytes;
	size_t len = o->len;
	char when[64];

	if (p->a->timestamps)
		printf("%s ", time_text(o->time_us, when, sizeof(when)));
	if (p->a->tags)
		printf("%s: ", stream_name(ev));
	if (len && data[len - 1] == '\n')
		len--;
	if (p->clean)
		print_clean_line(data, len);
	else
		fwrite(data, 1, len, stdout);
	putchar('\n');
}

static void on_output(const struct printer *p, enum conker_event ev, const conker_output *o)
{
	if (p->a->json) {
		json_output(ev, o);
	} else if (p->a->tags || p->a->timestamps) {
		text_line(p, ev, o);
	} else if (ev == CONKER_STDOUT) {
		fwrite(o->bytes, 1, o->len, stdout);
	} else {
		fflush(stdout); /* two streams that meet again on a terminal keep their order */
		fwrite(o->bytes, 1, o->len, stderr);
	}
}

static void on_log_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			 void *user)
{
	struct printer *p = user;

	(void)e;
	if (ev == CONKER_STDOUT || ev == CONKER_STDERR)
		on_output(p, ev, &data->output);
	else if (ev == CONKER_GAP && p->a->json)
		json_gap(&data->gap);
	else if (ev == CONKER_GAP)
		report_gap(&data->gap, "\n");
	else if (ev == CONKER_LOST)
		p->status = report_failure(p->box, &data->failure);
	if (p->a->follow)
		fflush(stdout);
}

static conker_view_opts view_opts(const struct logs_args *a)
{
	int lines = a->tags || a->timestamps || a->json;

	return (conker_view_opts){
		.size = sizeof(conker_view_opts),
		.flags = (a->follow ? CONKER_VIEW_FOLLOW : 0U) |
			 (a->only_stderr ? CONKER_VIEW_NO_STDOUT : 0U) |
			 (a->only_stdout ? CONKER_VIEW_NO_STDERR : 0U) |
			 (lines ? CONKER_VIEW_LINES : 0U),
		.stdout_from = a->from.out,
		.stderr_from = a->from.err,
		.tail_bytes = (uint32_t)min_(a->tail_bytes, (uint64_t)UINT32_MAX),
	};
}

static int wait_for_end(const struct printer *p, conker_exec *e)
{
	int r;

	do
		r = conker_exec_wait(e, -1, NULL);
	while (r == -EINTR && !signals_caught() && !ferror(stdout));
	if (signals_caught())
		return exit_by_signal(signals_caught());
	if (p->status)
		return p->status;
	return r < 0 && r != -ENODATA ? fail_lib() : finish_output();
}

int logs_exec(const char *box, const char *exec, const struct logs_args *a)
{
	const conker_exec_ref ref = exec_ref_of(exec);
	const conker_view_opts o = view_opts(a);
	struct printer p = {.a = a, .clean = isatty(STDOUT_FILENO)};
	conker_exec *e;
	int status;

	if (over_again(conker_box_open(box, &p.box)) < 0)
		return fail_lib();
	if (conker_exec_attach(p.box, &ref, &o, (conker_exec_cb){on_log_event, &p, NULL}, &e) < 0) {
		status = fail_lib();
	} else {
		status = wait_for_end(&p, e);
		conker_exec_free(e);
	}
	conker_box_free(p.box);
	return status;
}
