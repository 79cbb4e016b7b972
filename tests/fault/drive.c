/* SPDX-License-Identifier: Apache-2.0 */
/* drive.c - see drive.h. */
#include "tests/fault/drive.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/util.h"

enum { ROUNDS_MAX = 5000, REAP_MS = 20000, WRONG_MAX = 8 };

static const char *const kinds[FAULT_KINDS] = {
	[FAULT_NONE] = "none",       [FAULT_ALLOC] = "alloc",
	[FAULT_OPEN] = "open",       [FAULT_MMAP] = "mmap",
	[FAULT_EPOLL] = "epoll",     [FAULT_EPOLL_CTL] = "epoll_ctl",
	[FAULT_EVENTFD] = "eventfd", [FAULT_SOCKET] = "socket",
	[FAULT_CLONE] = "clone",     [FAULT_IOCTL] = "ioctl",
	[FAULT_READ] = "read",       [FAULT_WRITE] = "write",
	[FAULT_FILE] = "file",       [FAULT_PROCESS] = "process",
	[FAULT_JAIL] = "jail",       [FAULT_INTERRUPT] = "interrupt",
};

const char *kind_name(enum fault_kind kind)
{
	return kinds[kind];
}

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "not ok drive (%s: %s)\n", what, strerror(errno));
	exit(1);
}

void wrong(char *ret, const char *fmt, ...)
{
	size_t n = strlen(ret);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(ret + n, DRIVE_TEXT - n, fmt, ap);
	va_end(ap);
}

int tells(const char *message, const struct fault_page *page)
{
	int error = page->error;

	if (error == ENOMEM && strcasestr(message, "memory"))
		return 1;
	if (error == ENOMEM && strstr(message, strerror(EAGAIN)))
		return 1; /* what pthread_create() makes of it */
	if ((error == ECONNRESET || error == EPIPE) &&
	    (strstr(message, "closed the connection") || strstr(message, "was killed")))
		return 1;
	return strstr(message, page->text) != NULL;
}

/* ---- set-up --------------------------------------------------------------------------------------- */

static enum fault_kind kind_named(const char *name)
{
	for (int k = FAULT_NONE + 1; k < FAULT_KINDS; k++)
		if (strcmp(kinds[k], name) == 0)
			return (enum fault_kind)k;
	return FAULT_NONE;
}

