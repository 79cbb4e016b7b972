/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of util/tree.h: trees round trip, and no archive writes outside its target. */
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/test.h"
#include "util/tar.h"
#include "util/tree.h"

/* top/ is the test's; target/ what is unpacked into; outside/ must stay as it is */
static char top[64];
static int target;
static uint8_t *archive;
static size_t n;
static struct err err;

enum { ARCHIVE_BYTES = 16 << 20 };

static int sh(const char *fmt, const char *arg)
{
	char command[1024];
	int len = snprintf(command, sizeof(command), "cd %s && exec 2>/dev/null && ", top);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(command + len, sizeof(command) - (size_t)len, fmt, arg);
#pragma GCC diagnostic pop
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	int status = -1;
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void set_up(void)
{
	(void)snprintf(top, sizeof(top), "/tmp/conker-tree-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	cr_assert_eq(sh("mkdir target outside src && echo secret >outside/secret", ""), 0);
	char path[80];
	(void)snprintf(path, sizeof(path), "%s/target", top);
	target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	archive = malloc(ARCHIVE_BYTES);
	n = 0;
}

static void tear_down(void)
{
	close(target);
	free(archive);
	(void)sh("chmod -R u+rwx . ; rm -rf %s", top);
}

TestSuite(tree, .init = set_up, .fini = tear_down);

/* ---- archives made by hand ---- */

static void add(enum tar_type type, const char *path, const char *link, const char *data)
{
	struct tar_entry *e = calloc(1, sizeof(*e));
	size_t len = strlen(data);

	e->type = type;
	e->mode = 0644;
	e->size = type == TAR_FILE ? len : 0;
	(void)snprintf(e->path, sizeof(e->path), "%s", path);
	(void)snprintf(e->link, sizeof(e->link), "%s", link);
	n += tar_head(e, archive + n);
	memcpy(archive + n, data, len);
	memset(archive + n + len, 0, tar_padding(len));
	n += len + tar_padding(len);
	free(e);
}

static int unpack_as(const char *prefix, int flags, struct tree_left_out *ret_left_out)
{
	struct tree_unpack_opts o = {.dir = target, .prefix = prefix, .flags = flags};
	struct tree_unpack *u = tree_unpack_new(&o);
	int r = tree_unpack_feed(u, archive, n, &err);

	if (r == 0)
		r = tree_unpack_end(u, &err);
	if (ret_left_out)
		*ret_left_out = *tree_unpack_left_out(u);
	tree_unpack_free(u);
	return r;
}

static const int ways[] = {0, TREE_NO_OPENAT2}; /* all that follows holds without openat2() too */

static int unpack(int flags)
{
	return unpack_as("", flags, NULL);
}

static int outside_is_as_it_was(void)
{
	return sh("test \"$(cat outside/secret)\" = secret && "
		  "test \"$(ls -A outside)\" = secret && "
		  "test \"$(stat -c %%h outside/secret)\" = 1 && "
		  "test \"$(ls -A | tr '\\n' ' ')\" = 'outside src target '",
		  "") == 0;
}

static void begin_again(void)
{
	cr_assert_eq(sh("find target -mindepth 1 -delete", ""), 0);
	n = 0;
}

/* ---- several at once ---- */

enum { THREADS = 4, ROUNDS = 300 };

static void *unpack_often(void *arg)
{
	const char *name = arg;
	struct tree_unpack_opts o = {.dir = target, .prefix = name};
	struct err e = {0};
	intptr_t failed = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct tree_unpack *u = tree_unpack_new(&o);

		failed += tree_unpack_feed(u, archive, n, &e) < 0 || tree_unpack_end(u, &e) < 0;
		tree_unpack_free(u);
	}
	return (void *)failed;
}

Test(tree, threads_replace_files_of_one_directory_without_taking_each_others)
{
	static char names[THREADS][2] = {"a", "b", "c", "d"};
	pthread_t t[THREADS];
	void *failed;

	add(TAR_FILE, "", "", "x");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, unpack_often, names[i]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &failed);
		cr_expect_null(failed, "%zd of %d rounds failed", (intptr_t)failed, ROUNDS);
	}
	cr_expect_eq(sh("test \"$(ls -A target | tr '\\n' ' ')\" = 'a b c d '", ""), 0,
		     "nothing else is left");
}

