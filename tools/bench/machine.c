/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - see machine.h. */
#include "tools/bench/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

#ifndef CONKER_LIBDIR
#define CONKER_LIBDIR "/usr/local/lib/conker"
#endif

/* Descriptors of conker-vmm; its options below name them by number. */
enum {
	FD_STDERR = 2,
	FD_KERNEL,
	FD_INITRD,
	FD_CONSOLE,
	FD_STATE,
	FD_LOCK,
	FD_OWNER,
	FD_BARE, /* so many without the rest */
	FD_DISK = FD_BARE,
	FD_LISTEN,
	FD_FORWARD,
	FD_COUNT,
	FD_ASIDE = 64,
};

uint64_t machine_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- where things are ---------------------------------------------------------------------------------- */

static void find_part(const char *env, const char *below, const char *file, char *ret)
{
	const char *set = getenv(env);
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[len > 0 ? len : 0] = 0;
	char *slash = strrchr(exe, '/');
	if (slash)
		*slash = 0;
	if (set && *set)
		(void)snprintf(ret, PATH_MAX, "%.3000s%s%s", set, file ? "/" : "",
			       file ? file : "");
	else
		(void)snprintf(ret, PATH_MAX, "%.3000s/%s%s%s", exe, below, file ? "/" : "",
			       file ? file : "");
	if (!(set && *set) && access(ret, F_OK) < 0)
		(void)snprintf(ret, PATH_MAX, CONKER_LIBDIR "/%s%s%s", below, file ? "/" : "",
			       file ? file : "");
}

void machine_find_parts(struct parts *p)
{
	find_part("CONKER_VMM", "conker-vmm", NULL, p->vmm);
	find_part("CONKER_GUEST", "guest", "vmlinux", p->kernel);
	find_part("CONKER_GUEST", "guest", "initrd.cpio", p->initrd);
	find_part("CONKER_GUEST", "guest", "base.erofs", p->base);
}

/* ---- spawning ------------------------------------------------------------------------------------------ */

static int place_files(posix_spawn_file_actions_t *fa, const int *fds, int n)
{
	int e = 0;

	for (int i = 0; i < n && !e; i++)
		e = posix_spawn_file_actions_adddup2(fa, fds[i], FD_ASIDE + i);
	for (int i = 0; i < n && !e; i++) {
		e = posix_spawn_file_actions_adddup2(fa, FD_ASIDE + i, i);
		if (!e)
			e = posix_spawn_file_actions_addclose(fa, FD_ASIDE + i);
	}
	return e;
}

/* Descriptor i of the child is fds[i]; a session of its own keeps our terminal's signals from it. */
static int spawn(struct machine *m, char *const *argv, char *const *env, const int *fds, int n)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	int e = place_files(&fa, fds, n);
	m->start_ns = machine_now_ns();
	if (!e)
		e = posix_spawnp(&m->pid, argv[0], &fa, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return e ? -e : 0;
}

static int listening(void)
{
	/* Autobind: an abstract name of its own. */
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
	    (bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 || listen(fd, 8) < 0))
		close(take_fd(fd));
	return fd;
}

