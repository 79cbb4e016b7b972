/* SPDX-License-Identifier: Apache-2.0 */
/* door.c - see door.h. */
#include "image/door.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/signame.h"

enum { PATH_BYTES = 128, FILE_MODE = 0644 };

/* ---- the reader's side ------------------------------------------------------------------------------- */

union fd_message {
	struct cmsghdr head;
	char buf[CMSG_SPACE(sizeof(int))];
};

/* The answer; with a descriptor if there is one. */
static int answer_receive(int door)
{
	int32_t code;
	union fd_message control;
	struct iovec iov = {&code, sizeof(code)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(door, &m, MSG_CMSG_CLOEXEC) != sizeof(code))
		return -EPIPE;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (code < 0 || !c)
		return code;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int door_ask(int door, const struct door_request *q)
{
	if (send(door, q, sizeof(*q), MSG_NOSIGNAL) != sizeof(*q))
		return -EPIPE;
	return answer_receive(door);
}

/* ---- names --------------------------------------------------------------------------------------------- */

static const char *const slots[SLOTS] = {".new-data", ".new-index", ".new-file"};
static const char *const names[NAMES] = {"data", "index", "meta.erofs", "config", "manifest"};

/* The reader may be anybody's by now. */
static int request_is_sound(const struct door_request *q)
{
	int by_hex = q->verb == DOOR_BLOB || q->verb == DOOR_LAYER ||
		     (q->verb == DOOR_KEEP && q->name <= NAME_INDEX);

	return q->verb < DOOR_VERBS && q->slot < SLOTS && q->name < NAMES &&
	       memchr(q->hex, 0, sizeof(q->hex)) && (by_hex ? sha256_is_at(q->hex) : !*q->hex);
}

/* A file below a directory that strangers may have filled: through no link, and no pipe that would make us wait. */
static int open_below(int dir, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct stat st;
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	(void)close(fd);
	return -EINVAL;
}

static int open_blob(const struct keeper *k, const char *hex)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%ssha256/%s", k->blobs >= 0 ? "" : "blobs/", hex);
	return open_below(k->blobs >= 0 ? k->blobs : k->layout, path);
}

/* An index without its data is of no use. */
static int open_layer_in(int dir, const char *hex)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s.data", hex);
	if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s.index", hex);
	return open_below(dir, path);
}

static int open_layer(const struct keeper *k, const char *hex)
{
	int fd = open_layer_in(k->work, hex);

	return fd == -ENOENT && k->layers >= 0 ? open_layer_in(k->layers, hex) : fd;
}

static int open_new(const struct keeper *k, const char *name)
{
	(void)unlinkat(k->work, name, 0);
	int fd = openat(k->work, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			FILE_MODE);

	return fd < 0 ? -errno : fd;
}

static int open_temp(const struct keeper *k, const char *name)
{
	int fd = open_new(k, name);

	if (fd >= 0)
		(void)unlinkat(k->work, name, 0);
	return fd;
}

static int door_keep(const struct keeper *k, const struct door_request *q)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s%s%s", q->hex, *q->hex ? "." : "", names[q->name]);
	return renameat(k->work, slots[q->slot], k->work, path) < 0 ? -errno : 0;
}

/* ---- the keeper's side ------------------------------------------------------------------------------- */

static int door_answer(const struct keeper *k, const struct door_request *q)
{
	if (!request_is_sound(q))
		return -EINVAL;
	switch ((enum door_verb)q->verb) {
	case DOOR_BLOB: return k->layout < 0 ? -ENOENT : open_blob(k, q->hex);
	case DOOR_INDEX: return k->layout < 0 ? -ENOENT : open_below(k->layout, "index.json");
	case DOOR_MARK: return k->layout < 0 ? -ENOENT : open_below(k->layout, "oci-layout");
	case DOOR_LAYER: return open_layer(k, q->hex);
	case DOOR_NEW: return open_new(k, slots[q->slot]);
	case DOOR_TEMP: return open_temp(k, slots[q->slot]);
	case DOOR_KEEP: return door_keep(k, q);
	default: return -EINVAL;
	}
}

static int answer_send(int door, int32_t code)
{
	int fd = code;
	union fd_message control = {.buf = {0}};
	struct iovec iov = {&code, sizeof(code)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (code > 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
				      .cmsg_type = SCM_RIGHTS,
				      .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(door, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Whether there may be more requests. */
static int serve_one(const struct keeper *k)
{
	struct door_request q = {0};

	if (recv(k->door, &q, sizeof(q), 0) != sizeof(q))
		return 0;
	int code = door_answer(k, &q);
	int r = answer_send(k->door, code);
	if (code > 0)
		(void)close(code);
	return r == 0;
}

/* A signal that ends us, or 0: the reader has closed the door. */
static int serve_all(const struct keeper *k, int signals)
{
	struct pollfd p[] = {{.fd = k->door, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	struct signalfd_siginfo si;

	for (;;) {
		if (poll(p, countof(p), -1) < 0 && errno != EINTR)
			return SIGTERM;
		if ((p[1].revents & POLLIN) && read(signals, &si, sizeof(si)) == sizeof(si))
			return (int)si.ssi_signo;
		if (p[0].revents && !serve_one(k))
			return 0;
	}
}

static int reader_status(pid_t pid, struct err *e)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	const char *name = signame(WTERMSIG(status));
	(void)!err_set(e, WTERMSIG(status) == SIGXCPU ? E2BIG : EIO,
		       "the reader of the archive was ended by SIG%s", name ? name : "?");
	return 1;
}

int keeper_serve(const struct keeper *k, pid_t pid, const sigset_t *set, struct err *e)
{
	auto_close int signals = signalfd(-1, set, SFD_CLOEXEC);
	int sig = serve_all(k, signals);
	if (sig)
		(void)kill(pid, SIGKILL);
	int status = reader_status(pid, e);
	for (size_t i = 0; i < SLOTS; i++)
		(void)unlinkat(k->work, slots[i], 0);
	if (sig)
		(void)!err_set(e, EINTR, "interrupted; layers that are whole stay");
	return sig ? 128 + sig : status;
}
