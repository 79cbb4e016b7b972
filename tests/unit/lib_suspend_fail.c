/* SPDX-License-Identifier: Apache-2.0 */
/* lib_suspend_fail.c - suspends that come to nothing, and boxes that do not answer. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/box.h"
#include "tests/lib/snapshot_fixture.h"

TestSuite(lib_suspend_fail, .init = up, .fini = down, .timeout = 90);

static const conker_box_opts idle_opts = {
	.name = "b", .flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 1000};

static conker_box *idle_box(const char *words)
{
	conker_box_opts o = idle_opts;

	o.cmdline_append = words;
	return must_create(&o);
}

static int64_t seconds_since(int64_t begun_us)
{
	return (clock_us() - begun_us) / 1000000;
}

/* ---- files ---------------------------------------------------------------------------------------------- */

Test(lib_suspend_fail, a_suspend_that_fails_leaves_nothing_on_disk)
{
	conker_box *b = detached("b", "fake=snapfail");

	cr_expect_eq(conker_box_suspend(b, NULL), -ENOSPC, "%s", conker_errmsg());
	cr_expect_eq(entries("conker/kept"), 0);
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	end(b, "b");
}

/* As the box's own attempt leaves them, when it fails. */
static ino_t spoil_own_files(void)
{
	char path[300];
	struct stat st;

	cr_assert(find_file("conker/kept", "memory.new", path, sizeof(path)));
	cr_assert_eq(truncate(path, 12345), 0);
	cr_assert_eq(stat(path, &st), 0);
	return st.st_ino;
}

Test(lib_suspend_fail, its_vmm_and_who_suspends_it_by_hand_write_into_the_same_files)
{
	conker_box *b = idle_box("fake=snapfail");
	char path[300];
	struct stat st;
	ino_t ino = spoil_own_files();

	cr_expect_eq(conker_box_suspend(b, NULL), -ENOSPC, "%s", conker_errmsg());
	cr_assert(find_file("conker/kept", "memory.new", path, sizeof(path)));
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_ino, ino, "its VMM has another one open");
	cr_expect_eq(st.st_size, 0, "space is given back");
	cr_expect_lt(run(b, "idle"), 0);
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED);
	b = must_open("b");
	cr_expect_eq(run(b, "true"), 0, "what is listed as suspended goes on: %s", conker_errmsg());
	end(b, "b");
}

Test(lib_suspend_fail, a_memory_of_another_size_is_not_taken_for_the_box)
{
	conker_box *b = idle_box("fake=snapshort");

	cr_expect_lt(run(b, "idle"), 0);
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	conker_box_free(b);
	cr_expect_neq(info_of("b").state, CONKER_BOX_SUSPENDED);
	cr_expect_eq(conker_box_open("b", &b), -ESHUTDOWN, "%s", conker_errmsg());
	cr_expect_eq(conker_box_remove("b", 0), 0, "%s", conker_errmsg());
}

/* What of the disk is full is the manifest's last block. */
Test(lib_suspend_fail, a_manifest_that_finds_no_room_leaves_no_part_of_it)
{
	const struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	conker_box *b = detached("b", NULL);

	(void)signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	int r = conker_box_suspend(b, NULL);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	cr_expect_lt(r, 0);
	cr_expect_eq(entries("conker/kept"), 0);
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	end(b, "b");
}

Test(lib_suspend_fail, a_snapshot_replaces_nothing_that_has_got_its_name_meanwhile)
{
	char words[160];
	(void)snprintf(words, sizeof(words), "mkdir=%s", snap);
	conker_box *b = must_create(&(conker_box_opts){.name = "b", .cmdline_append = words});

	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -EEXIST, "%s", conker_errmsg());
	cr_expect_eq(entries("snap"), 0);
	cr_expect_eq(rmdir(snap), 0);
	conker_box_free(b);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void expect_console(const char *want)
{
	char text[256] = "";
	int fd = conker_box_console("b");

	cr_assert_geq(fd, 0);
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	cr_expect(strstr(text, want), "'%s' without '%s'", text, want);
}

