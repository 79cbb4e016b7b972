/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of packing: files are read up to their end, whatever their size is called, and what is no
 * file is left out and told; and of unpacking: nothing half stands under a name.
 */
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/lib/test.h"
#include "util/tree.h"

enum { ARCHIVE_BYTES = 16 << 20, LARGE = 300000 };

static char top[64];
static uint8_t *archive;
static size_t n;
static struct err err;
static struct tree_pack p;

static const char *at(const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *ret = path[turn++ % countof(path)];

	(void)snprintf(ret, sizeof(path[0]), "%s/%s", top, name);
	return ret;
}

static void set_up(void)
{
	(void)snprintf(top, sizeof(top), "/tmp/conker-source-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	cr_assert_eq(mkdir(at("src"), 0755), 0);
	cr_assert_eq(mkdir(at("out"), 0755), 0);
	archive = malloc(ARCHIVE_BYTES);
	n = 0;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at_)
{
	(void)st;
	(void)type;
	(void)at_;
	return remove(path);
}

static void tear_down(void)
{
	cr_assert_eq(nftw(top, drop, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT), 0);
	free(archive);
}

TestSuite(tree_source, .init = set_up, .fini = tear_down);

static void make(const char *path, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	static char x[LARGE];

	memset(x, 'x', sizeof(x));
	cr_assert_eq(write(fd, x, bytes), (ssize_t)bytes);
	close(fd);
}

static int put(void *arg, const void *buf, size_t len)
{
	(void)arg;
	cr_assert_leq(len, ARCHIVE_BYTES - n);
	memcpy(archive + n, buf, len);
	n += len;
	return 0;
}

static int pack(const char *path, tree_put_fn *fn)
{
	p = (struct tree_pack){.path = path, .name = ".", .put = fn};
	n = 0;
	return tree_pack(&p, &err);
}

static int feed(struct tree_unpack **ret, size_t bytes, int flags)
{
	struct tree_unpack_opts o = {.prefix = "copy", .flags = flags};

	o.dir = open(at("out"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret = tree_unpack_new(&o);
	return tree_unpack_feed(*ret, archive, bytes, &err);
}

static void unpack(void)
{
	struct tree_unpack *u;

	cr_assert_eq(feed(&u, n, 0), 0, "%s", err.msg);
	cr_assert_eq(tree_unpack_end(u, &err), 0, "%s", err.msg);
	tree_unpack_free(u);
}

/* Of at most LARGE bytes. */
static ssize_t contents(const char *path, char *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = 0, k;

	while (fd >= 0 && (k = read(fd, ret + len, LARGE - (size_t)len)) > 0)
		len += k;
	close(fd);
	return fd < 0 ? -1 : len;
}

static void arrives_with_its_bytes(const char *path)
{
	static char want[LARGE], got[LARGE];
	ssize_t len = contents(path, want);

	if (len < 0)
		return; /* not on this machine */
	cr_assert_gt(len, 0);
	cr_assert_eq(pack(path, put), 0, "%s", err.msg);
	cr_assert_eq(tree_pack_lacks(&p, &err), 0);
	unpack();
	cr_assert_eq(contents(at("out/copy"), got), len, "%s", path);
	cr_assert_arr_eq(got, want, (size_t)len, "%s", path);
}

Test(tree_source, a_size_that_is_none_does_not_matter)
{
	arrives_with_its_bytes("/proc/version"); /* 0 */
	arrives_with_its_bytes("/proc/filesystems");
	arrives_with_its_bytes("/sys/kernel/mm/transparent_hugepage/enabled"); /* 4096 */
	arrives_with_its_bytes("/sys/kernel/profiling");
	arrives_with_its_bytes("/sys/kernel/uevent_seqnum");
}

Test(tree_source, a_file_without_a_size_may_be_longer_than_a_buffer)
{
	struct stat st;

	if (access("/proc/kallsyms", R_OK) < 0)
		cr_skip("no /proc/kallsyms");
	cr_assert_eq(pack("/proc/kallsyms", put), 0, "%s", err.msg);
	unpack();
	cr_assert_eq(stat(at("out/copy"), &st), 0);
	cr_assert_gt(st.st_size, 65536);
}

/* ---- files that change meanwhile ---- */

static int shorten(void *arg, const void *buf, size_t len)
{
	cr_assert_eq(truncate(at("src/f"), 10), 0);
	return put(arg, buf, len);
}

Test(tree_source, a_file_that_becomes_shorter_is_filled_up_and_told)
{
	static char got[LARGE];

	make(at("src/f"), LARGE);
	cr_assert_eq(pack(at("src"), shorten), 0);
	cr_assert_eq(tree_pack_lacks(&p, &err), -ESTALE);
	cr_expect(strstr(err.msg, "./f"), "%s", err.msg);
	unpack();
	cr_expect_eq(contents(at("out/copy/f"), got), LARGE);
	cr_expect_eq(got[LARGE - 1], 0);
}

static int lengthen(void *arg, const void *buf, size_t len)
{
	int fd = open(at("src/f"), O_WRONLY | O_APPEND | O_CLOEXEC);

	cr_assert_eq(write(fd, "more", 4), 4);
	close(fd);
	return put(arg, buf, len);
}

Test(tree_source, a_file_that_grows_is_what_it_was)
{
	static char got[LARGE];

	make(at("src/f"), LARGE);
	cr_assert_eq(pack(at("src"), lengthen), 0);
	cr_assert_eq(tree_pack_lacks(&p, &err), 0);
	unpack();
	cr_expect_eq(contents(at("out/copy/f"), got), LARGE);
}

/* ---- mounts ---- */

static void mounted(const char *type, const char *path)
{
	cr_assert_eq(mkdir(path, 0755), 0);
	cr_assert_eq(mount(type, path, type, 0, NULL), 0);
}

Test(tree_source, what_the_kernel_shows_is_left_out_and_told_and_may_be_asked_for)
{
	char note[256], name[128];
	static char got[LARGE];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("mounting is not ours");
	mounted("proc", at("src/proc"));
	mounted("tmpfs", at("src/tmp"));
	make(at("src/tmp/f"), 5);
	(void)snprintf(name, sizeof(name), "%s/src/", top);
	cr_assert_eq(pack(name, put), 0, "%s", err.msg);
	cr_assert_eq(tree_pack_lacks(&p, &err), 0);
	tree_pack_note(&p, note, sizeof(note));
	cr_expect(strstr(note, at("src/proc")), "%s", note);
	unpack();
	cr_expect_eq(access(at("out/copy/proc"), F_OK), 0, "the place stays");
	cr_expect_neq(access(at("out/copy/proc/version"), F_OK), 0);
	cr_expect_eq(contents(at("out/copy/tmp/f"), got), 5, "other mounts are somebody's files");
	(void)snprintf(name, sizeof(name), "%s/src/proc/sys/kernel/random", top);
	cr_expect_eq(pack(name, put), 0, "%s", err.msg);
	cr_expect_eq(p.mounts.count, 0);
	(void)umount(at("src/proc"));
	(void)umount(at("src/tmp"));
}

Test(tree_source, an_error_names_the_path_with_one_slash)
{
	char name[128];

	make(at("src/f"), 1);
	(void)snprintf(name, sizeof(name), "%s/src//", top);
	cr_assert_eq(chmod(at("src/f"), 0), 0);
	cr_assert_eq(chmod(top, 0755), 0);
	if (seteuid(65534) < 0)
		cr_skip("not root");
	cr_assert_eq(pack(name, put), -EACCES);
	cr_expect_null(strstr(err.msg, "//"), "%s", err.msg);
	cr_assert_eq(seteuid(0), 0);
}

/* ---- complete or not there ---- */

Test(tree_source, a_new_file_has_its_name_when_it_is_complete)
{
	static char got[LARGE];
	struct tree_unpack *u;

	make(at("src/f"), LARGE);
	cr_assert_eq(pack(at("src"), put), 0);
	cr_assert_eq(feed(&u, n / 2, 0), 0);
	cr_expect_neq(access(at("out/copy/f"), F_OK), 0, "half of it");
	cr_assert_eq(tree_unpack_feed(u, archive + n / 2, n - n / 2, &err), 0);
	cr_assert_eq(tree_unpack_end(u, &err), 0);
	tree_unpack_free(u);
	cr_expect_eq(contents(at("out/copy/f"), got), LARGE);
}

Test(tree_source, no_clobber_keeps_what_came_meanwhile)
{
	static char got[LARGE];
	struct tree_unpack *u;

	make(at("src/f"), LARGE);
	cr_assert_eq(pack(at("src/f"), put), 0);
	cr_assert_eq(feed(&u, n / 2, TREE_NO_CLOBBER), 0);
	make(at("out/copy"), 3);
	cr_expect_eq(tree_unpack_feed(u, archive + n / 2, n - n / 2, &err), -EEXIST);
	tree_unpack_free(u);
	cr_expect_eq(contents(at("out/copy"), got), 3);
	cr_expect_neq(rmdir(at("out")), 0);
	cr_assert_eq(unlink(at("out/copy")), 0);
	cr_expect_eq(rmdir(at("out")), 0, "nothing else is left");
}
