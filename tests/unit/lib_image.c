/* SPDX-License-Identifier: Apache-2.0 */
/* lib_image.c - images: what becomes one, what does not, and what is left behind. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conker.h"
#include "lib/host/host.h"
#include "lib/images/images.h"
#include "tests/lib/fakeinit.h"

static const char *dir;
static char images[128], src[128], tar[128];

__attribute__((format(printf, 1, 2))) static int sh(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", cmd, NULL);
		_exit(127);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	return status;
}

static void up(void)
{
	dir = fakevmm_use();
	snprintf(images, sizeof(images), "%s/images", dir);
	snprintf(src, sizeof(src), "%s/src", dir);
	snprintf(tar, sizeof(tar), "%s/a:b.tar", dir);
	setenv("CONKER_IMAGES", images, 1);
	cr_assert_eq(
		sh("mkdir -p %s/bin; echo '#!x' >%s/bin/run; ln -s run %s/bin/link; mkdir %s/ro; "
		   "echo y >%s/ro/f; chmod 555 %s/ro; tar -C %s --force-local -cf %s .",
		   src, src, src, src, src, src, src, tar),
		0);
}

static void down(void)
{
	sh("chmod -R u+rwx %s", dir);
	fakevmm_clean();
}

TestSuite(lib_image, .init = up, .fini = down, .timeout = 60);

/* Entries of the image directory; hidden ones count, for they are what an import may leave. */
static int entries(void)
{
	DIR *d = opendir(images);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		n += strcmp(de->d_name, ".") && strcmp(de->d_name, "..");
	if (d)
		closedir(d);
	return n;
}

static int is_whole(const char *name)
{
	static struct opened_image got;

	if (image_open(name, &got, NULL) < 0)
		return 0;
	image_close(&got);
	return 1;
}

static void expect_imported(const char *path)
{
	cr_expect_eq(conker_image_import("x", path, NULL), 0, "%s", conker_errmsg());
	cr_expect(is_whole("x"));
	cr_expect_eq(entries(), 1);
}

static void expect_refused(const char *path, int error, const char *says)
{
	cr_expect_eq(conker_image_import("x", path, NULL), -error, "%s", conker_errmsg());
	cr_expect(strstr(conker_errmsg(), says), "%s", conker_errmsg());
	cr_expect_null(strchr(conker_errmsg(), '\n'));
	cr_expect_eq(entries(), 0, "%s leaves something", path);
}

Test(lib_image, a_directory_becomes_one)
{
	expect_imported(src);
}

Test(lib_image, a_tar_becomes_one)
{
	expect_imported(tar);
}

Test(lib_image, compressed_tars_become_ones)
{
	char path[200];

	cr_assert_eq(sh("gzip -k %s; xz -k %s", tar, tar), 0);
	snprintf(path, sizeof(path), "%s.gz", tar);
	expect_imported(path);
	snprintf(path, sizeof(path), "%s.xz", tar);
	expect_imported(path);
}

Test(lib_image, standard_input_serves_compressed_too)
{
	char path[200];

	cr_assert_eq(sh("gzip -k %s", tar), 0);
	snprintf(path, sizeof(path), "%s.gz", tar);
	int fd = open(path, O_RDONLY), old = fcntl(0, F_DUPFD_CLOEXEC, 3);
	dup2(fd, 0);
	expect_imported("-");
	dup2(old, 0);
}

Test(lib_image, owners_and_devices_of_an_archive_survive)
{
	char list[400] = "";

	cr_assert_eq(sh("cd %s; mkdir o; touch o/f; tar --force-local --owner=12:12 --group=34:34 "
			"-cf %s -C o .",
			dir, tar),
		     0);
	expect_imported(tar);
	snprintf(list, sizeof(list),
		 "dump.erofs --path=/f %s/x.erofs 2>/dev/null | grep -q 'Uid: 12 .*Gid: 34'",
		 images);
	cr_expect_eq(sh("%s", list), 0);
}

Test(lib_image, what_is_no_archive_is_refused)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/text", dir);
	sh("yes hello | head -1000 >%s", path);
	expect_refused(path, EINVAL, "does not look like a tar archive");
	expect_refused("/nonexistent", ENOENT, "No such file");
	expect_refused("/dev/null", EINVAL, "tar");
	snprintf(path, sizeof(path), "%s/empty", dir);
	mkdir(path, 0755);
	expect_refused(path, EINVAL, "empty");
}

Test(lib_image, a_truncated_archive_is_refused)
{
	cr_assert_eq(
		sh("head -c 7000 /dev/urandom >%s/bin/big; tar --force-local -C %s/bin -cf %s big; "
		   "truncate -s 5000 %s",
		   src, src, tar, tar),
		0);
	expect_refused(tar, EINVAL, "Unexpected EOF");
}

Test(lib_image, an_archive_that_reaches_out_is_refused)
{
	char victim[200];

	snprintf(victim, sizeof(victim), "%s/victim", images);
	cr_assert_eq(sh("cd %s && mkdir d && touch d/f victim && tar --force-local -P -cf %s -C d "
			"../victim",
			dir, tar),
		     0);
	expect_refused(tar, EINVAL, "..");
	cr_expect_neq(access(victim, F_OK), 0);
}

