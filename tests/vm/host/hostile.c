/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.c - the host's clients, moved by the guest: hostile DIR COMMAND...
 *
 * Makes listening sockets DIR/control and DIR/victim as descriptors 10 and 11 and becomes COMMAND, a VMM
 * that serves them. A child remains: it connects to `control` and obeys the orders that come from there
 * (tests/hostile/orders.h): opens, writes, reads and closes connections to `victim`. So the guest, which
 * attacks those connections, also judges what arrived at their other end. When the control connection
 * ends, all others are closed, and a new one is made: the guest may have reset the device.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/hostile/orders.h"

enum { CONTROL_FD = 10, VICTIM_FD = 11, BACKLOG = 4096, PATIENCE_MS = 20000 };

struct client {
	int fd;                     /* -1: none */
	uint32_t written, received; /* bytes, which the pattern depends on */
};

static struct client client[ORDER_SLOTS];
static const char *dir;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir, name);
	return a;
}

static void make_listener(const char *name, int number)
{
	struct sockaddr_un a = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)unlink(a.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
		die(a.sun_path);
	if (dup2(fd, number) != number)
		die("dup2");
	if (fd != number)
		close(fd);
}

/* -1 with errno. */
static int dial(const char *name)
{
	struct sockaddr_un a = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void drop(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct client){.fd = -1};
}

static uint32_t on_open(struct client *c, uint32_t arg, uint32_t *ret_value)
{
	(void)arg;
	drop(c);
	c->fd = dial("victim");
	*ret_value = c->fd < 0 ? (uint32_t)errno : 0;
	return c->fd < 0 ? ORDER_FAILED : ORDER_DONE;
}

static uint32_t on_write(struct client *c, uint32_t n, uint32_t *ret_value)
{
	uint8_t buf[4096];
	ssize_t r = 1;

	while (*ret_value < n && r > 0) {
		uint32_t part = n - *ret_value < sizeof(buf) ? n - *ret_value : sizeof(buf);

		for (uint32_t i = 0; i < part; i++)
			buf[i] = order_byte(c->written + i);
		r = send(c->fd, buf, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r > 0) {
			c->written += (uint32_t)r;
			*ret_value += (uint32_t)r;
		}
	}
	return ORDER_DONE;
}

static uint32_t on_read(struct client *c, uint32_t n, uint32_t *ret_value)
{
	uint8_t buf[4096];

	while (*ret_value < n) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		uint32_t part = n - *ret_value < sizeof(buf) ? n - *ret_value : sizeof(buf);

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return ORDER_LATE;
		ssize_t r = read(c->fd, buf, part);
		if (r <= 0)
			return ORDER_ENDED;
		for (ssize_t i = 0; i < r; i++)
			if (buf[i] != order_byte(c->received++))
				return ORDER_WRONG;
		*ret_value += (uint32_t)r;
	}
	return ORDER_DONE;
}

static uint32_t on_shut(struct client *c, uint32_t how, uint32_t *ret_value)
{
	(void)ret_value;
	return shutdown(c->fd, (int)how) < 0 ? ORDER_FAILED : ORDER_DONE;
}

static uint32_t on_close(struct client *c, uint32_t arg, uint32_t *ret_value)
{
	(void)arg;
	(void)ret_value;
	drop(c);
	return ORDER_DONE;
}

static uint32_t on_crowd(struct client *c, uint32_t n, uint32_t *ret_value)
{
	(void)c;
	while (*ret_value < n &&
	       on_open(&client[ORDER_CROWD_FIRST + *ret_value], 0, &(uint32_t){0}) == ORDER_DONE)
		++*ret_value;
	return ORDER_DONE;
}

/* Of the crowd: who has seen its end, within a while. */
static uint32_t on_count_ended(struct client *c, uint32_t n, uint32_t *ret_value)
{
	(void)c;
	for (uint32_t i = 0; i < n; i++)
		*ret_value +=
			on_read(&client[ORDER_CROWD_FIRST + i], 1, &(uint32_t){0}) == ORDER_ENDED;
	return ORDER_DONE;
}

static uint32_t (*const handler[])(struct client *c, uint32_t arg, uint32_t *ret_value) = {
	[ORDER_OPEN] = on_open,
	[ORDER_WRITE] = on_write,
	[ORDER_READ] = on_read,
	[ORDER_SHUT] = on_shut,
	[ORDER_CLOSE] = on_close,
	[ORDER_CROWD] = on_crowd,
	[ORDER_COUNT_ENDED] = on_count_ended,
};

static void obey(int control)
{
	struct order o;

	while (recv(control, &o, sizeof(o), MSG_WAITALL) == sizeof(o)) {
		struct order_reply r = {.status = ORDER_FAILED};

		if (o.op < sizeof(handler) / sizeof(handler[0]) && o.slot < ORDER_SLOTS)
			r.status = handler[o.op](&client[o.slot], o.arg, &r.value);
		if (send(control, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r))
			break;
	}
}

static void serve(void)
{
	int control;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((control = dial("control")) >= 0) {
		for (uint32_t i = 0; i < ORDER_SLOTS; i++)
			client[i].fd = -1;
		obey(control);
		for (uint32_t i = 0; i < ORDER_SLOTS; i++)
			drop(&client[i]);
		close(control);
	}
	_exit(0); /* nobody listens any more */
}

/* A crowd needs more than the usual 1024. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char *argv[])
{
	if (argc < 3) {
		fprintf(stderr, "usage: hostile DIR COMMAND...\n");
		return 2;
	}
	dir = argv[1];
	raise_limit();
	make_listener("control", CONTROL_FD);
	make_listener("victim", VICTIM_FD);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(CONTROL_FD);
		close(VICTIM_FD);
		serve();
	}
	execvp(argv[2], argv + 2);
	die(argv[2]);
}
