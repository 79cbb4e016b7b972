/* SPDX-License-Identifier: Apache-2.0 */
/* vmm.c - conker-vmm's set-up and life, with each call failing once.
 *
 *	vmm [-v] [-e EVERY [-f FIRST]] [-k KIND] BUILD
 *
 * The guest is a kernel of two instructions that ends with a triple fault, so that each round comes to
 * the end of a machine's life. What must hold: the last event line is `failed ERRNO MESSAGE` with the errno
 * that was given and exit status 1, or `exited ...` with its status; both receivers of events agree;
 * nothing on stderr; every allocation, mapping and descriptor given back; no process left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fault/drive.h"
#include "util/util.h"

enum {
	FD_KERNEL = 3,
	FD_INITRD,
	FD_CONSOLE,
	FD_STATE,
	FD_LOCK,
	FD_OWNER,
	FD_LISTEN,
	FD_DISK,
	FD_END
};

enum {
	OWNED = 1,    /* goes on in the background, its starter's status says nothing */
	REQUIRED = 2, /* --jail required */
};

struct vmm {
	const char *build;
	const char *const *argv;
	int flags;
};

#define MACHINE \
	"conker-vmm", "--memory-mib", "32", "--cmdline", "x", "--kernel-fd", "3", "--state-fd", "6"
#define OWNER "--owner-fd", "8", "--lock-fd", "7"
#define DEVICES                                                                              \
	"--initrd-fd", "4", "--console-fd", "5", "--vsock-listen", "9:1", "--disk", "10:ro", \
		"--disk", "10+10:ro", "--life-ms", "60000"

static const char *const owned[] = {MACHINE, OWNER,    DEVICES,    "--cpus",
				    "2",     "--jail", "required", NULL};
static const char *const detached[] = {MACHINE, OWNER, "--cpus", "1", "--detach", NULL};
static const char *const by_hand[] = {MACHINE, "--cpus", "1", NULL};

static int file(const struct drive *d, const char *name, int flags)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", d->dir, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static int opened(const struct vmm *v, const char *name)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", v->build, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static int listener(void)
{
	struct sockaddr_un sa = {.sun_family =
					 AF_UNIX}; /* an abstract name of the kernel's choice */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa_family_t)) < 0 || listen(fd, 4) < 0)
		perror("listen");
	return fd;
}

/* The last line of text, without its newline. */
static const char *last_line(char *text)
{
	size_t n = strlen(text);

	if (n && text[n - 1] == '\n')
		text[n - 1] = 0;
	char *nl = strrchr(text, '\n');
	return nl ? nl + 1 : text;
}

static void read_all(int fd, char *ret)
{
	size_t n = 0;
	ssize_t got;

	while (n < DRIVE_TEXT - 1 && (got = read(fd, ret + n, DRIVE_TEXT - 1 - n)) > 0)
		n += (size_t)got;
	ret[n] = 0;
}

struct seen {
	struct ended end;
	char state[DRIVE_TEXT], owner[DRIVE_TEXT];
};

static void run(struct drive *d, const struct vmm *v, enum fault_kind kind, long at, struct seen *s)
{
	char exe[600];
	const char *argv[40];
	int pair[2];

	(void)snprintf(exe, sizeof(exe), "%s/tests/fault/conker-vmm", v->build);
	for (size_t i = 0; i == 0 || argv[i - 1]; i++)
		argv[i] = i == 0 ? exe : v->argv[i];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		perror("socketpair");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct program p = {
		.argv = argv,
		.nfds = FD_END,
		.fds = {
			null,
			null,
			-1,
			[FD_KERNEL] = opened(v, "tests/guest/raw_triple_fault"),
			[FD_INITRD] = opened(v, "guest/initrd.cpio"),
			[FD_CONSOLE] = file(d, "console", O_RDWR | O_CREAT | O_TRUNC),
			[FD_STATE] = file(d, "state", O_RDWR | O_CREAT | O_TRUNC | O_APPEND),
			[FD_LOCK] = file(d, "lock", O_RDWR | O_CREAT),
			[FD_OWNER] = pair[1],
			[FD_LISTEN] = listener(),
			[FD_DISK] = opened(v, "guest/base.erofs"),
		}};
	drive_run(d, &p, kind, at, 0, &s->end);
	(void)lseek(p.fds[FD_STATE], 0, SEEK_SET);
	read_all(p.fds[FD_STATE], s->state);
	for (int i = FD_KERNEL; i < FD_END; i++)
		close(p.fds[i]);
	close(null);
	read_all(pair[0], s->owner);
	close(pair[0]);
}

static int status_of(const char *reason)
{
	static const struct {
		const char *name;
		int status;
	} table[] = {{"crash", 5}, {"error", 6}, {"stopped", 0}};

	for (size_t i = 0; i < countof(table); i++)
		if (strncmp(reason, table[i].name, strlen(table[i].name)) == 0)
			return table[i].status;
	return -2;
}