Test(lib_image, a_link_out_of_the_root_is_not_followed)
{
	cr_assert_eq(
		sh("cd %s && mkdir out p q && ln -s %s/out p/l && mkdir q/l && echo hi >q/l/f && "
		   "tar --force-local -cf %s -C p l && tar --force-local -rf %s -C q l/f",
		   dir, dir, tar, tar),
		0);
	(void)conker_image_import("x", tar, NULL);
	char path[200];
	snprintf(path, sizeof(path), "%s/out/f", dir);
	cr_expect_neq(access(path, F_OK), 0, "the archive wrote outside of its root");
}

Test(lib_image, impossible_names_are_refused)
{
	cr_expect_eq(conker_image_import("../x", src, NULL), -EINVAL);
	cr_expect_eq(conker_image_import("", src, NULL), -EINVAL);
	cr_expect_eq(conker_image_import(NULL, src, NULL), -EINVAL);
	cr_expect_eq(conker_image_remove("../x"), -EINVAL);
}

Test(lib_image, an_old_image_stays_until_the_new_is_whole)
{
	expect_imported(src);
	cr_expect_eq(conker_image_import("x", "/dev/null", NULL), -EINVAL);
	cr_expect(is_whole("x"));
	cr_expect_eq(entries(), 1);
}

static int collect(const conker_image *i, void *user)
{
	cr_expect_geq(i->bytes, 4096);
	cr_expect_gt(i->created_s, 1600000000);
	snprintf((char *)user + strlen(user), 100 - strlen(user), "%s ", i->name);
	return 0;
}

Test(lib_image, list_and_remove)
{
	char all[200] = "";

	cr_assert_eq(conker_image_import("zz", src, NULL), 0);
	cr_assert_eq(conker_image_import("aa", src, NULL), 0);
	cr_expect_eq(conker_image_list(collect, all), 0);
	cr_expect_str_eq(all, "base aa zz ");
	cr_expect_eq(conker_image_remove("aa"), 0);
	cr_expect_eq(conker_image_remove("aa"), -ENOENT);
	*all = 0;
	cr_expect_eq(conker_image_list(collect, all), 0);
	cr_expect_str_eq(all, "base zz ");
}

Test(lib_image, a_full_disk_leaves_nothing)
{
	mkdir(images, 0755);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", images, "tmpfs", 0, "size=256k") < 0)
		cr_skip_test("no right to mount a small file system");
	cr_assert_eq(
		sh("head -c 1000000 /dev/urandom >%s/bin/big; tar --force-local -C %s -cf %s .",
		   src, src, tar),
		0);
	expect_refused(tar, ENOSPC, "");
	expect_refused(src, ENOSPC, "");
	int fd = open(tar, O_RDONLY), old = fcntl(0, F_DUPFD_CLOEXEC, 3);
	dup2(fd, 0);
	expect_refused("-", ENOSPC, "No space left");
	dup2(old, 0);
	sh("rm %s/bin/big", src);
	expect_imported(src);
	umount2(images, MNT_DETACH);
}

static void on_alarm(int signo)
{
	(void)signo;
}

Test(lib_image, an_interrupted_import_leaves_nothing)
{
	char path[200];

	/* An archive without end: tar waits for more. */
	snprintf(path, sizeof(path), "%s/fifo", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	int hold = open(path, O_RDWR);
	signal(SIGALRM, on_alarm);
	ualarm(100000, 100000); /* the first may come before it sleeps */
	expect_refused(path, EINTR, "interrupted");
	close(hold);
}

Test(lib_image, what_a_killed_import_left_is_swept)
{
	char path[200], all[100] = "";

	snprintf(path, sizeof(path), "%s/fifo", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	int hold = open(path, O_RDWR);
	pid_t pid = fork();
	if (pid == 0) {
		conker_image_import("x", path, NULL);
		_exit(0);
	}
	for (int i = 0; i < 2000 && entries() == 0; i++)
		usleep(10000);
	cr_expect_eq(entries(), 1, "it is at work");
	cr_expect_eq(conker_image_list(collect, all), 0);
	cr_expect_eq(entries(), 1, "not swept while it works");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 2000 && entries() > 0; i++) {
		usleep(10000);
		cr_expect_eq(conker_image_list(collect, all), 0);
		*all = 0;
	}
	cr_expect_eq(entries(), 0);
	close(hold);
}

Test(lib_image, trees_of_any_depth_and_mode_are_removed)
{
	cr_assert_eq(sh("mkdir -p %s && cd %s && mkdir t && cd t && for i in $(seq 1200); do mkdir "
			"d && touch f && cd d || exit 1; "
			"done",
			images, images),
		     0);
	sh("cd %s/t; mkdir r; touch r/f; chmod 555 r", images);
	int fd = open(images, O_RDONLY | O_DIRECTORY);
	cr_expect_eq(tree_remove(fd, "t"), 0);
	cr_expect_eq(entries(), 0);
	close(fd);
}

Test(lib_image, a_missing_tool_names_its_package)
{
	static const char *const argv[] = {"mkfs.nonsense", NULL};
	struct err e = {0};

	cr_expect_eq(tool_run(argv, -1, &e), -ENOENT);
	cr_expect(strstr(e.msg, "is not installed; install the package"));
	cr_expect_str_eq(tool_package("mkfs.erofs"), "erofs-utils");
}
