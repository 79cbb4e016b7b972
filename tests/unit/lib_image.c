/* SPDX-License-Identifier: Apache-2.0 */
/* lib_image.c - images through the real conker-image: what becomes one, what does not, and what is left behind. */
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
#include <time.h>
#include <unistd.h>

#include "lib/conker.h"
#include "lib/host/host.h"
#include "tests/lib/fakeinit.h"
#include "tests/lib/fakestore.h"

static char dir[128], images[128], src[160], tar[160];

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
	snprintf(images, sizeof(images), "%s", fakestore_use());
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(images, '/') - images), images);
	snprintf(src, sizeof(src), "%s/src", dir);
	snprintf(tar, sizeof(tar), "%s/a:b.tar", dir);
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

/* Directories of who works. */
static int works(void)
{
	DIR *d = opendir(images);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		n += strncmp(de->d_name, ".work", 5) == 0;
	if (d)
		closedir(d);
	return n;
}

static int images_and_layers(void)
{
	return max_(fakestore_count("made"), 0) + max_(fakestore_count("layers"), 0);
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
	cr_expect_eq(works(), 0);
	cr_expect_eq(images_and_layers(), 3);
}

static void expect_refused(const char *path, int error, const char *says)
{
	cr_expect_eq(conker_image_import("x", path, NULL), -error, "%s", conker_errmsg());
	cr_expect(strstr(conker_errmsg(), says), "%s", conker_errmsg());
	cr_expect_null(strchr(conker_errmsg(), '\n'));
	cr_expect_eq(works() + images_and_layers(), 0, "%s leaves something", path);
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

	cr_assert_eq(sh("gzip -k %s; zstd -q -k %s; xz -k %s", tar, tar, tar), 0);
	snprintf(path, sizeof(path), "%s.gz", tar);
	expect_imported(path);
	snprintf(path, sizeof(path), "%s.zst", tar);
	expect_imported(path);
	conker_image_remove("x");
	snprintf(path, sizeof(path), "%s.xz", tar);
	expect_refused(path, EOPNOTSUPP, "xz -dc");
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

/* What a tool says of a file of the image, as one line of the disk. */
static void show(const char *name, const char *file, char *ret, size_t size)
{
	char path[300];

	cr_assert_eq(sh("cd %s; id=$(readlink names/%s); id=${id##*/}; cat made/$id/meta.erofs "
			"$(sed -n 's|^data=[0-9]* \\(.*\\)|layers/\\1.data|p' made/$id/manifest) "
			">../disk; "
			"cd ..; fsck.erofs disk >/dev/null && dump.erofs --path=%s disk 2>&1 | tr "
			"'\\n' ' ' >shown",
			images, name, file),
		     0);
	snprintf(path, sizeof(path), "%s/shown", dir);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, ret, size - 1);
	close(fd);
	ret[n > 0 ? n : 0] = 0;
}

Test(lib_image, owners_and_modes_of_an_archive_survive)
{
	char shown[2000];

	cr_assert_eq(sh("cd %s; mkdir o; touch o/f; chmod 711 o/f; tar --force-local --owner=12:12 "
			"--group=34:34 -cf %s -C o .",
			dir, tar),
		     0);
	expect_imported(tar);
	show("x", "/f", shown, sizeof(shown));
	cr_expect(strstr(shown, "Uid: 12 "), "%s", shown);
	cr_expect(strstr(shown, "Gid: 34 "), "%s", shown);
}

Test(lib_image, a_directory_keeps_what_it_has)
{
	char shown[2000];

	cr_assert_eq(
		sh("cd %s; ln bin/run bin/hard; chmod 750 bin/run; truncate -s 1M sparse; "
		   "setfattr -n user.x -v y bin/run; touch -d @1000000000 bin/run; mkfifo pipe",
		   src),
		0);
	expect_imported(src);
	show("x", "/bin/run", shown, sizeof(shown));
	cr_expect(strstr(shown, "Links: 2"), "%s", shown);
	cr_expect(strstr(shown, "0750"), "%s", shown);
	cr_expect(strstr(shown, "2001-09-09"), "%s", shown);
	cr_expect_null(strstr(shown, "Xattr size: 0"), "%s", shown);
	show("x", "/pipe", shown, sizeof(shown));
	cr_expect(strstr(shown, "FIFO"), "%s", shown);
	show("x", "/sparse", shown, sizeof(shown));
	cr_expect(strstr(shown, "Size: 1048576"), "%s", shown);
}

Test(lib_image, what_is_no_archive_is_refused)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/text", dir);
	sh("yes hello | head -1000 >%s", path);
	expect_refused(path, EINVAL, "not a tar archive");
	expect_refused("/nonexistent", ENOENT, "No such file");
	expect_refused("/dev/null", EINVAL, "neither a directory nor an archive");
	snprintf(path, sizeof(path), "%s/empty", dir);
	mkdir(path, 0755);
	expect_refused(path, EINVAL, "empty");
	cr_assert_eq(sh("tar --force-local -cf %s -T /dev/null", tar), 0);
	expect_refused(tar, EINVAL, "no file");
}

Test(lib_image, a_truncated_archive_is_refused)
{
	cr_assert_eq(
		sh("head -c 7000 /dev/urandom >%s/bin/big; tar --force-local -C %s/bin -cf %s big; "
		   "truncate -s 5000 %s",
		   src, src, tar, tar),
		0);
	expect_refused(tar, EINVAL, "truncated");
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
	cr_expect_eq(conker_image_import("a/b", src, NULL), -EINVAL);
}