static void make_page(struct drive *d)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/page", d->dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*d->page)) < 0)
		die(path);
	d->page = mmap(NULL, sizeof(*d->page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (d->page == MAP_FAILED)
		die("mmap");
	close(fd);
}

int drive_init(struct drive *d, int argc, char **argv)
{
	int c;

	memset(d, 0, sizeof(*d));
	d->every = 1;
	d->first = 1;
	while ((c = getopt(argc, argv, "ve:f:k:")) != -1) {
		if (c == 'v')
			d->verbose = 1;
		else if (c == 'e')
			d->every = (int)strtoll(optarg, NULL, 10);
		else if (c == 'f')
			d->first = (int)strtoll(optarg, NULL, 10);
		else if (c == 'k')
			d->only = kind_named(optarg);
		else
			return -1;
	}
	if (optind >= argc || d->every < 1 || d->first < 1)
		return -1;
	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/conker-fault-XXXXXX");
	if (!mkdtemp(d->dir))
		die("mkdtemp");
	make_page(d);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return optind;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int drive_fini(struct drive *d)
{
	(void)drive_kill_all();
	(void)nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return d->failed ? 1 : 0;
}

/* ---- processes ------------------------------------------------------------------------------------ */

static long now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void doze(void)
{
	(void)usleep(2000);
}

/* The processes whose parent we are now, without zombies gone before. */
static int children(pid_t *ret, int room)
{
	char path[64], buf[4096];
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (fd < 0 || len < 0)
		die(path);
	close(fd);
	buf[len] = 0;
	for (char *at = buf, *end; n < room; at = end) {
		long pid = strtoll(at, &end, 10);
		if (end == at)
			break;
		ret[n++] = (pid_t)pid;
	}
	return n;
}

int drive_children(int expected)
{
	pid_t pids[64];
	long end = now_ms() + REAP_MS;
	int n;

	do {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		n = children(pids, countof(pids));
		if (n <= expected)
			break;
		doze();
	} while (now_ms() < end);
	return n;
}

static int kill_children(void)
{
	pid_t pids[64];
	int n = children(pids, countof(pids));

	for (int i = 0; i < n; i++)
		(void)kill(pids[i], SIGKILL);
	return n;
}

int drive_kill_all(void)
{
	int n = 0;

	/* What dies hands its own children to us. */
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		n += kill_children();
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		doze();
	}
	return n;
}

static void place_fds(const struct program *p, const int *fds)
{
	int aside[DRIVE_FDS];

	(void)p;
	for (int i = 0; i < p->nfds; i++)
		aside[i] = fcntl(fds[i], F_DUPFD, 100);
	for (int i = 0; i < p->nfds; i++)
		(void)dup2(aside[i], i);
	(void)syscall(SYS_close_range, (unsigned)p->nfds, ~0U, 0);
}

static _Noreturn void child(const struct drive *d, const struct program *p, const int *fds)
{
	char page[128];
	const char *env[32] = {page};
	int n = 1;

	(void)snprintf(page, sizeof(page), FAULT_PAGE_ENV "=%s/page", d->dir);
	for (int i = 0; p->env && p->env[i] && n < 31; i++)
		env[n++] = p->env[i];
	place_fds(p, fds);
	(void)signal(SIGPIPE, SIG_DFL);
	execve(p->argv[0], (char **)p->argv, (char **)env);
	_exit(99);
}

static void slurp(int fd, char *ret)
{
	ssize_t n = pread(fd, ret, DRIVE_TEXT - 1, 0);

	ret[n > 0 ? n : 0] = 0;
	close(fd);
}

/* -1: it hangs. */
static int await(pid_t pid)
{
	int status, fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int n = poll(&pfd, 1, DRIVE_HANG_MS);

	close(fd);
	if (n == 0)
		(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (n == 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void arm(struct fault_page *page, enum fault_kind kind, long at, int lasts)
{
	memset(page, 0, sizeof(*page));
	page->at = at;
	page->lasts = lasts;
	page->kind = (int)kind;
}

void drive_run(struct drive *d, const struct program *p, enum fault_kind kind, long at, int flags,
	       struct ended *ret)
{
	int fds[DRIVE_FDS];

	memcpy(fds, p->fds, sizeof(fds));
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	fds[1] = fds[1] < 0 ? out : fds[1];
	fds[2] = fds[2] < 0 ? err : fds[2];
	arm(d->page, kind, at, d->lasts && kind != FAULT_NONE);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		child(d, p, fds);
	ret->status = await(pid);
	ret->left = 0;
	if (!(flags & DRIVE_LEAVE) && (ret->status == -1 || drive_children(0) > 0))
		ret->left = drive_kill_all();
	if (!d->page->loaded)
		die("it is not a program with inject.o");
	d->page->kind = FAULT_NONE;
	slurp(out, ret->out);
	slurp(err, ret->err);
}

/* ---- rounds --------------------------------------------------------------------------------------- */

static const char *lasting(const struct drive *d)
{
	return d->lasts ? "_from_then_on" : "";
}

/* What a host is short of, it is short of for longer than one call. */
static int is_shortage(enum fault_kind kind)
{
	return kind == FAULT_ALLOC || kind == FAULT_OPEN || kind == FAULT_EVENTFD ||
	       kind == FAULT_SOCKET || kind == FAULT_CLONE;
}

static void one_kind(struct drive *d, const char *name, drive_round *round, void *user,
		     enum fault_kind kind)
{
	char why[DRIVE_TEXT];
	long at, hits = 0;
	int bad = 0;

	for (at = d->first; at < ROUNDS_MAX && bad < WRONG_MAX; at += d->every) {
		why[0] = 0;
		round(d, user, kind, at, why);
		int hit = d->page->hit;
		hits += hit;
		if (why[0]) {
			printf("not ok fault.%s.%s%s (call %ld, %s: %s)\n", name, kind_name(kind),
			       lasting(d), at, hit ? d->page->call : "none",
			       strerror(d->page->error));
			printf("    %s\n", why);
			bad++;
		}
		if (!hit)
			break;
	}
	d->failed += bad;
	if (!bad && at < ROUNDS_MAX && hits)
		printf("ok fault.%s.%s%s (%ld places)\n", name, kind_name(kind), lasting(d), hits);
}

void drive_kinds(struct drive *d, const char *name, unsigned mask, drive_round *round, void *user)
{
	char why[DRIVE_TEXT] = "";

	round(d, user, FAULT_NONE, 0, why);
	if (why[0]) {
		printf("not ok fault.%s.undisturbed\n    %s\n", name, why);
		d->failed++;
		return;
	}
	for (d->lasts = 0; d->lasts < 2; d->lasts++)
		for (int k = FAULT_NONE + 1; k < FAULT_KINDS; k++)
			if ((!mask || mask & 1U << k) &&
			    (!d->only || d->only == (enum fault_kind)k) &&
			    (!d->lasts || is_shortage((enum fault_kind)k)))
				one_kind(d, name, round, user, (enum fault_kind)k);
	d->lasts = 0;
}
