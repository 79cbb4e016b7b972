/* SPDX-License-Identifier: Apache-2.0 */
/* fakevmm.c - the test program as conker-vmm: see fakeinit.h.
 *
 * A constructor looks at the command line; with --vsock-listen we are the VMM and never reach main.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/box.h"
#include "tests/lib/fakeinit.h"
#include "util/util.h"

struct fake_vmm {
	int listener, console, state, lock, owner, detach;
	int ctl, restore[2], suspend[2]; /* state, memory */
	int asked;                       /* it ends with a snapshot by the control socket */
	int memory_mib, life_ms;
	unsigned long long execs;
	const char *cmdline;
};

static int number(const char *s)
{
	return s ? (int)strtoll(s, NULL, 10) : -1;
}

/* FD:PORT; of the two only init's own is served. */
static void take_listener(struct fake_vmm *v, const char *arg)
{
	if (strcmp(strchr(arg, ':'), ":1") == 0)
		v->listener = number(arg);
}

static void take_pair(int ret[2], const char *arg)
{
	if (sscanf(arg, "%d:%d", &ret[0], &ret[1]) != 2)
		abort();
}

static void parse(struct fake_vmm *v, char **argv)
{
	*v = (struct fake_vmm){-1, -1, -1, -1, -1, 0, -1, {-1, -1}, {-1, -1}, 0, 0, 0, 0, ""};
	for (char **a = argv + 1; *a; a++) {
		if (strcmp(*a, "--detach") == 0)
			v->detach = 1;
		else if (strcmp(*a, "--vsock-listen") == 0)
			take_listener(v, *++a);
		else if (strcmp(*a, "--console-fd") == 0)
			v->console = number(*++a);
		else if (strcmp(*a, "--state-fd") == 0)
			v->state = number(*++a);
		else if (strcmp(*a, "--lock-fd") == 0)
			v->lock = number(*++a);
		else if (strcmp(*a, "--owner-fd") == 0)
			v->owner = number(*++a);
		else if (strcmp(*a, "--ctl-listen") == 0)
			v->ctl = number(*++a);
		else if (strcmp(*a, "--restore") == 0)
			take_pair(v->restore, *++a);
		else if (strcmp(*a, "--suspend") == 0)
			take_pair(v->suspend, *++a);
		else if (strcmp(*a, "--memory-mib") == 0)
			v->memory_mib = number(*++a);
		else if (strcmp(*a, "--life-ms") == 0)
			v->life_ms = number(*++a);
		else if (strcmp(*a, "--cmdline") == 0)
			v->cmdline = *++a;
	}
}

static void event(const struct fake_vmm *v, const char *line)
{
	(void)!write(v->state, line, strlen(line));
	(void)send(v->owner, line, strlen(line), MSG_NOSIGNAL);
}

static int mode(const struct fake_vmm *v, const char *word)
{
	char want[64];

	(void)snprintf(want, sizeof(want), "fake=%s", word);
	const char *at = strstr(v->cmdline, want);
	return at && (at[strlen(want)] == 0 || at[strlen(want)] == ' ');
}

/* ---- snapshots ------------------------------------------------------------------------------------------ */

enum { FAKE_DATA_AT = 512 << 10 };

static const char fake_data[] = "what the memory holds";

/* As somebody else may do meanwhile. */
static void make_dir(const struct fake_vmm *v)
{
	char path[256] = "";
	const char *at = strstr(v->cmdline, "mkdir=");

	if (at && sscanf(at, "mkdir=%255[^ ]", path) == 1)
		(void)mkdir(path, 0700);
}

static int save(const struct fake_vmm *v, const int fds[2], unsigned long long execs)
{
	off_t size = ((off_t)v->memory_mib << 20) + MEMORY_TAIL_BYTES;

	if (ftruncate(fds[0], 0) < 0 || ftruncate(fds[1], 0) < 0 ||
	    ftruncate(fds[1], mode(v, "snapshort") ? size / 2 : size) < 0 ||
	    pwrite(fds[1], fake_data, sizeof(fake_data), FAKE_DATA_AT) < 0)
		return -1;
	if (mode(v, "snapdie"))
		raise(SIGKILL);
	make_dir(v);
	return dprintf(fds[0], "fake-state %llu %s\n", execs, v->cmdline) < 0 ? -1 : 0;
}

static void load(struct fake_vmm *v)
{
	static char text[4096];
	char data[sizeof(fake_data)] = "";
	int at = 0;

	(void)!pread(v->restore[0], text, sizeof(text) - 1, 0);
	(void)!pread(v->restore[1], data, sizeof(data), FAKE_DATA_AT);
	text[strcspn(text, "\n")] = 0;
	if (sscanf(text, "fake-state %llu %n", &v->execs, &at) != 1 ||
	    strcmp(data, fake_data) != 0) {
		event(v, "failed 22 not a state file\n");
		_exit(1);
	}
	v->cmdline = text + at;
	if (mode(v, "norestore")) {
		event(v, "failed 22 the snapshot does not fit\n");
		_exit(1);
	}
}

static int on_ctl(void *user, int client, unsigned long long execs)
{
	struct fake_vmm *v = user;
	char text[64] = "", control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int fds[2];

	if (recvmsg(client, &m, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&m))
		return 0;
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fds));
	int ok = save(v, fds, execs) == 0 && !mode(v, "snapfail");
	for (int i = 0; !ok && i < 2; i++)
		(void)!ftruncate(fds[i], 0);
	close(fds[0]);
	close(fds[1]);
	(void)dprintf(client, ok ? "done 333 4096" : "failed 28 No space\x1b left");
	v->asked = ok && strncmp(text, "snapshot stop", strlen("snapshot stop")) == 0;
	return v->asked;
}

