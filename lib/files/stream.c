/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - the program for a box's files (proto/files.h) at work, as one call of the library sees
 * it.
 *
 * Its output lies in a ring as large as its window and is acknowledged when the caller has taken
 * it; so a caller that writes to a slow disk stops the program in the box, and nothing else. Events
 * may come on any thread (whoever leads, see wait.c); they only note what happened. The memory
 * belongs to the call and to the execution's callback: the later of stream_free() and the
 * callback's `free` gives it back.
 */
#include "lib/files/files.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/files.h"

enum {
	RING_BYTES = WINDOW_DEFAULT_BYTES,
	ARGS = 8,
	CLEANUP_MS = 2000,
	BUSY_MS = 50,
};

struct stream {
	conker_box *box;
	conker_exec *exec;
	int refs;
	int wake; /* eventfd: it has ended */
	int input_open;

	/* box->lock */
	uint64_t put, got; /* bytes that ever went into the ring, and out */
	int writable, over;
	int error; /* of LOST, positive */
	enum conker_errkind kind;
	char step[STEP_BYTES];
	conker_status status;
	size_t text_len;
	char text[TEXT_BYTES]; /* stderr, or LOST's text */

	uint8_t ring[RING_BYTES];
};

static void stream_unref(struct stream *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (s->wake >= 0)
		close(s->wake);
	free(s);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_output(struct stream *s, const uint8_t *p, size_t len)
{
	size_t at = s->put % RING_BYTES, first = min_(len, (size_t)RING_BYTES - at);

	assert(s->put - s->got + len <= RING_BYTES); /* flow.c keeps the window */
	memcpy(s->ring + at, p, first);
	memcpy(s->ring, p + first, len - first);
	s->put += len;
}

/* One line of it is wanted; a program gone bad may say more. */
static void on_complaint(struct stream *s, const char *p, size_t len)
{
	size_t n = min_(len, sizeof(s->text) - 1 - s->text_len);

	memcpy(s->text + s->text_len, p, n);
	s->text_len += n;
	s->text[s->text_len] = 0;
}

static void on_lost(struct stream *s, const conker_failure *f)
{
	s->over = 1;
	s->error = f->error;
	s->kind = f->kind;
	(void)snprintf(s->step, sizeof(s->step), "%s", f->step);
	(void)snprintf(s->text, sizeof(s->text), "%s%s%s", f->step, *f->step ? ": " : "", f->text);
}

static void on_stream_event(conker_exec *x, enum conker_event ev, const conker_event_data *data,
			    void *user)
{
	struct stream *s = user;
	uint64_t one = 1;

	pthread_mutex_lock(&s->box->lock);
	switch (ev) {
	case CONKER_STDOUT: on_output(s, data->output.bytes, data->output.len); break;
	case CONKER_STDERR: on_complaint(s, data->output.bytes, data->output.len); break;
	case CONKER_WRITABLE: s->writable = 1; break;
	case CONKER_EXIT:
		s->over = 1;
		s->status = data->status;
		break;
	case CONKER_LOST: on_lost(s, &data->failure); break;
	default: break;
	}
	if (s->over)
		(void)!write(s->wake, &one, sizeof(one));
	wait_broadcast(s->box);
	box_unlock(s->box);
	if (ev == CONKER_STDERR)
		(void)conker_exec_ack(x, CONKER_STDERR, data->output.len);
}

static void on_free(void *user)
{
	stream_unref(user);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int stream_start(struct stream *s, const char *const *argv, const char *user, int flags,
			struct err *e)
{
	const char *all[ARGS + 1] = {FILES_PROGRAM};
	conker_exec_opts o = {
		.size = sizeof(o),
		.argv = all,
		.user = user,
		.flags = CONKER_EXEC_MANUAL_ACK | (flags & STREAM_INPUT ? CONKER_EXEC_STDIN : 0),
		.window_bytes = RING_BYTES,
	};
	conker_exec_cb cb = {.fn = on_stream_event, .free = on_free, .user = s};

	for (size_t i = 0; argv[i]; i++) {
		assert(i + 1 < ARGS);
		all[i + 1] = argv[i];
	}
	return exec_start_builtin(s->box, &o, &cb, &s->exec, e);
}

int stream_open(conker_box *b, const char *const *argv, const char *user, int flags,
		struct stream **ret, struct err *e)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ENOMEM, "no memory");
	s->box = b;
	s->refs = 2;
	s->input_open = (flags & STREAM_INPUT) != 0;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = s->wake < 0 ? err_errno(e, "eventfd") : stream_start(s, argv, user, flags, e);
	if (r < 0) {
		s->refs = 1; /* there is no callback */
		stream_unref(s);
		return r;
	}
	*ret = s;
	return 0;
}