/* ---- malicious ones ---- */

Test(tree, dot_dot_is_refused)
{
	static const char *const paths[] = {"../evil", "a/../../evil", "..", "a/..", "./../evil"};

	for (size_t w = 0; w < countof(ways); w++)
		for (size_t i = 0; i < countof(paths); i++) {
			begin_again();
			add(TAR_FILE, paths[i], "", "x");
			cr_expect_eq(unpack(ways[w]), -EINVAL, "%s", paths[i]);
			cr_expect(outside_is_as_it_was());
		}
}

Test(tree, absolute_paths_are_refused)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/outside/evil", top);
	add(TAR_FILE, path, "", "x");
	cr_expect_eq(unpack(0), -EINVAL);
	cr_expect(outside_is_as_it_was());
}

Test(tree, nothing_is_written_through_a_link_of_the_archive)
{
	for (size_t w = 0; w < countof(ways); w++) {
		begin_again();
		add(TAR_SYMLINK, "link", "../outside", "");
		add(TAR_FILE, "link/evil", "", "x");
		cr_expect_eq(unpack(ways[w]), -ENOTDIR);
		cr_expect(outside_is_as_it_was());

		begin_again();
		add(TAR_SYMLINK, "link", "../outside/secret", "");
		add(TAR_FILE, "link", "", "evil");
		cr_expect_eq(unpack(ways[w]), 0);
		cr_expect_eq(sh("test -f target/link -a ! -L target/link", ""), 0, "replaced");
		cr_expect(outside_is_as_it_was());
	}
}

Test(tree, nothing_is_written_through_a_link_that_was_there)
{
	for (size_t w = 0; w < countof(ways); w++) {
		begin_again();
		cr_assert_eq(
			sh("ln -s ../outside target/d && ln -s ../outside/secret target/f", ""), 0);
		add(TAR_FILE, "d/evil", "", "x");
		cr_expect_eq(unpack(ways[w]), -ENOTDIR);
		n = 0;
		add(TAR_DIR, "d/", "", "");
		cr_expect_eq(unpack(ways[w]), -ENOTDIR, "a link is no directory");
		n = 0;
		add(TAR_FILE, "f", "", "evil");
		cr_expect_eq(unpack(ways[w]), 0);
		cr_expect(outside_is_as_it_was());
	}
}

Test(tree, a_directory_that_became_a_link_is_not_touched_at_the_end)
{
	/* mode and time of `d` are set when the stream leaves it */
	add(TAR_DIR, "d/", "", "");
	add(TAR_SYMLINK, "d", "../outside", "");
	cr_expect_lt(unpack(0), 0);
	cr_expect_eq(sh("test $(stat -c %%a outside) = 755", ""), 0);
	cr_expect(outside_is_as_it_was());
}

Test(tree, hard_links_stay_inside)
{
	static const char *const targets[] = {"../outside/secret", "/etc/passwd", "link/secret"};

	for (size_t w = 0; w < countof(ways); w++)
		for (size_t i = 0; i < countof(targets); i++) {
			begin_again();
			add(TAR_SYMLINK, "link", "../outside", "");
			add(TAR_HARDLINK, "hard", targets[i], "");
			add(TAR_FILE, "hard", "", "evil");
			cr_expect_lt(unpack(ways[w]), 0, "%s", targets[i]);
			cr_expect(outside_is_as_it_was());
		}
}

Test(tree, a_hard_link_to_a_link_is_not_followed)
{
	add(TAR_SYMLINK, "link", "../outside/secret", "");
	add(TAR_HARDLINK, "hard", "link", "");
	add(TAR_FILE, "hard", "", "evil");
	cr_expect_eq(unpack(0), 0);
	cr_expect(outside_is_as_it_was());
}