static void check_line(const struct drive *d, const struct vmm *v, const char *line,
		       const struct ended *end, char *why)
{
	int code = 0, at = 0, any = v->flags & OWNED;

	if (sscanf(line, "failed %d %n", &code, &at) == 1 && at) {
		if (end->status != 1 && !any)
			wrong(why, "status %d after '%s'; ", end->status, line);
		if (code != d->page->error && !(code == EAGAIN && d->page->error == ENOMEM))
			wrong(why, "errno %d instead of %d in '%s'; ", code, d->page->error, line);
		if (!tells(line + at, d->page))
			wrong(why, "'%s' does not tell; ", line);
	} else if (strncmp(line, "exited ", 7) == 0) {
		if (end->status != status_of(line + 7) && !any)
			wrong(why, "status %d after '%s'; ", end->status, line);
		if (status_of(line + 7) == 6 && !tells(line + 7, d->page) &&
		    strncmp(line + 7, "error seccomp: ", 15) != 0)
			wrong(why, "'%s' does not tell; ", line);
	} else if (d->page->error != ENOSPC || v->flags & OWNED) { /* else nobody hears it */
		wrong(why, "no last word: '%s', status %d; ", line, end->status);
	}
}

/* Nothing is switched off silently. */
static void check_jail(const struct drive *d, const struct vmm *v, const struct seen *s,
		       const char *line, char *why)
{
	int said = strncmp(s->state, "unjailed ", 9) == 0 && !(v->flags & REQUIRED);

	if (d->page->hit && !said && strncmp(line, "failed ", 7) != 0 &&
	    strncmp(line, "exited error seccomp: ", 22) != 0)
		wrong(why, "a part of the jail is missing and not missed; ");
}

static int is_last_word(const char *line)
{
	return strncmp(line, "failed ", 7) == 0 || strncmp(line, "exited ", 7) == 0;
}

static void round_of(struct drive *d, void *user, enum fault_kind kind, long at, char *why)
{
	const struct vmm *v = user;
	struct seen s;

	run(d, v, kind, at, &s);
	const char *state = last_line(s.state), *owner = last_line(s.owner);
	const char *line = is_last_word(state) ? state : owner; /* the disk may be full */
	if (d->verbose)
		printf("    %s %ld %s: %d %s\n", kind_name(kind), at,
		       d->page->hit ? d->page->call : "-", s.end.status, line);
	if (s.end.status == -1)
		wrong(why, "it hangs; ");
	check_line(d, v, line, &s.end, why);
	if (*state && *owner && strcmp(state, owner) != 0 && kind != FAULT_WRITE)
		wrong(why, "'%s' in the file, '%s' to the owner; ", state, owner);
	if (kind == FAULT_JAIL)
		check_jail(d, v, &s, line, why);
	if (s.end.err[0])
		wrong(why, "it said: %s; ", s.end.err);
	if (s.end.left)
		wrong(why, "%d processes left; ", s.end.left);
	if (strncmp(line, "exited error seccomp: ", 22) == 0)
		return; /* it leaves at once */
	if (!d->page->exited)
		wrong(why, "it did not come to its exit; ");
	/* What main() opens for the machine lives as long as the process. */
	else if (d->page->allocs > d->page->threads || d->page->maps ||
		 d->page->fds > d->page->count[FAULT_OPEN])
		wrong(why, "left: %ld pieces of memory, %ld mappings, %ld descriptors; ",
		      (long)d->page->allocs, (long)d->page->maps, (long)d->page->fds);
}

int main(int argc, char **argv)
{
	/* What a machine that is started in another way does otherwise. */
	const unsigned differs = 1 << FAULT_OPEN | 1 << FAULT_CLONE | 1 << FAULT_WRITE |
				 1 << FAULT_PROCESS | 1 << FAULT_JAIL;
	struct drive d;
	int at = drive_init(&d, argc, argv);

	if (at < 0 || at >= argc) {
		(void)fprintf(stderr, "usage: vmm [-v] [-e EVERY [-f FIRST]] [-k KIND] BUILD\n");
		return 2;
	}
	if (access("/dev/kvm", W_OK) < 0) {
		printf("skip fault.vmm: no usable /dev/kvm\n");
		return drive_fini(&d);
	}
	const char *build = argv[at];
	drive_kinds(&d, "vmm", 0, round_of, &(struct vmm){build, owned, OWNED | REQUIRED});
	drive_kinds(&d, "vmm.detached", differs, round_of, &(struct vmm){build, detached, OWNED});
	drive_kinds(&d, "vmm.by_hand", differs, round_of, &(struct vmm){build, by_hand, 0});
	return drive_fini(&d);
}
