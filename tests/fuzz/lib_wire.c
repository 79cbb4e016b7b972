/* SPDX-License-Identifier: Apache-2.0 */
/* lib_wire.c - whatever a guest may send to the library: the bytes after its Hello.
 *
 * An input that begins with 'F' is a sequence of one length byte and a message each, which get proper
 * frames; any other is sent as it is.
 *
 * A handle with three executions (running, with stdin, acknowledging by hand) and a view that takes lines
 * gets the input over a socket. It must neither crash, hang, leak nor exceed its bounds, and each
 * execution must end with exactly one EXIT, DETACHED or LOST.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/alone.h"

enum { EXECS = 4, VIEW = 3 /* the last one */, INPUT_MAX_BYTES = 32 << 10 };

struct seen {
	int ends, frees;
};

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct seen *s = user;

	assert(s->ends == 0 && s->frees == 0);
	if (ev == CONKER_STDOUT || ev == CONKER_STDERR) {
		assert(data->output.bytes && data->output.len > 0);
		(void)conker_exec_ack(e, ev, data->output.len / 2);
		(void)conker_exec_write(e, data->output.bytes, data->output.len);
	}
	s->ends += ev == CONKER_EXIT || ev == CONKER_LOST || ev == CONKER_DETACHED;
}

static void on_free(void *user)
{
	((struct seen *)user)->frees++;
}

static conker_box *make_box(int *ret_peer)
{
	static const uint8_t hello[] = {4, 0, 0, 0, 0x12, 2, 8, PROTO_VERSION};
	int pair[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	conker_box *b = alone_open(pair[0]);
	if (!b || write(pair[1], hello, sizeof(hello)) != (ssize_t)sizeof(hello))
		abort();
	*ret_peer = pair[1];
	return b;
}

static void drain(int fd)
{
	static char sink[64 << 10];

	while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void send_bytes(int peer, const uint8_t *data, size_t len)
{
	if (len > 0 && write(peer, data, len) != (ssize_t)len)
		abort();
}

static void send_frames(int peer, const uint8_t *data, size_t len)
{
	uint8_t head[FRAME_HEADER_BYTES];

	for (size_t at = 0, n; at < len; at += n) {
		n = data[at++];
		n = min_(n, len - at);
		if (n == 0)
			continue;
		frame_header(head, n);
		send_bytes(peer, head, sizeof(head));
		send_bytes(peer, data + at, n);
	}
}

static void attach(conker_box *b, struct seen *s, conker_exec **ret)
{
	conker_view_opts o = {.size = sizeof(o), .flags = CONKER_VIEW_STDIN | CONKER_VIEW_LINES};

	const conker_exec_ref ref = {.id = 7};
	if (conker_exec_attach(b, &ref, &o, (conker_exec_cb){on_event, s, on_free}, ret) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const argv[] = {"x", NULL};
	static const uint32_t flags[VIEW] = {0, CONKER_EXEC_STDIN, CONKER_EXEC_MANUAL_ACK};
	struct seen seen[EXECS] = {0};
	conker_exec *e[EXECS];
	int peer;
	conker_box *b = make_box(&peer);

	if (len > INPUT_MAX_BYTES)
		len = INPUT_MAX_BYTES;
	for (int i = 0; i < VIEW; i++) {
		conker_exec_opts o = {.size = sizeof(o), .argv = argv, .flags = flags[i]};
		conker_exec_cb cb = {on_event, &seen[i], on_free};
		if (conker_exec_start(b, &o, cb, &e[i]) < 0)
			abort();
	}
	attach(b, &seen[VIEW], &e[VIEW]);
	(void)conker_exec_write_all(e[1], "text", 4);
	if (len > 0 && data[0] == 'F')
		send_frames(peer, data + 1, len - 1);
	else
		send_bytes(peer, data, len);
	(void)shutdown(peer, SHUT_WR);
	while (conker_box_dispatch(b) >= 0)
		drain(peer);
	for (int i = 0; i < EXECS; i++) {
		assert(seen[i].ends == 1 && seen[i].frees == 1);
		conker_exec_free(e[i]);
	}
	conker_box_free(b);
	close(peer);
	return 0;
}