Test(tree, with_a_prefix_all_is_below_it)
{
	add(TAR_FILE, "evil", "", "x");
	cr_expect_eq(unpack_as("name", 0, NULL), 0);
	cr_expect_eq(sh("test \"$(find target -type f)\" = target/name/evil", ""), 0);

	begin_again();
	add(TAR_FILE, "./", "", "x");
	add(TAR_HARDLINK, "hard", "../secret", "");
	cr_expect_lt(unpack_as("name", 0, NULL), 0);

	begin_again();
	add(TAR_FILE, ".", "", "all");
	cr_expect_eq(unpack_as("name", 0, NULL), 0);
	cr_expect_eq(sh("test \"$(cat target/name)\" = all", ""), 0, "the top itself");
}

Test(tree, where_a_directory_is_meant_no_file_is_made)
{
	add(TAR_FILE, ".", "", "all");
	cr_expect_eq(unpack_as("name", TREE_ROOT_IS_DIR, NULL), -ENOTDIR);
	cr_expect_eq(sh("test -z \"$(ls -A target)\"", ""), 0);

	begin_again();
	add(TAR_DIR, ".", "", "");
	add(TAR_FILE, "f", "", "x");
	cr_expect_eq(unpack_as("name", TREE_ROOT_IS_DIR, NULL), 0);
	cr_expect_eq(sh("test -f target/name/f", ""), 0);
}

Test(tree, devices_are_left_out_and_told)
{
	struct tree_left_out l;

	add(TAR_CHAR, "dev/null", "", "");
	add(TAR_FILE, "after", "", "x");
	cr_expect_eq(unpack_as("", 0, &l), 0);
	cr_expect_eq(l.count, 1);
	cr_expect_str_eq(l.first, "dev/null");
	cr_expect_eq(sh("test -f target/after -a ! -e target/dev/null", ""), 0);
}

Test(tree, set_id_bits_can_be_dropped)
{
	struct tar_entry *e = calloc(1, sizeof(*e));

	*e = (struct tar_entry){.type = TAR_FILE, .mode = 06755, .path = "f"};
	n += tar_head(e, archive);
	free(e);
	cr_expect_eq(unpack(TREE_NO_SETID), 0);
	cr_expect_eq(sh("test $(stat -c %%a target/f) = 755", ""), 0);
}

Test(tree, too_deep_is_an_error)
{
	char path[3 * (TREE_DEPTH_MAX + 2)] = "";

	for (int i = 0; i <= TREE_DEPTH_MAX; i++) {
		memcpy(path + 2 * i, "d/", 3);
		add(TAR_DIR, path, "", "");
	}
	cr_expect_eq(unpack(0), -ELOOP);
}

/* ---- unfinished ones ---- */

Test(tree, a_file_that_is_cut_leaves_nothing)
{
	add(TAR_FILE, "new", "", "0123456789");
	n -= 511;
	cr_expect_eq(unpack(0), -EINVAL);
	cr_expect_eq(sh("test -z \"$(ls -A target)\"", ""), 0);
}

Test(tree, a_file_is_replaced_only_when_complete)
{
	cr_assert_eq(sh("echo old >target/f", ""), 0);
	add(TAR_FILE, "f", "", "0123456789");
	n -= 511;
	cr_expect_eq(unpack(0), -EINVAL);
	cr_expect_eq(sh("test \"$(cat target/f)\" = old && test \"$(ls -A target)\" = f", ""), 0);
	n = 0;
	add(TAR_FILE, "f", "", "new");
	cr_expect_eq(unpack(0), 0);
	cr_expect_eq(sh("test \"$(cat target/f)\" = new && test \"$(ls -A target)\" = f", ""), 0);
}

Test(tree, no_clobber_keeps_what_is_there)
{
	cr_assert_eq(sh("echo old >target/f; mkdir target/d", ""), 0);
	add(TAR_DIR, "d/", "", "");
	add(TAR_FILE, "d/new", "", "x");
	cr_expect_eq(unpack(TREE_NO_CLOBBER), 0, "a directory is not replaced by merging");
	n = 0;
	add(TAR_FILE, "f", "", "new");
	cr_expect_eq(unpack(TREE_NO_CLOBBER), -EEXIST);
	cr_expect_eq(sh("test \"$(cat target/f)\" = old", ""), 0);
}

