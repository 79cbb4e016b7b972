/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM is handed, seen by one that is a script: it writes down its words, and what its descriptors are. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/host/host.h"
#include "lib/host/launch.h"
#include "util/num.h"

enum { SEEN_BYTES = 128 << 10 };

static char dir_path[64];
static int dir;
static struct artefacts a;
static struct err e;

static void make_file(const char *name, const char *text, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void up(void)
{
	char script[256];

	(void)snprintf(dir_path, sizeof(dir_path), "/tmp/launch-XXXXXX");
	cr_assert(mkdtemp(dir_path));
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(script, sizeof(script),
		       "#!/bin/sh\necho \"$*\" >%s/words\nls -l /proc/$$/fd >%s/seen\n", dir_path,
		       dir_path);
	make_file("vmm", script, 0755);
	make_file("lock", "", 0600);
	char *vmm;
	cr_assert_gt(asprintf(&vmm, "%s/vmm", dir_path), 0);
	setenv("CONKER_VMM", vmm, 1);
	free(vmm);
	cr_assert_eq(artefacts_init(&a, &e), 0, "%s", e.msg);
}

static void down(void)
{
	static const char *const names[] = {"vmm",      "words", "seen",      "console",
					    "state",    "lock",  "exec.sock", "forward.sock",
					    "ctl.sock", "cgroup"};

	cgroup_remove(dir);
	for (size_t i = 0; i < countof(names); i++)
		(void)unlinkat(dir, names[i], 0);
	cr_expect_eq(rmdir(dir_path), 0);
}

TestSuite(lib_launch, .init = up, .fini = down, .timeout = 60);

/* An image of so many files, and one disk beside it. */
static void give_disks(int nparts)
{
	char name[32];

	a.ndisks = 2;
	a.disk[0] = memfd_create("image", MFD_CLOEXEC);
	a.disk[1] = memfd_create("other", MFD_CLOEXEC);
	a.ro[0] = 1;
	for (; a.nparts < nparts; a.nparts++) {
		(void)snprintf(name, sizeof(name), "part-%d", a.nparts);
		a.parts[a.nparts] = memfd_create(name, MFD_CLOEXEC);
		cr_assert_geq(a.parts[a.nparts], 0, "%d: %s", a.nparts, strerror(errno));
	}
}

static int start(void)
{
	conker_box_opts o = {.size = sizeof(o), .memory_mib = 64, .cpus = 1};
	struct meta m = {.name = "box"};
	struct launched l;
	int r = launch(&a, &o, &m, dir, &l, &e);

	if (r < 0)
		return r;
	cr_assert_eq(pidfd_wait(l.pidfd, 30000), 0);
	close(l.pidfd);
	close(l.owner);
	close(l.stderr_fd);
	return 0;
}

static char *slurp(const char *name)
{
	char *text = calloc(1, SEEN_BYTES);
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_gt(read(fd, text, SEEN_BYTES - 1), 0);
	close(fd);
	return text;
}

/* The descriptor at *at is the memory file of that name. */
static void is_file(const char *seen, const char **at, const char *name)
{
	char want[64];
	uint64_t n;

	cr_assert_eq(num_take(at, NULL, 10, INT32_MAX, &n), 0, "%.20s", *at);
	(void)snprintf(want, sizeof(want), " %d -> /memfd:%s (deleted)\n", (int)n, name);
	cr_assert_not_null(strstr(seen, want), "%s", want);
}

/* --disk FD+FD...:ro --disk FD, with the right files behind the numbers. */
static void check_disks(int nparts)
{
	char *words = slurp("words"), *seen = slurp("seen"), name[32];
	const char *at = strstr(words, "--disk ");

	cr_assert_not_null(at, "%s", words);
	at += strlen("--disk ");
	is_file(seen, &at, "image");
	for (int i = 0; i < nparts; i++) {
		cr_assert_eq(*at++, '+');
		(void)snprintf(name, sizeof(name), "part-%d", i);
		is_file(seen, &at, name);
	}
	cr_assert_eq(strncmp(at, ":ro --disk ", 11), 0, "%.40s", at);
	at += 11;
	is_file(seen, &at, "other");
	cr_assert(*at == ' ' || *at == '\n', "%.40s", at);
	free(words);
	free(seen);
}

Test(lib_launch, an_image_of_one_file)
{
	give_disks(0);
	cr_assert_eq(start(), 0, "%s", e.msg);
	check_disks(0);
	artefacts_close(&a);
}

Test(lib_launch, an_image_of_four_files)
{
	give_disks(3);
	cr_assert_eq(start(), 0, "%s", e.msg);
	check_disks(3);
	artefacts_close(&a);
}

/* Where the caller may have 1024 descriptors, as is usual, and two of each are needed for a moment. */
Test(lib_launch, an_image_of_513_files_under_the_usual_limit)
{
	struct rlimit l;
	int first = fcntl(0, F_DUPFD_CLOEXEC, 0);

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	cr_assert_geq(l.rlim_max, 2048, "this test needs a hard limit");
	l.rlim_cur = 1024;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	close(first);
	give_disks(PARTS_MAX);
	cr_assert_eq(start(), 0, "%s", e.msg);
	check_disks(PARTS_MAX);
	cr_expect_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	cr_expect_eq(l.rlim_cur, 1024, "the caller's own is as it was");
	artefacts_close(&a);
	int again = fcntl(0, F_DUPFD_CLOEXEC, 0);
	cr_expect_eq(again, first, "a descriptor was left open");
	close(again);
}

Test(lib_launch, a_hard_limit_that_is_too_low_is_told)
{
	struct rlimit l = {1024, 1024};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	give_disks(PARTS_MAX);
	cr_assert_eq(start(), -EMFILE);
	cr_expect_eq(api_descriptors(-EMFILE, &e), -EMFILE);
	cr_expect(strstr(e.msg, "Too many open files") && strstr(e.msg, "1024 open (ulimit -n)") &&
			  strstr(e.msg, "each layer"),
		  "%s", e.msg);
	artefacts_close(&a);
}
