/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the files of a box (conker.h), with the real program for them on files of this machine, and with one
 * gone bad; see tests/lib/fakefiles.h. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/lib/files_fixture.h"
#include "util/tar.h"

/* The box's side is below in/, ours in out/. */
static char dir_source[300];

static int sh(const char *command)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		if (chdir(dir) == 0)
			execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void files_up(void)
{
	set_up();
	cr_assert_eq(sh("mkdir in out"), 0);
}

static void files_down(void)
{
	(void)sh("chmod -R u+rwx .");
	tear_down();
}

TestSuite(lib_files, .init = files_up, .fini = files_down, .timeout = 120);

static int put_file(const char *name, const void *data, size_t len)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t n = write(fd, data, len);

	return close(fd) == 0 && n == (ssize_t)len ? 0 : -1;
}

/* ---- single files ---- */

Test(lib_files, what_is_written_is_read)
{
	static char data[300000];
	char *got;
	size_t len;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	cr_assert_eq(conker_file_write(box, at("in/f"), NULL, data, sizeof(data), 0640), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(sh("test $(stat -c %a in/f) = 640"), 0);
	cr_assert_eq(conker_file_read(box, at("in/f"), NULL, 0, &got, &len), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(len, sizeof(data));
	cr_expect_eq(memcmp(got, data, len), 0);
	cr_expect_eq(got[len], 0, "a NUL after the end");
	free(got);
}

Test(lib_files, an_empty_file_is_a_file)
{
	char *got;
	size_t len = 1;

	cr_assert_eq(conker_file_write(box, at("in/f"), NULL, NULL, 0, 0), 0);
	cr_assert_eq(conker_file_read(box, at("in/f"), NULL, 0, &got, &len), 0);
	cr_expect_eq(len, 0);
	free(got);
}

Test(lib_files, reading_has_a_limit)
{
	char *got = NULL;
	size_t len;

	cr_assert_eq(put_file("in/f", "0123456789", 10), 0);
	cr_expect_eq(conker_file_read(box, at("in/f"), NULL, 9, &got, &len), -EFBIG);
	cr_assert_eq(conker_file_read(box, at("in/f"), NULL, 10, &got, &len), 0);
	cr_expect_eq(len, 10);
	free(got);
	/* a guest that sends more than it was asked for */
	char path[600];
	(void)snprintf(path, sizeof(path), "/fake/say/0%s", at("in/f"));
	got = NULL;
	cr_expect_eq(conker_file_read(box, path, NULL, 9, &got, &len), -EFBIG);
	cr_expect_null(got);
}

Test(lib_files, replacing_keeps_the_mode_and_is_at_once)
{
	cr_assert_eq(sh("echo old >in/f; chmod 600 in/f; ln -s f in/link"), 0);
	cr_expect_eq(conker_file_write(box, at("in/f"), NULL, "new", 3, 0), 0);
	cr_expect_eq(sh("test $(stat -c %a in/f) = 600 && test $(cat in/f) = new"), 0);
	cr_expect_eq(conker_file_write(box, at("in/link"), NULL, "two", 3, 0), 0);
	cr_expect_eq(sh("test -L in/link && test $(cat in/f) = two"), 0, "through a link");
	cr_expect_eq(sh("test \"$(ls -A in | tr '\\n' ' ')\" = 'f link '"), 0, "nothing else");
	cr_expect_eq(conker_file_write(box, at("in"), NULL, "x", 1, 0), -EISDIR);
}

Test(lib_files, errors_are_the_kernels_and_name_the_path)
{
	char *got;
	size_t len;

	cr_expect_eq(conker_file_read(box, at("in/gone"), NULL, 0, &got, &len), -ENOENT);
	cr_expect_not_null(strstr(conker_errmsg(), "in/gone"));
	cr_expect_eq(conker_file_read(box, at("in"), NULL, 0, &got, &len), -EISDIR);
	cr_expect_eq(conker_file_mkdir(box, at("in"), NULL, 0, 0), -EEXIST);
	cr_expect_eq(conker_file_remove(box, at("in/gone"), NULL, 0), -ENOENT);
	cr_expect_eq(conker_errkind(), CONKER_ERR_CALL);
	cr_expect_eq(conker_file_rename(box, at("in/gone"), at("in/x"), NULL), -ENOENT);
}

Test(lib_files, wrong_use_is_refused)
{
	conker_copy_opts o = {.size = sizeof(o), .flags = 1u << 31};
	char *got;
	size_t len;

	cr_expect_eq(conker_file_read(box, "relative", NULL, 0, &got, &len), -EINVAL);
	cr_expect_eq(conker_file_read(box, NULL, NULL, 0, &got, &len), -EINVAL);
	cr_expect_eq(conker_file_read(NULL, "/f", NULL, 0, &got, &len), -EINVAL);
	cr_expect_eq(conker_file_write(box, "/f", NULL, NULL, 1, 0), -EINVAL);
	cr_expect_eq(conker_file_write(box, "/f", NULL, "x", 1, 010000), -EINVAL);
	cr_expect_eq(conker_file_remove(box, "/f", NULL, 2), -EINVAL);
	cr_expect_eq(conker_file_rename(box, "/f", "relative", NULL), -EINVAL);
	cr_expect_eq(conker_file_list(box, "/", NULL, NULL, NULL), -EINVAL);
	cr_expect_eq(conker_copy_in(box, "/etc/passwd", "/x", &o), -EINVAL);
	cr_expect_eq(conker_copy_in(box, NULL, "/x", NULL), -EINVAL);
	cr_expect_eq(conker_copy_out(box, "/x", NULL, NULL), -EINVAL);
}

/* ---- lists ---- */

struct names {
	int n, stop_at;
	char all[4096];
};

static int on_name(const conker_file_info *f, void *data)
{
	struct names *t = data;
	size_t len = strlen(t->all);

	(void)snprintf(t->all + len, sizeof(t->all) - len, "%s:%o:%llu:%s ", f->name, f->mode,
		       (unsigned long long)(S_ISREG(f->mode) ? f->bytes : 0), f->target);
	return ++t->n == t->stop_at ? 77 : 0;
}

Test(lib_files, stat_does_not_follow)
{
	conker_file_info *f = NULL, *none = NULL;

	cr_assert_eq(sh("ln -s target in/link"), 0);
	cr_assert_eq(conker_file_stat(box, at("in/link"), NULL, &f), 0);
	cr_expect_str_eq(f->name, at("in/link"));
	cr_expect_str_eq(f->target, "target");
	cr_expect_eq(f->mode, S_IFLNK | 0777);
	cr_expect_null(conker_file_info_free(f));
	cr_expect_null(conker_file_info_free(NULL));
	cr_expect_eq(conker_file_stat(box, at("in/nothing"), NULL, &none), -ENOENT);
	cr_expect_eq(conker_file_stat(box, at("in/link"), NULL, NULL), -EINVAL);
	cr_expect_null(none);
}

Test(lib_files, list_tells_all_names)
{
	struct names t = {0};

	cr_assert_eq(
		sh("cd in && printf abc >a && mkdir d && for i in $(seq 600); do : >n$i; done"), 0);
	cr_expect_eq(conker_file_list(box, at("in"), NULL, on_name, &t), 0, "%s", conker_errmsg());
	cr_expect_eq(t.n, 602);

	t = (struct names){.stop_at = 3};
	cr_expect_eq(conker_file_list(box, at("in"), NULL, on_name, &t), 77, "fn stops it");
	cr_expect_eq(t.n, 3);
}

Test(lib_files, a_program_gone_bad_sends_no_records)
{
	static const char *const junk[] = {"", "x", "\x40", "\xff\xff\xff\xff",
					   "0123456789012345678901234567890"};
	static const int want[] = {0, -EPROTO, -EPROTO, -EPROTO, -EPROTO};
	struct names t = {0};
	conker_file_info *f = NULL;
	char path[600];

	for (size_t i = 0; i < countof(junk); i++) {
		cr_assert_eq(put_file("in/junk", junk[i], strlen(junk[i])), 0);
		(void)snprintf(path, sizeof(path), "/fake/say/0%s", at("in/junk"));
		cr_expect_eq(conker_file_list(box, path, NULL, on_name, &t), want[i], "case %zu",
			     i);
		cr_expect_eq(conker_file_stat(box, path, NULL, &f), -EPROTO, "case %zu", i);
	}
	cr_expect_eq(t.n, 0);
	cr_expect_null(f);
}

Test(lib_files, complaints_are_one_clean_line)
{
	struct names t = {0};

	cr_expect_eq(
		conker_file_list(box, "/fake/complain/13/no\x1b[31m way\nmore", NULL, on_name, &t),
		-EACCES);
	cr_expect_str_eq(conker_errmsg(), "no?[31m way");
	cr_expect_eq(conker_file_list(box, "/fake/complain/13/", NULL, on_name, &t), -EACCES);
	cr_expect_str_eq(conker_errmsg(), strerror(EACCES));
	cr_expect_eq(conker_file_list(box, "/fake/kill/9", NULL, on_name, &t), -EIO);
}

Test(lib_files, names_are_made_moved_and_removed)
{
	cr_expect_eq(conker_file_mkdir(box, at("in/a/b/c"), NULL, 0700, 0), -ENOENT);
	cr_expect_eq(conker_file_mkdir(box, at("in/a/b/c"), NULL, 0700, CONKER_FILE_RECURSIVE), 0);
	cr_expect_eq(conker_file_mkdir(box, at("in/a/b/c"), NULL, 0, CONKER_FILE_RECURSIVE), 0);
	cr_expect_eq(sh("test $(stat -c %a in/a/b/c) = 700"), 0);
	cr_expect_eq(conker_file_rename(box, at("in/a/b"), at("in/moved"), NULL), 0);
	cr_expect_eq(conker_file_remove(box, at("in/moved"), NULL, 0), -ENOTEMPTY);
	cr_expect_eq(sh("ln -s ../../out in/moved/c/link; echo x >out/stays"), 0);
	cr_expect_eq(conker_file_remove(box, at("in/moved"), NULL, CONKER_FILE_RECURSIVE), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(sh("test ! -e in/moved -a -f out/stays"), 0, "links are not followed");
	cr_expect_eq(conker_file_remove(box, "/", NULL, CONKER_FILE_RECURSIVE), -EINVAL);
}

Test(lib_files, removing_has_no_depth)
{
	cr_assert_eq(sh("cd in && mkdir deep && cd deep && for i in $(seq 900); do "
			"mkdir ddd && cd ddd || exit 1; done"),
		     0);
	cr_expect_eq(conker_file_remove(box, at("in/deep"), NULL, CONKER_FILE_RECURSIVE), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(sh("test ! -e in/deep"), 0);
}

/* ---- copies ---- */

static void make_source(const char *where)
{
	char command[1024];

	(void)snprintf(
		command, sizeof(command),
		"cd %s && mkdir -p src/d/e && cd src && echo hi >a && ln a d/hard && ln -s ../x "
		"sym && "
		"mkfifo fifo && truncate -s 5M sparse && head -c 200000 /dev/urandom >random && "
		"chmod 755 a && chmod 1770 d/e && touch -d @1234567890.5 a d",
		where);
	cr_assert_eq(sh(command), 0);
}

#define LISTING "find . -printf '%%P %%y %%m %%s %%T@ %%n %%l\\n' | sort"

static int same(const char *a, const char *b)
{
	char command[1024];

	(void)snprintf(command, sizeof(command),
		       "(cd %s && " LISTING ") >1; (cd %s && " LISTING ") >2; cmp 1 2 && "
		       "diff -r --no-dereference -x fifo %s %s",
		       a, b, a, b);
	return sh(command) == 0;
}

Test(lib_files, a_tree_goes_in_and_comes_out_the_same)
{
	make_source("out");
	cr_assert_eq(conker_copy_in(box, at("out/src"), at("in"), NULL), 0, "%s", conker_errmsg());
	cr_expect(same("out/src", "in/src"), "an existing directory takes it in");
	cr_assert_eq(conker_copy_in(box, at("out/src"), at("in/new"), NULL), 0, "%s",
		     conker_errmsg());
	cr_expect(same("out/src", "in/new"), "a new name is the copy's");
	cr_assert_eq(conker_copy_out(box, at("in/src"), at("out/back"), NULL), 0, "%s",
		     conker_errmsg());
	cr_expect(same("out/src", "out/back"));
	cr_assert_eq(sh("mkdir out/there"), 0);
	cr_assert_eq(conker_copy_out(box, at("in/src/"), at("out/there"), NULL), 0);
	cr_expect(same("out/src", "out/there/src"));
	cr_assert_eq(conker_copy_out(box, at("in/src/."), at("out/there"), NULL), 0);
	cr_expect_eq(sh("test -f out/there/a"), 0, "a dot stands for the contents");
}

Test(lib_files, a_file_goes_in_and_comes_out)
{
	cr_assert_eq(put_file("out/f", "hello", 5), 0);
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in"), NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/g"), NULL), 0);
	cr_expect_eq(conker_copy_out(box, at("in/g"), at("out/h"), NULL), 0);
	cr_expect_eq(sh("cmp out/f in/f && cmp out/f in/g && cmp out/f out/h"), 0);
	cr_expect_eq(conker_copy_in(box, at("out/gone"), at("in"), NULL), -ENOENT);
	cr_expect_eq(conker_copy_out(box, at("in/gone"), at("out"), NULL), -ENOENT);
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/no/such"), NULL), -ENOENT);
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/no/such"), NULL), -ENOENT);
}

Test(lib_files, a_link_that_was_named_is_followed)
{
	cr_assert_eq(
		sh("echo x >out/f; echo old >in/real; ln -s real in/l; ln -s gone in/dangling;"
		   "echo y >in/f; echo old >out/real; ln -s real out/l; ln -s gone out/dangling;"
		   "mkdir out/d; ln -s ../real out/d/f"),
		0);
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/l"), NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(sh("test -L in/l && test \"$(cat in/real)\" = x"), 0);
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/l"), NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(sh("test -L out/l && test \"$(cat out/real)\" = y"), 0);
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/dangling"), NULL), -ENOENT);
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/dangling"), NULL), -ENOENT);
	cr_expect_eq(conker_file_write(box, at("in/dangling"), NULL, "z", 1, 0), -ENOENT);
	cr_expect_eq(sh("test -L in/dangling && test -L out/dangling && test ! -e out/gone"), 0);
	/* Not one that is in a directory which was named. */
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/d"), NULL), 0);
	cr_expect_eq(sh("test ! -L out/d/f && test \"$(cat out/d/f out/real)\" = 'y\ny'"), 0);
}

