/* SPDX-License-Identifier: Apache-2.0 */
/* boxes.c - see boxes.h. */
#include "tools/bench/boxes.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/machine.h"
#include "tools/bench/tiny.h"

static void on_ran_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			 void *user)
{
	struct ran *r = user;

	(void)e;
	if (ev == CONKER_STDOUT)
		r->bytes += data->output.len;
}

/* Waits for frames, and serves them. */
static int let_pass(conker_box *box)
{
	struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};
	int r = poll(&p, 1, -1) < 0 ? -errno : conker_box_dispatch(box);

	return r < 0 ? r : 0;
}

static int feed(conker_box *box, conker_exec *e, const char *buf, size_t len, uint64_t total)
{
	while (total) {
		ssize_t n = conker_exec_write(e, buf, total < len ? (size_t)total : len);

		if (n == -EAGAIN)
			n = let_pass(box);
		else if (n > 0)
			total -= (uint64_t)n;
		if (n < 0)
			return (int)n;
	}
	return conker_exec_close_stdin(e);
}

static int ran_finish(conker_exec *e, uint64_t start_ns, struct ran *ret)
{
	conker_status st = {.size = sizeof(st)};
	int r = conker_exec_wait(e, -1, &st);

	ret->ns = machine_now_ns() - start_ns;
	ret->in_ns = st.duration_us * 1000;
	if (r < 0)
		return r;
	if (st.code == 0 && st.signo == 0)
		return 0;
	(void)snprintf(ret->why, sizeof(ret->why), "ended with code %d, signal %d", st.code,
		       st.signo);
	return -EIO;
}

int boxes_feed(conker_box *box, const char *const *argv, const void *buf, size_t len,
	       uint64_t total, struct ran *ret)
{
	conker_exec_opts o = {
		.size = sizeof(o), .argv = argv, .flags = buf ? CONKER_EXEC_STDIN : 0};
	conker_exec_cb cb = {.fn = on_ran_event, .user = ret};
	conker_exec *e = NULL;

	*ret = (struct ran){0};
	uint64_t start = machine_now_ns();
	int r = conker_exec_start(box, &o, cb, &e);
	if (r == 0 && buf)
		r = feed(box, e, buf, len, total);
	if (r == 0)
		r = ran_finish(e, start, ret);
	if (r < 0 && !*ret->why)
		(void)snprintf(ret->why, sizeof(ret->why), "%s", conker_errmsg());
	conker_exec_free(e);
	return r;
}

int boxes_run(conker_box *box, const char *const *argv, struct ran *ret)
{
	return boxes_feed(box, argv, NULL, 0, 0, ret);
}

int boxes_upload(conker_box *box, const char *dir, const char *name)
{
	char from[512], to[128];
	conker_copy_opts o = {.size = sizeof(o)};

	(void)snprintf(from, sizeof(from), "%s/%s", dir, name);
	(void)snprintf(to, sizeof(to), "/tmp/%s", name);
	if (conker_copy_in(box, from, to, &o) == 0)
		return 0;
	fprintf(stderr, "bench: %s\n", conker_errmsg());
	return -1;
}

const char *const boxes_tiny[] = {"/tmp/true", NULL};

int boxes_warm_up(conker_box *box)
{
	enum { TIMES = 5 };
	unsigned char program[TINY_BYTES_MAX];
	struct ran ran;
	int r = conker_file_write(box, boxes_tiny[0], NULL, program, tiny_true(program), 0755);

	for (int i = 0; i < TIMES && r == 0; i++)
		r = boxes_run(box, boxes_tiny, &ran);
	return r;
}