static int has_output(const void *arg)
{
	const struct stream *s = arg;

	return s->put > s->got || s->over;
}

static int takes_input(const void *arg)
{
	const struct stream *s = arg;

	return s->writable || s->over;
}

static int is_over(const void *arg)
{
	const struct stream *s = arg;

	return s->over;
}

static int stream_await(struct stream *s, wait_fn *fn, int timeout_ms)
{
	pthread_mutex_lock(&s->box->lock);
	int r = wait_for(s->box, fn, s, timeout_ms);
	box_unlock(s->box);
	return r;
}

ssize_t stream_read(struct stream *s, void *buf, size_t len, int timeout_ms)
{
	int r = stream_await(s, has_output, timeout_ms);

	if (r < 0)
		return r;
	/* Only this thread takes out of the ring, so what is in it stays. */
	pthread_mutex_lock(&s->box->lock);
	size_t at = s->got % RING_BYTES, n = min_(len, (size_t)(s->put - s->got));
	box_unlock(s->box);
	size_t first = min_(n, (size_t)RING_BYTES - at);
	memcpy(buf, s->ring + at, first);
	memcpy((char *)buf + first, s->ring, n - first);

	pthread_mutex_lock(&s->box->lock);
	s->got += n;
	box_unlock(s->box);
	if (n > 0)
		(void)conker_exec_ack(s->exec, CONKER_STDOUT, n); /* of no use once it has ended */
	return (ssize_t)n;
}

static void stream_not_writable(struct stream *s)
{
	pthread_mutex_lock(&s->box->lock);
	s->writable = 0;
	box_unlock(s->box);
}

int stream_write(struct stream *s, const void *buf, size_t len)
{
	for (const char *p = buf; len > 0;) {
		stream_not_writable(s); /* before the attempt: it may become so right behind it */
		ssize_t n = conker_exec_write(s->exec, p, len);
		if (n < 0 && n != -EAGAIN)
			return -EPIPE;
		if (n < 0) {
			int r = stream_await(s, takes_input, -1);
			if (r < 0)
				return r;
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* While another thread leads, the box's descriptor is its business, and stays readable until it
 * gets there. */
int stream_await_fd(struct stream *s, int fd)
{
	int box_fd = conker_box_fd(s->box), busy = 0;

	for (;;) {
		struct pollfd p[] = {{.fd = fd, .events = POLLIN},
				     {.fd = s->wake, .events = POLLIN},
				     {.fd = busy ? -1 : box_fd, .events = POLLIN}};

		if (poll(p, countof(p), busy ? BUSY_MS : -1) < 0)
			return -errno;
		if (p[1].revents)
			return -EPIPE;
		if (p[0].revents)
			return 0;
		busy = p[2].revents && conker_box_dispatch(s->box) == 0; /* errors come as LOST */
	}
}

void stream_said(const struct stream *s, char ret[TEXT_BYTES])
{
	(void)snprintf(ret, TEXT_BYTES, "%.*s", (int)strcspn(s->text, "\n"), s->text);
}

static int stream_outcome(const struct stream *s, struct err *e)
{
	if (s->error) /* nothing is called after this that would forget the kind */
		return api_kind(s->kind, s->step, err_set(e, s->error, "%s", s->text));
	if (s->status.signo)
		return err_set(e, EIO, "the box's program for files was killed by signal %d%s",
			       s->status.signo,
			       s->status.state == CONKER_EXEC_OOM_KILLED ? " (out of memory)" : "");
	int code = s->status.code;
	if (code == 0)
		return 0;
	char line[TEXT_BYTES];
	stream_said(s, line);
	return err_set(e, code, "%s", *line ? line : strerror(code));
}

int stream_finish(struct stream *s, struct err *e)
{
	char drop[4096];
	ssize_t n = 0;
	int r = 0;

	if (s->input_open)
		r = conker_exec_close_stdin(s->exec);
	s->input_open = 0;
	if (r < 0)
		return err_set(e, -r, "end the input: %s", strerror(-r));
	do
		n = stream_read(s, drop, sizeof(drop), -1);
	while (n > 0);
	if (n < 0)
		return err_set(e, (int)-n, "wait: %s", strerror((int)-n));
	return stream_outcome(s, e);
}

/* Given the chance it removes what is not complete; an input that ends early says so. */
static void stream_let_clean_up(struct stream *s)
{
	if (!s->input_open || conker_exec_close_stdin(s->exec) < 0)
		return;
	(void)stream_await(s, is_over, CLEANUP_MS);
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	stream_let_clean_up(s);
	conker_exec_free(s->exec);
	stream_unref(s);
	return NULL;
}
