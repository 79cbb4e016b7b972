/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - one machine, carried by one conker-vmm after the other: each begins with the snapshot that the last one
 * ended with, over the same disk and console, until the guest powers itself off.
 *
 *	relay PERIOD_MS CPUS KERNEL INITRD CMDLINE DISK CONSOLE
 *
 * Once the guest has said something: every PERIOD_MS it asks for a snapshot after which the machine goes on, and then
 * for one after which it does not, MOVES_MAX times at most. Prints how often.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FIRST_FD = 20,
	ANSWER_BYTES = 640,
	MOVES_MAX = 8, /* then the guest may end in peace, however slow the host */
};

struct files { /* of a snapshot */
	int state, memory;
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int new_file(void)
{
	char name[] = "/tmp/conker-relay.XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	must(fd >= 0, name);
	return fd;
}

/* With names: a VMM that is to end refuses files that nobody could find. */
static struct files new_files(void)
{
	return (struct files){new_file(), new_file()};
}

static void remove_name(int fd)
{
	char link[32], name[64];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, name, sizeof(name) - 1);
	must(n > 0, link);
	name[n] = 0;
	must(unlink(name) == 0, name);
}

static void remove_names(const struct files *f)
{
	remove_name(f->state);
	remove_name(f->memory);
}

/* The words of conker-vmm, with descriptors from FIRST_FD on. */
struct words {
	char *argv[32], text[32][64];
	int n, fd, inherit[16];
};

static void word(struct words *w, const char *s)
{
	w->argv[w->n++] = (char *)s;
}

static int pass(struct words *w, int fd)
{
	w->inherit[w->fd] = fd;
	return FIRST_FD + w->fd++;
}

static void word_fds(struct words *w, const char *option, int a, int b)
{
	char *t = w->text[w->n];
	int first = pass(w, a);

	if (b < 0)
		(void)snprintf(t, sizeof(w->text[0]), "%d", first);
	else
		(void)snprintf(t, sizeof(w->text[0]), "%d:%d", first, pass(w, b));
	word(w, option);
	word(w, t);
}

static pid_t launch(struct words *w)
{
	pid_t pid = fork();

	must(pid >= 0, "fork");
	if (pid)
		return pid;
	for (int i = 0; i < w->fd; i++) /* all are below FIRST_FD */
		must(dup2(w->inherit[i], FIRST_FD + i) >= 0, "dup2");
	execvp(w->argv[0], w->argv);
	must(0, w->argv[0]);
	return -1;
}

static pid_t start(char **argv, int listener, int disk, int console, const struct files *from)
{
	struct words w = {0};
	int kernel = -1, initrd = -1;

	word(&w, "conker-vmm");
	word(&w, "--memory-mib");
	word(&w, "64");
	word(&w, "--cpus");
	word(&w, argv[2]);
	word_fds(&w, "--disk", disk, -1);
	word_fds(&w, "--console-fd", console, -1);
	word_fds(&w, "--ctl-listen", listener, -1);
	if (from) {
		word_fds(&w, "--restore", from->state, from->memory);
	} else {
		kernel = open(argv[3], O_RDONLY | O_CLOEXEC);
		initrd = open(argv[4], O_RDONLY | O_CLOEXEC);
		must(kernel >= 0 && initrd >= 0, "kernel, initrd");
		word_fds(&w, "--kernel-fd", kernel, -1);
		word_fds(&w, "--initrd-fd", initrd, -1);
		word(&w, "--cmdline");
		word(&w, argv[5]);
	}
	pid_t pid = launch(&w);
	if (!from) {
		close(kernel);
		close(initrd);
	}
	return pid;
}

static int listen_somewhere(struct sockaddr_un *ret, socklen_t *ret_len)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_len = sizeof(*ret);
	must(fd >= 0 && bind(fd, (void *)ret, sizeof(sa_family_t)) == 0 && listen(fd, 1) == 0 &&
		     getsockname(fd, (void *)ret, ret_len) == 0,
	     "listen");
	return fd;
}

/* 1: done; 0: it ended before. Any other answer is a failure. */
static int ask(int ctl, const char *text, const struct files *to)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(*to))];
	} c = {.h = {CMSG_LEN(sizeof(*to)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec v = {(void *)text, strlen(text)};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
	char answer[ANSWER_BYTES + 1];

	memcpy(CMSG_DATA(&c.h), to, sizeof(*to));
	if (sendmsg(ctl, &m, MSG_NOSIGNAL) < 0)
		return 0;
	ssize_t n = recv(ctl, answer, ANSWER_BYTES, 0);
	if (n <= 0)
		return 0;
	answer[n] = 0;
	if (strncmp(answer, "done ", 5) != 0) {
		(void)fprintf(stderr, "relay: %s: %s\n", text, answer);
		exit(1);
	}
	return 1;
}

/* The console is a file. */
static void wait_for_words(int console)
{
	struct stat st = {0};

	for (int i = 0; i < 6000 && fstat(console, &st) == 0 && !st.st_size; i++)
		(void)usleep(20000);
}

int main(int argc, char **argv)
{
	if (argc != 8)
		return 2;
	int disk = open(argv[6], O_RDWR | O_CLOEXEC), console = open(argv[7], O_RDWR | O_CLOEXEC);
	struct files now = {-1, -1};
	unsigned moves = 0, more = 1;
	int status = 0;

	must(disk >= 0 && console >= 0, "disk, console");
	for (; more; moves++) {
		struct files next = new_files(), copy = new_files();
		struct sockaddr_un a;
		socklen_t len;
		int listener = listen_somewhere(&a, &len);
		int ctl = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		pid_t pid = start(argv, listener, disk, console, moves ? &now : NULL);
		must(connect(ctl, (void *)&a, len) == 0, "connect");
		close(listener);
		wait_for_words(console);
		(void)usleep((useconds_t)strtoul(argv[1], NULL, 10) * 1000);
		more = moves < MOVES_MAX && ask(ctl, "snapshot", &copy) &&
		       ask(ctl, "snapshot stop", &next);
		must(waitpid(pid, &status, 0) == pid, "wait");
		close(ctl);
		remove_names(&copy);
		remove_names(&next);
		close(copy.state);
		close(copy.memory);
		if (moves) {
			close(now.state);
			close(now.memory);
		}
		now = next;
	}
	printf("moves %u\n", moves - 1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