static void early_end(const struct fake_vmm *v)
{
	static const char panic[] = "[0.1] hello\n[0.2] Kernel panic - not syncing: VFS: no "
				    "root\n[0.3] ---[ end ]---\n";

	if (mode(v, "fail")) {
		event(v, "failed 12 guest memory: 128 MiB: Cannot allocate memory\n");
		_exit(1);
	}
	if (mode(v, "stderr")) {
		(void)dprintf(2, "conker-vmm: error while loading shared libraries\n");
		_exit(127);
	}
	event(v, "started 111\n");
	if (mode(v, "initfail")) {
		(void)dprintf(v->console,
			      "conker-init: mount proc on the image's /proc: Not a directory\n"
			      "[0.2] Kernel panic - not syncing: Attempted to kill init! "
			      "exitcode=0x00000100\n[0.3] Call Trace:\n[0.4]  <TASK>\n");
		event(v, "exited panic\n");
		_exit(4);
	}
	if (mode(v, "panic")) {
		(void)!write(v->console, panic, strlen(panic));
		event(v, "exited panic\n");
		_exit(4);
	}
	if (mode(v, "vanish"))
		raise(SIGKILL);
}

static void never(const struct fake_vmm *v)
{
	char byte;

	(void)dprintf(v->console, "first line\nsecond \x1b[1mline\nlast line\n");
	if (!v->detach)
		(void)!read(v->owner, &byte, 1);
	else
		pause();
	_exit(0);
}

static int term_fd(const struct fake_vmm *v)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGTERM);
	sigprocmask(SIG_BLOCK, &s, NULL);
	return mode(v, "stubborn") ? -1 : signalfd(-1, &s, SFD_CLOEXEC);
}

static void finish(const struct fake_vmm *v, enum fake_end end)
{
	static const char panic[] = "[9.9] Kernel panic - not syncing: sysrq triggered crash\n";

	switch (end) {
	case FAKE_NOTHING: event(v, "exited stopped\n"); break;
	case FAKE_PANIC:
		(void)!write(v->console, panic, strlen(panic));
		event(v, "exited panic\n");
		break;
	case FAKE_POWEROFF:
		if (mode(v, "stubborn"))
			pause();
		event(v, "exited poweroff\n");
		if (mode(v, "lingers"))
			pause();
		break;
	case FAKE_CRASH: event(v, "exited crash\n"); break;
	case FAKE_DIE: event(v, "exited error KVM_RUN: bad things\n"); break;
	case FAKE_VANISH: raise(SIGKILL); break;
	case FAKE_SUSPEND:
		if (v->suspend[0] >= 0 && !v->asked && save(v, v->suspend, 0) < 0)
			break;
		if (v->life_ms)
			event(v, "life 4000\n");
		event(v, "exited stopped suspended\n");
		break;
	}
	_exit(0);
}

static void vmm_main(struct fake_vmm *v)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (v->restore[0] >= 0)
		load(v);
	if (v->detach && fork() != 0)
		_exit(0);
	(void)setsid();
	if (fcntl(v->lock, F_SETLK, &l) < 0) {
		event(v, "failed 11 the lock is taken\n");
		_exit(1);
	}
	early_end(v);
	if (mode(v, "noready"))
		never(v);

	struct fake_server s = {.listener = v->listener,
				.hello_version = 1,
				.ctl = v->ctl,
				.on_ctl = on_ctl,
				.user = v,
				.frozen = v->restore[0] >= 0,
				.noresume = mode(v, "noresume"),
				.drowsy = mode(v, "drowsy") && v->restore[0] < 0,
				.mute = mode(v, "mute"),
				.sleepy = mode(v, "sleepy") && v->restore[0] < 0,
				.execs = v->execs};
	if (mode(v, "hello2"))
		s.hello_version = 2;
	if (mode(v, "nohello"))
		s.hello_version = 0;
	s.quit[0] = term_fd(v);
	s.quit[1] = v->detach ? -1 : v->owner;
	(void)dprintf(v->console, "fake console\n");
	if (v->life_ms)
		(void)dprintf(v->console, "life %d\n", v->life_ms);
	event(v, "ready 222\n");
	finish(v, fakeinit_serve(&s));
}

__attribute__((constructor)) static void maybe_vmm(int argc, char **argv)
{
	struct fake_vmm v;

	if (argc < 2)
		return;
	parse(&v, argv);
	if (v.listener >= 0)
		vmm_main(&v);
}

/* ---- the test's side ------------------------------------------------------------------------------------ */

static char dir[64];

static void make_file(const char *name, const void *data, size_t len)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

/* The least that erofs_check() takes for a whole image: one block that says so. */
static void make_image(const char *name)
{
	uint8_t b[4096] = {0};
	static const uint8_t magic[] = {0xe2, 0xe1, 0xf5, 0xe0};

	memcpy(b + 1024, magic, sizeof(magic));
	b[1024 + 12] = 12;
	b[1024 + 36] = 1;
	make_file(name, b, sizeof(b));
}

const char *fakevmm_use(void)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		abort();
	exe[n] = 0;
	(void)snprintf(dir, sizeof(dir), "/tmp/conker-test-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	setenv("CONKER_VMM", exe, 1);
	setenv("CONKER_GUEST", dir, 1);
	setenv("CONKER_IMAGES", dir, 1);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	setenv("XDG_STATE_HOME", dir, 1);
	setenv("XDG_CACHE_HOME", dir, 1);
	make_file("vmlinux", "k", 1);
	make_file("vmlinux-smp", "k", 1);
	make_file("initrd.cpio", "i", 1);
	make_image("base.erofs");
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fakevmm_clean(void)
{
	if (*dir)
		(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
