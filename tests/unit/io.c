/* SPDX-License-Identifier: Apache-2.0 */
/* io, le: whole reads and writes, and bytes in files. */
#include "tests/lib/test.h"
#include "util/io.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "util/le.h"

enum { MUCH = 1 << 20 };

static uint8_t much[MUCH], back[MUCH];

static void fill(void)
{
	for (size_t i = 0; i < MUCH; i++)
		much[i] = (uint8_t)(i * 7 + i / 251);
}

static void on_signal(int signo)
{
	(void)signo;
}

struct reader {
	int fd;
	pthread_t writer;
	size_t got;
};

/* Reads slowly, and interrupts who writes. */
static void *read_slowly(void *arg)
{
	struct reader *r = arg;
	ssize_t n;

	while ((n = read(r->fd, back + r->got, min_((size_t)MUCH - r->got, (size_t)50000))) > 0) {
		r->got += (size_t)n;
		(void)pthread_kill(r->writer, SIGUSR1);
		(void)usleep(1000);
	}
	return NULL;
}

Test(io, what_is_taken_in_pieces_between_signals_is_written_whole)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct reader r = {.writer = pthread_self()};
	pthread_t reader;
	int fds[2];

	fill();
	cr_assert_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	cr_assert_eq(pipe(fds), 0);
	r.fd = fds[0];
	cr_assert_eq(pthread_create(&reader, NULL, read_slowly, &r), 0);
	cr_expect_eq(io_write_all(fds[1], much, MUCH), 0);
	close(fds[1]);
	cr_assert_eq(pthread_join(reader, NULL), 0);
	cr_expect_eq(r.got, MUCH);
	cr_expect_arr_eq(back, much, MUCH);
	cr_expect_eq(io_write_all(fds[1], much, 1), -EBADF);
}

Test(io, a_place_in_a_file_and_its_end)
{
	int fd = memfd_create("io", 0);

	fill();
	cr_expect_eq(io_pwrite_all(fd, much, MUCH, 1000), 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 0);
	cr_expect_eq(io_pread_all(fd, back, MUCH, 1000), MUCH);
	cr_expect_arr_eq(back, much, MUCH);
	cr_expect_eq(io_pread_all(fd, back, MUCH, MUCH), 1000);
	cr_expect_eq(io_pread_all(fd, back, MUCH, 2 * MUCH), 0);
	cr_expect_eq(io_pread_all(-1, back, 1, 0), -EBADF);
	cr_expect_eq(io_pwrite_all(fd, much, 0, 0), 0);
	close(fd);
}

Test(io, a_disk_that_is_full_is_told)
{
	int fd = open("/dev/full", O_WRONLY);

	cr_expect_eq(io_write_all(fd, "x", 1), -ENOSPC);
	cr_expect_eq(io_pwrite_all(fd, "x", 1, 0), -ENOSPC);
	close(fd);
}

Test(io, a_description_of_its_own)
{
	int fds[2], socks[2];

	cr_assert_eq(pipe(fds), 0);
	int own = io_reopen(fds[1], O_WRONLY | O_NONBLOCK);
	cr_assert_geq(own, 0);
	cr_expect_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	cr_expect_neq(fcntl(own, F_GETFL) & O_NONBLOCK, 0);
	cr_expect_eq(fcntl(own, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	cr_expect_eq(io_reopen(socks[0], O_WRONLY), -ENXIO);
	cr_expect_eq(io_reopen(-1, O_WRONLY), -ENOENT);
}

Test(io, one_byte_anywhere_is_no_zero)
{
	uint8_t page[4096 + 3] = {0};

	for (size_t len = 0; len < 200; len++)
		for (size_t from = 0; from < 3; from++)
			cr_assert_eq(io_is_zero(page + from, len), 1);
	for (size_t at = 0; at < sizeof(page); at++) {
		page[at] = 1;
		cr_assert_eq(io_is_zero(page, sizeof(page)), 0, "byte %zu", at);
		cr_assert_eq(io_is_zero(page, at), 1);
		cr_assert_eq(io_is_zero(page + at + 1, sizeof(page) - at - 1), 1);
		page[at] = 0;
	}
}

Test(le, any_width_at_any_address)
{
	static const uint8_t bytes[] = {0xff, 1, 2, 3, 4, 5, 6, 7, 0x88, 0xff};
	uint8_t to[sizeof(bytes)];

	cr_expect_eq(le_get(bytes + 1, 1), 1);
	cr_expect_eq(le_get(bytes + 1, 2), 0x0201);
	cr_expect_eq(le_get(bytes + 1, 4), 0x04030201);
	cr_expect_eq(le_get(bytes + 1, 8), 0x8807060504030201);
	memset(to, 0xff, sizeof(to));
	le_put(to + 1, 0x8807060504030201, 8);
	cr_expect_arr_eq(to, bytes, sizeof(to));
	le_put(to + 1, 0x1122, 1);
	cr_expect(to[0] == 0xff && to[1] == 0x22 && to[2] == 2);
}