Test(tree, a_file_does_not_replace_a_directory)
{
	cr_assert_eq(sh("mkdir target/d", ""), 0);
	add(TAR_FILE, "d", "", "x");
	cr_expect_eq(unpack(0), -EISDIR);
	cr_expect_eq(sh("test \"$(ls -A target)\" = d", ""), 0);
}

Test(tree, links_to_a_file_that_is_being_replaced)
{
	/* rename() over another name of the same file would leave the temporary name */
	add(TAR_FILE, "a", "", "x");
	add(TAR_HARDLINK, "b", "a", "");
	cr_expect_eq(unpack(0), 0);
	cr_expect_eq(unpack(0), 0, "once more over itself");
	n = 0;
	add(TAR_HARDLINK, "b", "a", "");
	cr_expect_eq(unpack(0), 0);
	cr_expect_eq(sh("test \"$(ls -A target | tr '\\n' ' ')\" = 'a b '", ""), 0);
}

/* ---- round trips ---- */

static int put(void *arg, const void *buf, size_t len)
{
	(void)arg;
	if (len > ARCHIVE_BYTES - n)
		return -ENOSPC;
	memcpy(archive + n, buf, len);
	n += len;
	return 0;
}

static void pack(const char *name, int flags)
{
	char path[80];
	struct tree_pack p = {.path = path, .name = name, .flags = flags, .put = put};

	(void)snprintf(path, sizeof(path), "%s/src", top);
	n = 0;
	cr_assert_eq(tree_pack(&p, &err), 0, "%s", err.msg);
}

static void make_source(void)
{
	static const char script[] =
		"cd src && mkdir -p d/e ro && echo hi >a && ln a d/hard && ln -s ../x sym && "
		"ln -s gone d/dangling && mkfifo fifo && "
		"truncate -s 10M sparse && printf abc | dd of=sparse bs=1 seek=5000000 "
		"conv=notrunc && "
		"truncate -s 1M holes && head -c 300000 /dev/urandom >random && : >empty && "
		"l=$(printf 'n%%.0s' $(seq 200)) && mkdir -p $l/$l && echo x >$l/$l/f && ln -s "
		"$l/$l/$l long && "
		"printf x >\"$(printf 'new\\nline \\377')\" && "
		"chmod 1777 d/e && chmod 640 random && chmod 555 ro && touch -d @-5.25 empty && "
		"touch -d @1234567890.123456789 a d/e && touch -d @1000000000.5 d && touch -h -d "
		"@77.5 sym";

	cr_assert_eq(sh("%s", script), 0);
}

#define LISTING "find . -printf '%%P %%y %%m %%s %%T@ %%n %%l\\n' | sort"

static int same_as_source(const char *dir)
{
	return sh("(cd src && " LISTING ") >a.list; (cd %s && " LISTING
		  ") >b.list; cmp a.list b.list",
		  dir) == 0 &&
	       sh("diff -r --no-dereference -x fifo src %s", dir) == 0;
}

Test(tree, what_is_packed_unpacks_the_same)
{
	make_source();
	pack(".", 0);
	for (size_t w = 0; w < countof(ways); w++) {
		cr_expect_eq(unpack_as("copy", ways[w], NULL), 0, "%s", err.msg);
		cr_expect(same_as_source("target/copy"));
		cr_expect_eq(sh("test $(du -s target/copy | cut -f1) -lt 2000", ""), 0, "holes");
	}
}

static void save(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	FILE *f = fopen(path, "w");
	cr_assert_eq(fwrite(archive, 1, n, f), n);
	fclose(f);
}

static void load(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	FILE *f = fopen(path, "r");
	n = fread(archive, 1, ARCHIVE_BYTES, f);
	fclose(f);
}

Test(tree, gnu_tar_reads_what_we_write)
{
	make_source();
	pack("src", 0);
	save("our.tar");
	cr_expect_eq(sh("tar -xpSf our.tar -C target", ""), 0);
	cr_expect(same_as_source("target/src"));
}