Test(lib_suspend_fail, what_is_left_of_its_life_is_left_when_it_is_resumed)
{
	conker_box_opts o = {.name = "b", .flags = CONKER_BOX_DETACHED, .max_life_ms = 9000};
	conker_box *b = must_create(&o);

	expect_console("life 9000\n");
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(conker_box_suspend(b, NULL), 0, "%s", conker_errmsg());
		conker_box_free(b);
		b = must_open("b");
		expect_console("life 4000\n"); /* as its VMM said, when it was suspended */
		cr_expect_eq(info_of("b").max_life_ms, 9000);
	}
	end(b, "b");
}

/* ---- those that do not answer ---------------------------------------------------------------------------- */

Test(lib_suspend_fail, who_opens_a_box_whose_guest_does_not_answer_is_told_within_ten_seconds)
{
	conker_box *made = idle_box("fake=mute"), *b;
	int64_t begun_us = clock_us();

	cr_expect_eq(conker_box_open("b", &b), -ETIMEDOUT);
	cr_expect(strstr(conker_errmsg(), "box 'b': its guest does not answer"), "%s",
		  conker_errmsg());
	cr_expect_lt(seconds_since(begun_us), 10);
	end(made, "b");
}

Test(lib_suspend_fail, a_box_whose_guest_does_not_answer_is_stopped)
{
	conker_box *made = idle_box("fake=mute"), *b;
	int64_t begun_us = clock_us();

	cr_assert_eq(conker_box_open_now("b", &b), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_stop(b, 2000), 0, "%s", conker_errmsg());
	cr_expect_lt(seconds_since(begun_us), 4);
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_STOPPED);
	end(made, "b");
}

Test(lib_suspend_fail, so_is_one_whose_vmm_stands_still)
{
	conker_box *made = idle_box(NULL), *b;
	int64_t begun_us = clock_us();

	cr_assert_eq(kill(info_of("b").vmm_pid, SIGSTOP), 0);
	cr_assert_eq(conker_box_open_now("b", &b), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_stop(b, 2000), 0, "%s", conker_errmsg());
	cr_expect_lt(seconds_since(begun_us), 4);
	conker_box_free(b);
	end(made, "b");
}

/* Who wants it stopped opens it once more, which resumes it. */
Test(lib_suspend_fail, one_that_suspends_itself_instead_of_stopping_says_so)
{
	conker_box *made = idle_box("fake=sleepy"), *b;

	cr_assert_eq(conker_box_open_now("b", &b), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_stop(b, 20000), -ERESTART, "%s", conker_errmsg());
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED);
	cr_assert_eq(conker_box_open_now("b", &b), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_stop(b, 20000), 0, "%s", conker_errmsg());
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_STOPPED);
	end(made, "b");
}

/* A VMM's side of its lock: 'w' it writes, 'i' it does not. */
static _Noreturn void hold_lock(int dir_fd, int orders)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(dir_fd, "lock", O_RDWR | O_CLOEXEC);
	char order = 0;

	if (fcntl(fd, F_SETLK, &all) < 0)
		_exit(1);
	while (write(orders, "k", 1) == 1 && read(orders, &order, 1) == 1) {
		struct flock byte = {.l_type = order == 'w' ? F_UNLCK : F_WRLCK,
				     .l_whence = SEEK_SET,
				     .l_start = LOCK_IDLE_BYTE,
				     .l_len = 1};
		if (fcntl(fd, F_SETLK, &byte) < 0)
			_exit(1);
	}
	_exit(0);
}

static void await_ack(int orders)
{
	char ack;

	cr_assert_eq(read(orders, &ack, 1), 1);
}

Test(lib_suspend_fail, a_vmm_that_writes_is_told_from_one_that_is_stuck)
{
	int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), pair[2];

	close(openat(d, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	cr_expect_eq(registry_is_writing(d), 0, "nobody is there");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid_t vmm = fork();
	if (vmm == 0) {
		close(pair[0]);
		hold_lock(d, pair[1]);
	}
	for (int i = 0; i < 4; i++) {
		await_ack(pair[0]);
		cr_expect_eq(registry_is_writing(d), i % 2);
		cr_expect_eq(registry_liveness(d, &(pid_t){0}), BOX_RUNS);
		cr_assert_eq(write(pair[0], i % 2 ? "i" : "w", 1), 1);
	}
	close(pair[0]);
	cr_assert_eq(waitpid(vmm, NULL, 0), vmm);
	close(d);
}
