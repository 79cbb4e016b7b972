/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/ctl.h that need no machine; those that do are in vm_snap.c. */
#include <sys/socket.h>

#include "tests/lib/test.h"
#include "vmm/ctl.h"

Test(ctl, knows_its_requests_and_nothing_else)
{
	struct ctl_request r;

	cr_assert_eq(ctl_parse("snapshot", 8, &r), 0);
	cr_assert(!r.stop);
	cr_assert_eq(ctl_parse("snapshot stop", 13, &r), 0);
	cr_assert(r.stop);
	cr_assert_eq(r.keep_port, 0);
	cr_assert_eq(ctl_parse("snapshot keep 1073741824", 24, &r), 0);
	cr_assert(!r.stop);
	cr_assert_eq(r.keep_port, 1073741824);
	cr_assert_eq(ctl_parse("snapshot stop keep 0", 20, &r), 0);
	cr_assert(r.stop);
	static const char *const nonsense[] = {"",
					       "snapshot ",
					       "snapshotstop",
					       "snapshot  stop",
					       "snapshot\n",
					       "Snapshot",
					       "stop",
					       "snapsho",
					       "snapshot stop now",
					       "snapshot keep",
					       "snapshot keep ",
					       "snapshot keep x",
					       "snapshot keep 1 ",
					       "snapshot keep 1 stop",
					       "snapshot keep 4294967296",
					       "snapshot keep 99999999999999999999999",
					       "snapshot keep1"};
	for (size_t i = 0; i < countof(nonsense); i++)
		cr_assert_eq(ctl_parse(nonsense[i], strlen(nonsense[i]), &r), -EINVAL, "%s",
			     nonsense[i]);
	cr_assert_eq(ctl_parse("snapshot\0", 9, &r), -EINVAL);
}

static struct loop loop;
static struct ctl ctl;
static struct err e;

static int listener(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	sa_family_t any = AF_UNIX; /* the kernel picks an abstract name */

	cr_assert_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(ctl_init(&ctl, &loop, fd, &e), 0, "%s", e.msg);
	return fd;
}

static int connect_to(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int c = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	cr_assert_eq(connect(c, (struct sockaddr *)&ss, len), 0);
	return c;
}

static void turn(void)
{
	while (loop_step(&loop, 0) > 0)
		;
}

static void ask(int fd, const char *text, int n, const int *fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec v = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};

	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS,
					      .cmsg_len = CMSG_LEN((size_t)n * sizeof(int))};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, (size_t)n * sizeof(int));
	cr_assert_gt(sendmsg(fd, &m, 0), 0);
	turn();
}

static const char *answer(int fd)
{
	static char text[CTL_MESSAGE_BYTES];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(ctl, a_request_waits_for_its_answer_and_its_descriptors_end_with_it)
{
	int fds[2] = {0, 1}, c = connect_to(listener());

	turn();
	unsigned before = open_fds();
	cr_assert_null(ctl_pending(&ctl));
	ask(c, "snapshot", 2, fds);
	cr_assert(ctl_pending(&ctl));
	cr_assert_eq(open_fds(), before + 2);
	ask(c, "snapshot", 2, fds);
	cr_assert_str_eq(answer(c), "failed 16 a snapshot is being taken");
	ctl_answer(&ctl, "done %d %d", 1, 2);
	cr_assert_str_eq(answer(c), "done 1 2");
	cr_assert_null(ctl_pending(&ctl));
	cr_assert_eq(open_fds(), before);
}

Test(ctl, descriptors_that_nobody_asked_for_are_closed)
{
	int fds[4] = {0, 1, 2, 0}, c = connect_to(listener());

	turn();
	unsigned before = open_fds();
	ask(c, "dance", 2, fds);
	ask(c, "snapshot", 1, fds);
	ask(c, "snapshot", 4, fds);
	if (ctl_pending(&ctl)) /* the first two of the four */
		ctl_answer(&ctl, "done");
	cr_assert_eq(open_fds(), before);
}

Test(ctl, a_client_that_left_misses_its_answer_and_the_next_one_is_served)
{
	int fds[2] = {0, 1}, l = listener(), c = connect_to(l), next = connect_to(l);

	turn();
	ask(c, "snapshot", 2, fds);
	close(c);
	turn();
	cr_assert(ctl_pending(&ctl), "what was asked is done");
	ctl_answer(&ctl, "done");
	turn();
	ask(next, "snapshot", 2, fds);
	ctl_answer(&ctl, "done for the next");
	cr_assert_str_eq(answer(next), "done for the next");
	ctl_fini(&ctl);
}