/* Our ends into m, the VMM's into fds. */
static int open_ends(struct machine *m, int *fds)
{
	int pair[2], out[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	m->owner = pair[0];
	fds[FD_OWNER] = pair[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	m->console = out[0];
	fds[FD_CONSOLE] = out[1];
	m->err = memfd_create("stderr", MFD_CLOEXEC);
	m->lock = memfd_create("lock", MFD_CLOEXEC);
	fds[FD_STDERR] = fcntl(m->err, F_DUPFD_CLOEXEC, 0);
	fds[FD_LOCK] = fcntl(m->lock, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int open_files(const struct parts *p, const char *initrd, struct machine *m, int *fds)
{
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fds[FD_KERNEL] = open(p->kernel, O_RDONLY | O_CLOEXEC);
	fds[FD_INITRD] = open(initrd ? initrd : p->initrd, O_RDONLY | O_CLOEXEC);
	fds[FD_STATE] = memfd_create("state", MFD_CLOEXEC);
	if (!initrd) {
		fds[FD_DISK] = open(p->base, O_RDONLY | O_CLOEXEC);
		fds[FD_LISTEN] = listening();
		fds[FD_FORWARD] = listening();
	}
	return open_ends(m, fds);
}

static int start_vmm(const struct parts *p, const char *initrd, unsigned flags, struct machine *m)
{
	char memory[16], cpus[16];
	char *argv[40] = {
		(char *)p->vmm, (char *)"--memory-mib", memory,           (char *)"--cpus",
		cpus,           (char *)"--cmdline",    (char *)p->words, (char *)"--kernel-fd",
		(char *)"3",    (char *)"--initrd-fd",  (char *)"4",      (char *)"--console-fd",
		(char *)"5",    (char *)"--state-fd",   (char *)"6",      (char *)"--lock-fd",
		(char *)"7",    (char *)"--owner-fd",   (char *)"8"};
	char *box[] = {(char *)"--disk", (char *)"9:ro",           (char *)"--vsock-listen",
		       (char *)"10:1",   (char *)"--vsock-listen", (char *)"11:2"};
	char *no_env[] = {NULL};
	int fds[FD_COUNT], n = initrd ? FD_BARE : FD_COUNT, at = 19, r;

	_Static_assert(FD_OWNER == 8 && FD_DISK == 9 && FD_FORWARD == 11, "the numbers above");
	(void)snprintf(memory, sizeof(memory), "%u", p->memory_mib);
	(void)snprintf(cpus, sizeof(cpus), "%u", p->cpus);
	for (size_t i = 0; i < countof(box) && !initrd; i++)
		argv[at++] = box[i];
	if (flags & MACHINE_VERBOSE)
		argv[at++] = (char *)"--verbose";
	memset(fds, -1, sizeof(fds));
	r = open_files(p, initrd, m, fds);
	for (int i = 0; i < n && r == 0; i++)
		if (fds[i] < 0)
			r = -ENOENT;
	if (r == 0)
		r = spawn(m, argv, no_env, fds, n);
	for (int i = 0; i < FD_COUNT; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return r;
}

static void clear(struct machine *m)
{
	*m = (struct machine){.pid = -1, .console = -1, .owner = -1, .lock = -1, .err = -1};
}

int machine_start_box(const struct parts *p, unsigned flags, struct machine *ret)
{
	clear(ret);
	int r = start_vmm(p, NULL, flags, ret);
	if (r < 0)
		machine_end(ret);
	return r;
}

int machine_start_bare(const struct parts *p, const char *initrd, struct machine *ret)
{
	clear(ret);
	int r = start_vmm(p, initrd, 0, ret);
	if (r < 0)
		machine_end(ret);
	return r;
}

int machine_start_other(char *const *argv, struct machine *ret)
{
	int out[2];

	clear(ret);
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	int fds[] = {null, out[1], null};
	ret->console = out[0];
	int r = spawn(ret, argv, environ, fds, countof(fds));
	close(out[1]);
	if (r < 0)
		machine_end(ret);
	return r;
}

/* ---- what it says -------------------------------------------------------------------------------------- */

int machine_await_event(struct machine *m, const char *word, char *line, size_t size)
{
	size_t n = 0;
	char c;

	line[0] = 0;
	while (read(m->owner, &c, 1) == 1) {
		if (c != '\n') {
			if (n + 1 < size)
				line[n++] = c;
			continue;
		}
		line[n] = 0;
		n = 0;
		if (strncmp(line, word, strlen(word)) == 0)
			return 0;
		if (strncmp(line, "failed", 6) == 0 || strncmp(line, "exited", 6) == 0)
			break;
	}
	return -1;
}

/* The next byte of the console; -1: no more, or not in time. */
static int next_byte(struct machine *m, uint64_t deadline_ns)
{
	unsigned char c;
	uint64_t now = machine_now_ns();
	struct pollfd p = {.fd = m->console, .events = POLLIN};
	int left_ms = now < deadline_ns ? (int)((deadline_ns - now) / 1000000) : 0;

	if (poll(&p, 1, left_ms) <= 0 || read(m->console, &c, 1) != 1)
		return -1;
	return c;
}

int machine_await_text(struct machine *m, const char *text, int timeout_ms)
{
	uint64_t deadline = machine_now_ns() + (uint64_t)timeout_ms * 1000000;
	size_t matched = 0;

	while (text[matched]) {
		int c = next_byte(m, deadline);

		if (c < 0)
			return -1;
		matched = c == text[matched] ? matched + 1 : c == text[0];
	}
	return 0;
}

int machine_await_end(struct machine *m, int timeout_ms)
{
	uint64_t deadline = machine_now_ns() + (uint64_t)timeout_ms * 1000000;

	while (next_byte(m, deadline) >= 0)
		;
	return machine_now_ns() < deadline ? 0 : -1;
}

/* A VMM's owner going ends it; its end of the socket is the last thing that it closes. */
static void dismiss(struct machine *m)
{
	char rest[256];

	(void)shutdown(m->owner, SHUT_WR);
	while (read(m->owner, rest, sizeof(rest)) > 0)
		;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(take_fd(*fd));
}

void machine_end(struct machine *m)
{
	if (m->owner >= 0 && m->pid > 0)
		dismiss(m);
	else if (m->pid > 0)
		(void)kill(-m->pid, SIGKILL);
	if (m->pid > 0)
		(void)waitpid(m->pid, NULL, 0);
	close_fd(&m->owner);
	close_fd(&m->console);
	close_fd(&m->lock);
	close_fd(&m->err);
	m->pid = -1;
}
