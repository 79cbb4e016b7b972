/* SPDX-License-Identifier: Apache-2.0 */
/* lib_forward.c - forwards whose host or box is short of something; against the fake VMM, which takes no stream
 * from its forward.sock: as many as its backlog holds wait there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/watched.h"

TestSuite(lib_forward, .init = up, .fini = down);

enum { RESTS_MS = 100 };

static conker_forward *forward;

static void listen_somewhere(void)
{
	cr_assert_eq(conker_forward_open(box, "127.0.0.1:0", 80, &forward), 0, "%s",
		     conker_errmsg());
}

static int dial(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons(
		(uint16_t)strtoul(strchr(conker_forward_address(forward), ':') + 1, NULL, 10));
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* How often the box had something to do within ms. */
static unsigned turns(int ms)
{
	unsigned n = 0;

	for (int left = ms; left > 0; left -= 10) {
		struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};

		while (poll(&p, 1, 0) > 0 && n < 10000) {
			n++;
			cr_assert_geq(conker_box_dispatch(box), 0);
		}
		usleep(10000);
	}
	return n;
}

static void await_connections(uint32_t n)
{
	for (int i = 0; i < 200 && conker_forward_connections(forward) != n; i++)
		(void)turns(50);
	cr_assert_eq(conker_forward_connections(forward), n);
}

static int is_open(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

Test(lib_forward, without_a_descriptor_a_connection_waits_and_nothing_spins)
{
	struct rlimit was, now;

	listen_somewhere();
	int fd = dial(), lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	(void)close(lowest);
	now = (struct rlimit){(rlim_t)lowest, was.rlim_max};
	for (int more = 0; more < 2;
	     more++) { /* none for accept(), one for accept() and none for the box */
		now.rlim_cur = (rlim_t)lowest + (rlim_t)more;
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
		cr_assert_leq(turns(5 * RESTS_MS), 20);
		cr_assert(is_open(fd));
		cr_assert_eq(conker_forward_connections(forward), 0);
	}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	await_connections(1);
	cr_assert(is_open(fd));
	(void)close(fd);
	forward = conker_forward_free(forward);
}

Test(lib_forward, a_burst_waits_for_a_box_that_takes_no_more)
{
	enum { BURST = 250, BACKLOG = 128 };
	int fd[BURST];

	listen_somewhere();
	for (int i = 0; i < BURST; i++) {
		fd[i] = dial();
		(void)turns(1);
	}
	await_connections(BACKLOG + 1);
	cr_assert_leq(turns(5 * RESTS_MS), 20);
	for (int i = 0; i < BURST; i++) {
		cr_assert(is_open(fd[i]), "connection %d", i);
		(void)close(fd[i]);
	}
	forward = conker_forward_free(forward);
}