Test(tree, we_read_what_gnu_tar_writes)
{
	static const char *const kinds[] = {"--format=pax", "--format=pax -S --sparse-version=0.0",
					    "--format=pax -S --sparse-version=0.1",
					    "--format=pax -S --sparse-version=1.0"};

	make_source();
	for (size_t i = 0; i < countof(kinds); i++) {
		begin_again();
		cr_assert_eq(sh("tar %s -cf gnu.tar src", kinds[i]), 0);
		load("gnu.tar");
		cr_expect_eq(unpack(0), 0, "%s: %s", kinds[i], err.msg);
		cr_expect(same_as_source("target/src"), "%s", kinds[i]);
	}
}

Test(tree, we_read_old_formats)
{
	static const char *const kinds[] = {"--format=gnu", "--format=gnu -S", "--format=oldgnu"};

	make_source();
	/* These have no fractions of a second. */
	cr_assert_eq(sh("find src -exec touch -h -d @1000000000 {} +", ""), 0);
	for (size_t i = 0; i < countof(kinds); i++) {
		begin_again();
		cr_assert_eq(sh("tar %s -cf gnu.tar src", kinds[i]), 0);
		load("gnu.tar");
		cr_expect_eq(unpack(0), 0, "%s: %s", kinds[i], err.msg);
		cr_expect(same_as_source("target/src"), "%s", kinds[i]);
	}
}

Test(tree, many_holes_fit_the_map)
{
	cr_assert_eq(sh("for i in $(seq 0 99); do printf x | "
			"dd of=src/s bs=1 seek=$((i * 65536)) conv=notrunc; done",
			""),
		     0);
	pack("src", 0);
	cr_expect_lt(n, 1 << 20);
	cr_expect_eq(unpack(0), 0, "%s", err.msg);
	cr_expect(same_as_source("target/src"));
}

Test(tree, a_link_at_the_top_is_followed_when_asked)
{
	cr_assert_eq(sh("rmdir src && echo x >real && ln -s real src", ""), 0);
	pack(".", 0);
	cr_expect_eq(unpack_as("l", 0, NULL), 0);
	pack(".", TREE_FOLLOW);
	cr_expect_eq(unpack_as("f", 0, NULL), 0);
	cr_expect_eq(sh("test -L target/l -a ! -L target/f -a -f target/f", ""), 0);
}

