/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c ADDRESS N BYTES - N connections at once to a Unix socket (a path) or 127.0.0.1:PORT behind which
 * everything is echoed: writes BYTES to each, ends its side, and expects the same bytes and an end. Says how
 * many were right. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX = 256, TIMEOUT_MS = 120000 };

struct peer {
	int fd;
	size_t sent, got;
	int wrong, over;
};

static uint8_t pattern(size_t peer, size_t at)
{
	return (uint8_t)((at >> 8) + at * 7 + peer);
}

static int dial_tcp(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? fd : -1;
}

static int dial(const char *address)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (!strchr(address, '/'))
		return dial_tcp(strrchr(address, ':') + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", address);
	return fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? fd : -1;
}

static void feed(struct peer *p, size_t i, size_t bytes)
{
	uint8_t buf[4096];
	size_t n = bytes - p->sent < sizeof(buf) ? bytes - p->sent : sizeof(buf);

	for (size_t k = 0; k < n; k++)
		buf[k] = pattern(i, p->sent + k);
	ssize_t r = send(p->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (r > 0)
		p->sent += (size_t)r;
	if (p->sent == bytes)
		(void)shutdown(p->fd, SHUT_WR);
}

static void take(struct peer *p, size_t i)
{
	uint8_t buf[4096];
	ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);

	for (ssize_t k = 0; k < n; k++)
		p->wrong |= buf[k] != pattern(i, p->got + (size_t)k);
	if (n > 0)
		p->got += (size_t)n;
	else
		p->over = 1;
}

static int turn(struct peer *v, size_t n, size_t bytes)
{
	struct pollfd p[MAX];
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		short want = (short)(POLLIN | (v[i].sent < bytes ? POLLOUT : 0));

		p[i] = (struct pollfd){.fd = v[i].over ? -1 : v[i].fd, .events = want};
		left += !v[i].over;
	}
	if (left == 0 || poll(p, n, TIMEOUT_MS) <= 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i].revents & POLLOUT && v[i].sent < bytes)
			feed(&v[i], i, bytes);
		if (p[i].revents & (POLLIN | POLLHUP | POLLERR))
			take(&v[i], i);
	}
	return 1;
}

int main(int argc, char **argv)
{
	static struct peer v[MAX];
	size_t n, bytes, right = 0;

	if (argc != 4)
		return 2;
	n = strtoul(argv[2], NULL, 10);
	bytes = strtoul(argv[3], NULL, 10);
	for (size_t i = 0; i < n && i < MAX; i++) {
		v[i].fd = dial(argv[1]);
		v[i].over = v[i].fd < 0;
	}
	while (turn(v, n, bytes))
		;
	for (size_t i = 0; i < n; i++)
		right += !v[i].wrong && v[i].got == bytes && v[i].sent == bytes;
	printf("%zu of %zu connections, %zu bytes each way\n", right, n, bytes);
	return 0;
}
