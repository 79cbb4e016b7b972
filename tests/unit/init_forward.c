/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init's forwards (guest-init/serve/forwards.h); the fixture says how init comes to run here. Its box is in
 * this machine's network, so the test's own listener is a service of the box. */
#include "tests/lib/init_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

TestSuite(init_forward, .init = start_server, .fini = stop_server, .timeout = 240);

enum { MORE = 44, SERVED = FORWARDS_MAX, ALL = SERVED + MORE };

static struct sockaddr_un address(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/f", dir);
	return a;
}

void server_begins(struct server *s)
{
	struct sockaddr_un a = address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, PORT_STREAMS_MAX) < 0)
		_exit(77);
	s->forwards.listen_fd = fd;
}

/* A service, and its port. */
static int serve_tcp(uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, ALL), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int stream_to(uint16_t port)
{
	const uint8_t head[2] = {(uint8_t)port, (uint8_t)(port >> 8)};
	struct sockaddr_un a = address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 1000 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0; i++)
		usleep(10000);
	cr_assert_eq(send(fd, head, sizeof(head), MSG_NOSIGNAL), 2);
	return fd;
}

static void await_answer(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t byte = 1;

	cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
	cr_assert_eq(recv(fd, &byte, 1, 0), 1, "closed without an answer");
	cr_assert_eq(byte, 0);
}

Test(init_forward, who_is_beyond_the_limit_waits_for_his_turn)
{
	uint16_t port;
	int service = serve_tcp(&port), fd[ALL];

	for (int i = 0; i < ALL; i++)
		fd[i] = stream_to(port);
	for (int i = 0; i < SERVED; i++)
		await_answer(fd[i]);
	usleep(200000);
	for (int i = SERVED; i < ALL; i++) {
		struct pollfd p = {.fd = fd[i], .events = POLLIN | POLLRDHUP};

		cr_assert_eq(poll(&p, 1, 0), 0, "stream %d", i);
	}
	for (int i = 0; i < MORE; i++) {
		(void)close(fd[i]);
		(void)close(accept(service, NULL, NULL));
	}
	for (int i = SERVED; i < ALL; i++)
		await_answer(fd[i]);
	for (int i = MORE; i < ALL; i++)
		(void)close(fd[i]);
	(void)close(service);
	struct sockaddr_un a = address();
	(void)unlink(a.sun_path);
}

/* What a service's backlog has no room for waits in order, and is not left to the kernel's ever longer pauses. */
Test(init_forward, a_service_that_is_slow_to_accept_gets_all_in_their_order)
{
	enum { BURST = 40 };
	uint16_t port;
	int service = serve_tcp(&port), fd[BURST];

	cr_assert_eq(listen(service, 1), 0);
	for (int i = 0; i < BURST; i++)
		fd[i] = stream_to(port);
	for (int i = 0; i < BURST; i++) {
		await_answer(fd[i]);
		if (i % 2)
			continue;
		for (int k = 0; k < 2; k++) /* room for two more */
			(void)close(accept(service, NULL, NULL));
	}
	for (int i = 0; i < BURST; i++)
		(void)close(fd[i]);
	(void)close(service);
	struct sockaddr_un a = address();
	(void)unlink(a.sun_path);
}