Test(tree, sockets_are_left_out_and_told)
{
	char path[80];
	struct tree_pack p = {.path = path, .name = ".", .put = put};

	(void)snprintf(path, sizeof(path), "%s/src/sock", top);
	cr_assert_eq(mknod(path, S_IFSOCK | 0644, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/src", top);
	cr_expect_eq(tree_pack(&p, &err), 0);
	cr_expect_eq(p.left_out.count, 1);
	cr_expect_str_eq(p.left_out.first, "./sock");
}

Test(tree, what_is_not_there_is_an_error)
{
	struct tree_pack p = {.path = "/no/such/file", .name = ".", .put = put};

	cr_expect_eq(tree_pack(&p, &err), -ENOENT);
	cr_expect_not_null(strstr(err.msg, "/no/such/file"));
}

/* ---- destinations ---- */

Test(tree, destinations_are_those_of_cp)
{
	char path[128], name[256];
	int fd, flags = 0;

	(void)snprintf(path, sizeof(path), "%s/target", top);
	fd = tree_destination(path, "leaf", name, &flags);
	cr_expect_geq(fd, 0);
	cr_expect_str_eq(name, "leaf");
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/target/new", top);
	fd = tree_destination(path, "leaf", name, &flags);
	cr_expect_geq(fd, 0);
	cr_expect_str_eq(name, "new");
	cr_expect_eq(flags, 0);
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/target/new/", top);
	fd = tree_destination(path, "leaf", name, &flags);
	cr_expect_geq(fd, 0);
	cr_expect_str_eq(name, "new");
	cr_expect_eq(flags, TREE_ROOT_IS_DIR);
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/target/no/such", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ENOENT);
	(void)snprintf(path, sizeof(path), "%s/outside/secret/", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ENOTDIR);
}

Test(tree, a_destination_that_is_a_link_is_what_it_leads_to)
{
	char path[128], name[256], real[PATH_MAX];
	struct stat st, there;
	int fd, flags = 0;

	cr_assert_eq(sh("ln -s ../outside/secret target/file && ln -s file target/again &&"
			"ln -s ../outside target/dir && ln -s gone target/dangling && "
			"ln -s loop target/loop",
			""),
		     0);
	(void)snprintf(path, sizeof(path), "%s/outside", top);
	cr_assert_eq(stat(path, &there), 0);
	(void)snprintf(path, sizeof(path), "%s/target/again", top);
	fd = tree_destination(path, "leaf", name, &flags);
	cr_assert_geq(fd, 0);
	cr_expect_str_eq(name, "secret");
	cr_expect(fstat(fd, &st) == 0 && st.st_ino == there.st_ino, "the file's own directory");
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/target/dir", top);
	fd = tree_destination(path, "leaf", name, &flags);
	cr_expect_geq(fd, 0);
	cr_expect_str_eq(name, "leaf");
	close(fd);
	(void)snprintf(path, sizeof(path), "%s/target/file/", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ENOTDIR);
	(void)snprintf(path, sizeof(path), "%s/target/dangling", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ENOENT);
	cr_expect_eq(tree_follow(path, real), -ENOENT);
	(void)snprintf(path, sizeof(path), "%s/target/dangling/", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ENOENT);
	(void)snprintf(path, sizeof(path), "%s/target/loop", top);
	cr_expect_eq(tree_destination(path, "leaf", name, &flags), -ELOOP);
	cr_expect_eq(tree_follow(path, real), -ELOOP);
}

Test(tree, a_link_to_a_file_without_a_name_leads_nowhere)
{
	char path[128], link[64], real[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/target/f", top);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	cr_assert_eq(tree_follow(link, real), 0);
	cr_expect_str_eq(real, path);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(tree_follow(link, real), -ENOENT);
	(void)snprintf(real, sizeof(real), "%s (deleted)", path);
	close(open(real, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_expect_eq(tree_follow(link, real), -ENOENT, "the file of that name is another one");
	close(fd);
}

Test(tree, what_is_no_file_is_special)
{
	static const struct {
		const char *path;
		int special;
	} cases[] = {{"target", 0}, {"target/none", 0}, {"target/link", 1}, {"target/fifo", 1},
		     {"src/s", 1},  {"target/file", 0}, {"target/fifo/", 0}};
	char path[128];

	cr_assert_eq(sh("mkfifo target/fifo && ln -s fifo target/link && : >target/file", ""), 0);
	(void)snprintf(path, sizeof(path), "%s/src/s", top);
	cr_assert_eq(mknod(path, S_IFSOCK | 0644, 0), 0);
	for (size_t i = 0; i < countof(cases); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", top, cases[i].path);
		cr_expect_eq(tree_is_special(path), cases[i].special, "%s", path);
	}
	(void)snprintf(path, sizeof(path), "%s/src/s", top);
	cr_expect_lt(tree_open_special(path, 0, &err), 0);
	cr_expect_not_null(strstr(err.msg, "is a socket"), "%s", err.msg);
	(void)snprintf(path, sizeof(path), "%s/target/fifo", top);
	cr_expect_eq(tree_open_special(path, TREE_NO_CLOBBER, &err), -EEXIST);
}

Test(tree, leaves)
{
	static const struct {
		const char *path, *leaf;
	} cases[] = {{"/a/b", "b"}, {"/a/b//", "b"}, {"a", "a"}, {"/", ""},   {".", ""},
		     {"..", ""},    {"/a/..", ""},   {"", ""},   {"/a/.", ""}};
	char leaf[256];

	for (size_t i = 0; i < countof(cases); i++) {
		cr_expect_eq(tree_leaf(cases[i].path, leaf), 0);
		cr_expect_str_eq(leaf, cases[i].leaf, "%s", cases[i].path);
	}
}