/* Reads a FIFO to its end, slowly. */
static void *read_fifo(void *path)
{
	static char got[400000];
	size_t len = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while ((n = read(fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = 0;
	close(fd);
	return got;
}

Test(lib_files, a_fifo_or_device_is_written_into)
{
	const conker_copy_opts no_clobber = {.size = sizeof(no_clobber),
					     .flags = CONKER_COPY_NO_CLOBBER};
	char fifo[512];
	pthread_t t;
	void *got;

	cr_assert_eq(
		sh("mkfifo out/p in/p; ln -s p out/l; ln -s p in/l; echo x >in/f; "
		   "printf ab >out/sparse; truncate -s 300000 out/sparse; printf c >>out/sparse"),
		0);
	(void)snprintf(fifo, sizeof(fifo), "%s", at("out/p"));
	pthread_create(&t, NULL, read_fifo, fifo);
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/l"), NULL), 0, "%s", conker_errmsg());
	pthread_join(t, &got);
	cr_expect_str_eq(got, "x\n");

	(void)snprintf(fifo, sizeof(fifo), "%s", at("in/p"));
	pthread_create(&t, NULL, read_fifo, fifo);
	cr_expect_eq(conker_copy_in(box, at("out/sparse"), at("in/l"), NULL), 0, "%s",
		     conker_errmsg());
	pthread_join(t, &got);
	cr_expect(memcmp(got, "ab\0", 3) == 0 && strcmp((char *)got + 300000, "c") == 0,
		  "holes are zeros");

	pthread_create(&t, NULL, read_fifo, fifo);
	cr_expect_eq(conker_file_write(box, at("in/l"), NULL, "small", 5, 0600), 0, "%s",
		     conker_errmsg());
	pthread_join(t, &got);
	cr_expect_str_eq(got, "small");

	cr_expect_eq(conker_copy_in(box, at("out/sparse"), at("in/p"), &no_clobber), -EEXIST);
	cr_expect_eq(conker_copy_out(box, at("in/f"), at("out/p"), &no_clobber), -EEXIST);
	cr_expect_eq(sh("test -p in/p && test -p out/p && test -L in/l && test -L out/l"), 0);
}

Test(lib_files, nothing_but_a_file_goes_into_a_fifo)
{
	char fifo[512];
	pthread_t t;
	void *got;

	cr_assert_eq(sh("mkfifo out/p in/p; mkdir in/d out/d"), 0);
	(void)snprintf(fifo, sizeof(fifo), "%s", at("out/p"));
	pthread_create(&t, NULL, read_fifo, fifo);
	cr_expect_eq(conker_copy_out(box, at("in/d"), at("out/p"), NULL), -EISDIR);
	pthread_join(t, &got);
	cr_expect_str_eq(got, "");
	(void)snprintf(fifo, sizeof(fifo), "%s", at("in/p"));
	pthread_create(&t, NULL, read_fifo, fifo);
	cr_expect_eq(conker_copy_in(box, at("out/d"), at("in/p"), NULL), -EINVAL);
	cr_expect_not_null(strstr(conker_errmsg(), "single file"), "%s", conker_errmsg());
	pthread_join(t, &got);
	cr_expect_str_eq(got, "");
}

Test(lib_files, flags_of_a_copy)
{
	conker_copy_opts o = {.size = sizeof(o), .flags = CONKER_COPY_PARENTS};

	cr_assert_eq(put_file("out/f", "hello", 5), 0);
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/a/b/c"), &o), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(conker_copy_out(box, at("in/a/b/c"), at("out/x/y"), &o), 0, "%s",
		     conker_errmsg());
	o.flags = CONKER_COPY_NO_CLOBBER;
	cr_expect_eq(conker_copy_in(box, at("out/f"), at("in/a/b/c"), &o), -EEXIST);
	cr_expect_eq(conker_copy_out(box, at("in/a/b/c"), at("out/f"), &o), -EEXIST);
	cr_assert_eq(sh("ln -s f out/link"), 0);
	o.flags = CONKER_COPY_FOLLOW;
	cr_expect_eq(conker_copy_in(box, at("out/link"), at("in"), &o), 0);
	cr_expect_eq(sh("test -f in/link -a ! -L in/link"), 0);
	o.flags = 0;
	cr_expect_eq(conker_copy_in(box, at("out/link"), at("in"), &o), 0);
	cr_expect_eq(sh("test -L in/link"), 0);
}

static void count_progress(uint64_t bytes, const char *path, void *data)
{
	uint64_t *last = data;

	cr_expect_geq(bytes, *last);
	cr_expect_not_null(path);
	*last = bytes;
}

Test(lib_files, progress_counts_the_bytes)
{
	uint64_t last = 0;
	conker_copy_opts o = {
		.size = sizeof(o), .progress = count_progress, .progress_data = &last};

	make_source("out");
	cr_expect_eq(conker_copy_in(box, at("out/src"), at("in"), &o), 0);
	cr_expect_eq(last, 200003);
	last = 0;
	cr_expect_eq(conker_copy_out(box, at("in/src"), at("out/back"), &o), 0);
	cr_expect_eq(last, 200003);
}

Test(lib_files, what_cannot_be_copied_is_told_and_the_rest_is_there)
{
	make_source("in");
	cr_assert_eq(mknod(at("in/src/sock"), S_IFSOCK | 0600, 0), 0);
	cr_expect_eq(conker_copy_out(box, at("in/src"), at("out/back"), NULL), -EOPNOTSUPP);
	cr_expect_not_null(strstr(conker_errmsg(), "sock"));
	cr_expect_eq(sh("cmp in/src/random out/back/random"), 0);
	cr_expect(same("in/src/d", "out/back/d"), "also the times of directories");
}

/* ---- archives ---- */

Test(lib_files, tar_in_and_out)
{
	make_source("out");
	cr_assert_eq(sh("cd out && tar --format=pax -S -cf src.tar src"), 0);
	int fd = open(at("out/src.tar"), O_RDONLY | O_CLOEXEC);
	cr_expect_eq(conker_tar_in(box, fd, at("in"), NULL), 0, "%s", conker_errmsg());
	close(fd);
	cr_expect(same("out/src", "in/src"));
	fd = open(at("out/back.tar"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_expect_eq(conker_tar_out(box, at("in/src"), fd, NULL), 0, "%s", conker_errmsg());
	close(fd);
	cr_assert_eq(sh("mkdir out/back && tar -xpSf out/back.tar -C out/back"), 0);
	cr_expect(same("out/src", "out/back/src"));
}

Test(lib_files, an_archive_that_is_cut_is_an_error)
{
	make_source("out");
	cr_assert_eq(sh("cd out && tar -cf src.tar src && truncate -s 100000 src.tar"), 0);
	int fd = open(at("out/src.tar"), O_RDONLY | O_CLOEXEC);
	cr_expect_eq(conker_tar_in(box, fd, at("in"), NULL), -EINVAL);
	close(fd);
}

Test(lib_files, a_reader_that_goes_away_is_an_error_and_no_signal)
{
	int p[2];

	make_source("in");
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	close(p[0]);
	cr_expect_eq(conker_tar_out(box, at("in/src"), p[1], NULL), -EPIPE);
	close(p[1]);
}

/* Returns the bytes fed. */
static void *feed(void *arg)
{
	int fd = *(int *)arg, from = open(at("out/src.tar"), O_RDONLY | O_CLOEXEC);
	char buf[10000];
	intptr_t fed = 0;
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		usleep(1000);
		if (write(fd, buf, (size_t)n) != n)
			break;
		fed += n;
	}
	close(from);
	close(fd);
	return (void *)fed;
}

Test(lib_files, a_slow_writer_keeps_nobody_waiting)
{
	int p[2];
	pthread_t t;
	void *fed;

	make_source("out");
	cr_assert_eq(sh("cd out && tar --format=pax -S -cf src.tar src"), 0);
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	signal(SIGPIPE, SIG_IGN); /* a reader that leaves early ends the writer too */
	cr_assert_eq(pthread_create(&t, NULL, feed, &p[1]), 0);
	cr_expect_eq(conker_tar_in(box, p[0], at("in"), NULL), 0, "%s", conker_errmsg());
	close(p[0]);
	pthread_join(t, &fed);
	cr_expect_geq((intptr_t)fed, 200000);
	cr_expect(same("out/src", "in/src"));
}

Test(lib_files, waiting_for_an_archive_ends_with_the_box)
{
	int p[2];
	conker_exec_opts o = {.size = sizeof(o), .argv = (const char *const[]){"panic", NULL}};
	conker_exec *e;

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(conker_exec_start(box, &o, (conker_exec_cb){0}, &e), 0);
	cr_expect_lt(conker_tar_in(box, p[0], at("in"), NULL), 0);
	cr_expect_eq(conker_errkind(), CONKER_ERR_BOX);
	cr_expect_lt(conker_file_remove(box, at("in"), NULL, 0), 0);
	cr_expect_eq(conker_errkind(), CONKER_ERR_BOX);
	conker_exec_free(e);
	close(p[0]);
	close(p[1]);
}

/* Returns what went wrong, or NULL. */
static void *copy_loop(void *arg)
{
	const char *name = arg;
	char in[300], out[300];
	int r = 0;

	(void)snprintf(in, sizeof(in), "%s/in/%s", dir, name);
	(void)snprintf(out, sizeof(out), "%s/out/back-%s", dir, name);
	for (int i = 0; i < 5 && r == 0; i++) {
		r = conker_copy_in(box, dir_source, in, NULL);
		if (r == 0)
			r = conker_copy_out(box, in, out, NULL);
	}
	return r < 0 ? strdup(conker_errmsg()) : NULL;
}

Test(lib_files, several_threads_may_copy_at_once)
{
	static char names[4][4] = {"a", "b", "c", "d"};
	pthread_t t[countof(names)];
	void *failed;

	make_source("out");
	cr_assert_eq(sh("rm out/src/sparse"), 0);
	(void)snprintf(dir_source, sizeof(dir_source), "%s/out/src/random", dir);
	for (size_t i = 0; i < countof(names); i++)
		pthread_create(&t[i], NULL, copy_loop, names[i]);
	for (size_t i = 0; i < countof(names); i++) {
		pthread_join(t[i], &failed);
		cr_expect_null(failed, "%s", (char *)failed);
		free(failed);
	}
	cr_expect_eq(sh("for i in a b c d; do cmp out/src/random out/back-$i || exit 1; done"), 0);
}

static void on_alarm(int signo)
{
	(void)signo;
}

Test(lib_files, a_signal_handler_interrupts_a_copy)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_value.tv_usec = 50000, .it_interval.tv_usec = 50000};
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	cr_expect_eq(conker_tar_in(box, p[0], at("in"), NULL), -EINTR);
	soon = (struct itimerval){0};
	setitimer(ITIMER_REAL, &soon, NULL);
	close(p[0]);
	close(p[1]);
	cr_expect_eq(conker_box_ping(box, 20000), 0, "the box is fine");
}

/* ---- hostile archives ---- */

static uint8_t archive[64 << 10];
static size_t archive_len;

static void add(enum tar_type type, const char *path, const char *link, const char *data)
{
	struct tar_entry *e = calloc(1, sizeof(*e));
	size_t len = strlen(data);

	e->type = type;
	e->mode = 06755;
	e->size = len;
	(void)snprintf(e->path, sizeof(e->path), "%s", path);
	(void)snprintf(e->link, sizeof(e->link), "%s", link);
	archive_len += tar_head(e, archive + archive_len);
	memcpy(archive + archive_len, data, len);
	memset(archive + archive_len + len, 0, tar_padding(len));
	archive_len += len + tar_padding(len);
	free(e);
}

/* As if it were what the box has at a path called victim. */
static int copy_archive_out(int code)
{
	char path[600];

	cr_assert_eq(put_file("in/victim", archive, archive_len), 0);
	(void)snprintf(path, sizeof(path), "/fake/say/%d%s", code, at("in/victim"));
	archive_len = 0;
	return conker_copy_out(box, path, at("out"), NULL);
}

static int only_victim(void)
{
	return sh("test \"$(ls -A out)\" = victim -o -z \"$(ls -A out)\" && "
		  "test \"$(ls -A | tr '\\n' ' ')\" = 'in out '") == 0;
}

Test(lib_files, a_box_writes_nowhere_but_below_the_name_asked_for)
{
	static const struct {
		const char *link, *path;
	} cases[] = {{"", "../evil"},
		     {"", "/tmp/conker-evil"},
		     {"../..", "l/evil"},
		     {"/tmp", "l/evil"},
		     {"", "../victim2"}};

	for (size_t i = 0; i < countof(cases); i++) {
		if (cases[i].link[0])
			add(TAR_SYMLINK, "l", cases[i].link, "");
		add(TAR_FILE, cases[i].path, "", "x");
		cr_expect_lt(copy_archive_out(0), 0, "%s", cases[i].path);
		cr_expect(only_victim(), "%s", cases[i].path);
	}
	cr_expect_neq(access("/tmp/conker-evil", F_OK), 0);
	cr_assert_eq(sh("rm -rf out/*"), 0);
	add(TAR_FILE, "other-name", "", "x");
	cr_expect_eq(copy_archive_out(0), 0);
	cr_expect(only_victim(), "a name of the box's choice is below ours");
}

Test(lib_files, no_set_id_bits_and_no_devices_leave_a_box)
{
	add(TAR_FILE, ".", "", "x");
	cr_expect_eq(copy_archive_out(0), 0, "%s", conker_errmsg());
	cr_expect_eq(sh("test $(stat -c %a out/victim) = 755"), 0);
	cr_assert_eq(sh("rm out/victim"), 0);
	add(TAR_CHAR, ".", "", "");
	cr_expect_eq(copy_archive_out(0), -EOPNOTSUPP);
	cr_expect_eq(sh("test -z \"$(ls -A out)\""), 0);
}

Test(lib_files, a_copy_that_failed_in_the_box_failed)
{
	add(TAR_FILE, ".", "", "part of a file");
	archive_len -= 505;
	cr_expect_eq(copy_archive_out(EIO), -EIO, "the box's reason, not that the archive is cut");
	cr_expect_eq(sh("test -z \"$(ls -A out)\""), 0);
}