Test(lib_image, an_old_image_stays_until_the_new_is_whole)
{
	expect_imported(src);
	cr_expect_eq(conker_image_import("x", "/dev/null", NULL), -EINVAL);
	cr_expect(is_whole("x"));
	cr_expect_eq(works(), 0);
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
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", images, "tmpfs", 0, "size=256k") < 0)
		cr_skip_test("no right to mount a small file system");
	cr_assert_eq(
		sh("head -c 1000000 /dev/urandom >%s/bin/big; tar --force-local -C %s -cf %s .",
		   src, src, tar),
		0);
	expect_refused(tar, ENOSPC, "");
	expect_refused(src, ENOSPC, "No space left");
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

	/* An archive without end: it waits for more. */
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
	for (int i = 0; i < 2000 && works() == 0; i++)
		usleep(10000);
	cr_expect_eq(works(), 1, "it is at work");
	cr_expect_eq(conker_image_list(collect, all), 0);
	cr_expect_eq(works(), 1, "not swept while it works");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 2000 && works() > 0; i++) {
		usleep(10000);
		cr_expect_eq(conker_image_list(collect, all), 0);
		*all = 0;
	}
	cr_expect_eq(works() + images_and_layers(), 0);
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
	cr_expect_eq(fakestore_count("."), 0);
	close(fd);
}

/* ---- what conker-image does ---------------------------------------------------------------------------- */

static int64_t milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct seen {
	int calls, stop_after;
	conker_image_progress last;
};

static int on_progress(const conker_image_progress *p, void *user)
{
	struct seen *s = user;

	s->last = *p;
	cr_expect_eq(conker_image_import("y", src, NULL), -EDEADLK, "inside a callback");
	return ++s->calls == s->stop_after;
}

static int import_told(struct seen *s)
{
	conker_image_opts o = {.size = sizeof(o), .progress = on_progress, .user = s};

	return conker_image_import("x", tar, &o);
}

Test(lib_image, progress_is_told_and_may_cancel)
{
	struct seen s = {0};

	fakestore_program("echo layer 2 3 10 20 >&6; sleep 0.5; echo EXDEV odd >&2; exit 1");
	cr_expect_eq(import_told(&s), -EIO);
	cr_expect(strstr(conker_errmsg(), "EXDEV odd"), "%s", conker_errmsg());
	cr_expect_geq(s.calls, 3);
	cr_expect_eq(s.last.step, CONKER_IMAGE_UNPACK);
	cr_expect_eq(s.last.layer, 2);
	cr_expect_eq(s.last.layers, 3);
	cr_expect_eq(s.last.done_bytes, 10);
	cr_expect_eq(s.last.total_bytes, 20);
	cr_expect_str_eq(s.last.name, "x");

	fakestore_program("trap '' TERM INT; while :; do sleep 1; done");
	s = (struct seen){.stop_after = 3};
	int64_t from = milliseconds();
	cr_expect_eq(import_told(&s), -ECANCELED);
	cr_expect_lt(milliseconds() - from, 1500);
	cr_expect_eq(works() + images_and_layers(), 0);
}

Test(lib_image, what_it_says_is_not_trusted)
{
	static const struct {
		const char *script;
		int error;
		const char *says;
	} cases[] = {
		{"echo hello >&6; sleep 9", EPROTO, "progress"},
		{"echo layer 3 2 1 1 >&6; sleep 9", EPROTO, "progress"},
		{"head -c 1000 /dev/zero >&6; sleep 9", EPROTO, "progress"},
		{"yes | head -c 1000 | tr -d '\\n' >&6; sleep 9", EPROTO, "progress"},
		{"echo ENOSPC the disk is full >&2; exit 1", ENOSPC, "the disk is full"},
		{"printf 'EINVAL \\033[2Jx\\n' >&2; exit 1", EINVAL, "?[2Jx"},
		{"exit 3", EIO, "status 3"},
		{"kill -9 $$", EIO, "signal 9"},
		{"exit 0", ENOENT, "manifest"},
		{"echo conker-image 9 >/proc/self/fd/3/manifest", EPROTONOSUPPORT, "format 9"},
		{"ln -s /etc/passwd /proc/self/fd/3/manifest", ELOOP, "manifest"},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		int64_t from = milliseconds();

		fakestore_program(cases[i].script);
		expect_refused(tar, cases[i].error, cases[i].says);
		cr_expect_lt(milliseconds() - from, 5000, "%s", cases[i].script);
	}
	setenv("CONKER_IMAGE_PROGRAM", "/nonexistent/conker-image", 1);
	expect_refused(tar, ENOENT, "build or install it");
}

Test(lib_image, of_a_disk_that_fills_up_nothing_stays)
{
	fakestore_program("cd /proc/self/fd/3; echo x >half; echo 'ENOSPC no room' >&2; exit 1");
	expect_refused(tar, ENOSPC, "no room");
}

Test(lib_image, what_can_be_pulled_is_said_by_resolve)
{
	char full[256];

	cr_expect_eq(conker_image_import("mine", src, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_image_resolve("mine", full), 1);
	cr_expect_str_eq(full, "mine");
	cr_expect_eq(conker_image_resolve("base", full), 1);
	cr_expect_eq(conker_image_resolve("python:3.12", full), 0);
	cr_expect_str_eq(full, "docker.io/library/python:3.12");
	cr_expect_eq(conker_image_resolve("python", full), 0);
	cr_expect_str_eq(full, "docker.io/library/python:latest");
	cr_expect_eq(conker_image_resolve("a b", full), -EINVAL);
	cr_expect_eq(conker_image_resolve("Mine", full), -ENOENT, "no repository has upper case");
}
