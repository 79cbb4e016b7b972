/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - see ports.h. */
#include "guest-init/serve/ports.h"

#include <fcntl.h>
#include <string.h>

#include "guest-init/exec/messages.h"
#include "guest-init/sys/sys.h"
#include "util/cleanup.h"
#include "util/num.h"

/* ---- /proc/net/tcp ------------------------------------------------------------------------------------ */

/* The port of "   0: 0100007F:1F90 00000000:0000 0A ...", or -1 if it is not one that listens. The address
 * has 8 digits, or 32. */
static int listening_port(const char *line, size_t len)
{
	const char *end = line + len;
	const char *p = memchr(line, ':', len);
	uint64_t port;

	if (!p)
		return -1;
	p = memchr(p + 1, ':', (size_t)(end - p - 1));
	if (!p || end - p < 6)
		return -1;
	if (num_parse(p + 1, 4, 16, UINT16_MAX, &port) < 0)
		return -1;
	p = memchr(p + 5, ':', (size_t)(end - p - 5)); /* of the remote address */
	return p && end - p >= 8 && p[6] == '0' && p[7] == 'A' ? (int)port : -1;
}

uint32_t ports_scan(const char *text, size_t len, const uint16_t *port, int n)
{
	uint32_t found = 0;

	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t line = nl ? (size_t)(nl - text) : len;
		int at = listening_port(text, line);

		for (int i = 0; i < n; i++)
			if (port[i] == at)
				found |= UINT32_C(1) << i;
		text += min_(line + 1, len);
		len -= min_(line + 1, len);
	}
	return found;
}

static int open_tcp(void)
{
	auto_close int proc = sys_mount_detached("proc", NULL);

	return proc < 0 ? -1 : openat(proc, "self/net/tcp", O_RDONLY | O_CLOEXEC);
}

/* ---- those who wait -------------------------------------------------------------------------------------- */

static void await_drop(struct awaits *a, int i, int64_t now_us)
{
	a->v[i] = a->v[--a->n];
	uses_leave(a->uses, now_us);
}

void ports_lose(struct awaits *a, const struct outbox *out, int64_t now_us)
{
	for (int i = a->n - 1; i >= 0; i--)
		if (a->v[i].out == out)
			await_drop(a, i, now_us);
}

/* Answers what needs no look at the ports. 1: it is answered. */
static int await_settle(struct execs *e, const struct await *w)
{
	const struct exec *x = w->exec ? execs_by_id(e, w->exec) : NULL;

	if (w->exec && (!x || !exec_is_live(x))) {
		message_error(w->out, w->channel, ESRCH, "",
			      "the execution ended before the ports were open");
		return 1;
	}
	if (w->deadline_us && w->deadline_us <= e->poller->now_us) {
		message_error(w->out, w->channel, ETIMEDOUT, "", "not all ports were open in time");
		return 1;
	}
	return 0;
}

static uint32_t all_of(const struct await *w)
{
	return w->n == 32 ? UINT32_MAX : (UINT32_C(1) << w->n) - 1;
}

/* Listeners come first in the file, so the first read has them all but in the busiest box; the rest of a
 * line that was cut is read again. */
static void ports_look(struct awaits *a, struct execs *e)
{
	enum { READS_MAX = 64 };
	char *buf = (char *)e->stage; /* free between two reads of a pipe */
	uint32_t found[AWAITS_MAX] = {0};
	off_t at = 0;

	for (int k = 0; k < READS_MAX; k++) {
		ssize_t n = pread(a->tcp_fd, buf, sizeof(e->stage), at);
		const char *nl = n > 0 ? memrchr(buf, '\n', (size_t)n) : NULL;

		if (!nl)
			break;
		size_t whole = (size_t)(nl - buf) + 1;
		for (int i = 0; i < a->n; i++)
			found[i] |= ports_scan(buf, whole, a->v[i].port, a->v[i].n);
		at += (off_t)whole;
	}
	for (int i = a->n - 1; i >= 0; i--) {
		if (found[i] != all_of(&a->v[i]))
			continue;
		message_done(a->v[i].out, a->v[i].channel, 0);
		await_drop(a, i, e->poller->now_us);
	}
}

void ports_run(struct awaits *a, struct execs *e)
{
	for (int i = a->n - 1; i >= 0; i--)
		if (await_settle(e, &a->v[i]))
			await_drop(a, i, e->poller->now_us);
	if (a->n == 0 || a->look_us > e->poller->now_us)
		return;
	ports_look(a, e);
	a->look_us = e->poller->now_us + ms_to_us(a->interval_ms);
	a->interval_ms = min_(a->interval_ms * 2, (uint32_t)PORTS_LOOK_MAX_MS);
}

int64_t ports_due_us(const struct awaits *a)
{
	int64_t due = a->n > 0 ? a->look_us : INT64_MAX;

	for (int i = 0; i < a->n; i++)
		if (a->v[i].deadline_us)
			due = min_(due, a->v[i].deadline_us);
	return due;
}

int ports_waits(const struct awaits *a, const struct outbox *out, uint32_t channel)
{
	for (int i = 0; i < a->n; i++)
		if (a->v[i].out == out && a->v[i].channel == channel)
			return 1;
	return 0;
}

void ports_await(struct awaits *a, const struct execs *e, struct outbox *out, uint32_t channel,
		 const struct exec *x, const Conker__AwaitPorts *m)
{
	if (a->tcp_fd == 0)
		a->tcp_fd = open_tcp();
	if (a->tcp_fd < 0 || a->n == AWAITS_MAX) {
		int code = a->tcp_fd < 0 ? EOPNOTSUPP : EAGAIN;

		a->tcp_fd = max_(a->tcp_fd, 0);
		message_error(out, channel, code, "", strerror(code));
		return;
	}
	struct await *w = &a->v[a->n++];
	uses_enter(a->uses);
	*w = (struct await){
		.out = out, .channel = channel, .exec = x ? x->id : 0, .n = (int)m->n_ports};
	for (int i = 0; i < w->n; i++)
		w->port[i] = (uint16_t)m->ports[i];
	if (m->timeout_ms)
		w->deadline_us = e->poller->now_us + ms_to_us(m->timeout_ms);
	a->interval_ms = PORTS_LOOK_FIRST_MS; /* for who has waited longer, too */
	a->look_us = e->poller->now_us;
}
