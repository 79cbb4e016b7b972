/* SPDX-License-Identifier: Apache-2.0 */
/* watched.h - a box against the fake VMM, and executions whose callbacks are counted.
 *
 * Everything is static: a fixture for one Criterion suite per program.
 */
#ifndef TESTS_LIB_WATCHED_H
#define TESTS_LIB_WATCHED_H

#include "lib/conker.h"
#include "tests/lib/fakeinit.h"
#include "tests/lib/test.h"

#define NUMBERED(n) (&(const conker_exec_ref){.id = (n)})
#define NAMED(s)    (&(const conker_exec_ref){.name = (s)})
#define KEYED(s)    (&(const conker_exec_ref){.key = (s)})

struct got {
	char out[1024], err[256];
	size_t nout, nerr, total;
	int started, exits, losts, frees, writable, order_ok;
	conker_status st;
	char text[400], step[40];
	int error, gaps, written, detached;
	enum conker_errkind kind;
	conker_gap gap;
	conker_written last_written;
	conker_exec *free_on; /* freed in the callback of event free_at */
	enum conker_event free_at;
};

static conker_box *box;
static conker_exec *job;                        /* the test's execution, if it has one ... */
static __attribute__((unused)) struct got seen; /* ... and what was heard of it */

static void up(void)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b1"};

	fakevmm_use();
	int r = conker_box_create(&o, &box);
	cr_assert_eq(r, 0, "%d %s", r, conker_errmsg());
}

static void down(void)
{
	job = conker_exec_free(job);
	box = conker_box_free(box);
	fakevmm_clean();
}

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct got *g = user;

	if (g->exits + g->losts + g->frees + g->detached)
		g->order_ok = -1;
	switch (ev) {
	case CONKER_STARTED: g->started++; break;
	case CONKER_STDOUT:
		if (g->nout + data->output.len < sizeof(g->out)) {
			memcpy(g->out + g->nout, data->output.bytes, data->output.len);
			g->nout += data->output.len;
		}
		g->total += data->output.len;
		break;
	case CONKER_STDERR:
		memcpy(g->err + g->nerr, data->output.bytes, data->output.len);
		g->nerr += data->output.len;
		break;
	case CONKER_WRITABLE: g->writable++; break;
	case CONKER_EXIT:
		g->exits++;
		g->st = data->status;
		break;
	case CONKER_LOST:
		g->losts++;
		g->error = data->failure.error;
		snprintf(g->text, sizeof(g->text), "%s", data->failure.text);
		snprintf(g->step, sizeof(g->step), "%s", data->failure.step);
		g->kind = data->failure.kind;
		break;
	case CONKER_GAP:
		g->gaps++;
		g->gap = data->gap;
		break;
	case CONKER_WRITTEN:
		g->written++;
		g->last_written = data->written;
		break;
	case CONKER_DETACHED: g->detached++; break;
	}
	if (g->free_on && g->free_at == ev)
		g->free_on = conker_exec_free(e);
}

static void on_free(void *user)
{
	((struct got *)user)->frees++;
}

static conker_exec *start(struct got *g, uint32_t flags, const char *const *argv)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = argv, .flags = flags};
	conker_exec_cb cb = {.fn = on_event, .user = g, .free = on_free};
	conker_exec *e = NULL;
	int r = conker_exec_start(box, &o, cb, &e);

	cr_assert_eq(r, 0, "%s", conker_errmsg());
	return e;
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static __attribute__((unused)) void run(struct got *g, const char *const *argv)
{
	conker_exec *e = start(g, 0, argv);

	(void)conker_exec_wait(e, -1, NULL);
	conker_exec_free(e);
}

#endif
