/* SPDX-License-Identifier: Apache-2.0 */
/* lib_image_store.c - the store of images: what is visible when, what goes with what, and what strangers leave in it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fakeinit.h"
#include "tests/lib/fakestore.h"

static const char *images;
static char id[IMAGE_ID_BYTES];

static void up(void)
{
	images = fakestore_use();
}

static void down(void)
{
	fakevmm_clean();
}

TestSuite(lib_image_store, .init = up, .fini = down, .timeout = 60);

#define LAYERS(...)     ((const char *const[]){__VA_ARGS__, NULL})
#define made(name, ...) cr_assert_eq(fakestore_publish(name, LAYERS(__VA_ARGS__), id), 0)

static const char *path_of(const char *below)
{
	static char path[2][1024];
	static int which;

	which ^= 1;
	snprintf(path[which], sizeof(path[which]), "%s/%s", images, below);
	return path[which];
}

static const char *made_dir(void)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/made/%s", images, id);
	return path;
}

static int opens(const char *name)
{
	static struct opened_image i;
	int r = image_open(name, &i, NULL);

	if (r < 0)
		return r;
	int n = i.nfds;
	image_close(&i);
	return n;
}

static int collect(const conker_image *i, void *user)
{
	char *all = user;

	snprintf(all + strlen(all), 200 - strlen(all), "%s:%u:%u ", i->name, i->names, i->users);
	return 0;
}

static const char *listed(void)
{
	static char all[200];

	*all = 0;
	cr_assert_eq(conker_image_list(collect, all), 0, "%s", conker_errmsg());
	cr_assert_eq(strncmp(all, "base:1:0 ", 9), 0, "%s", all);
	return all + 9;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void make_old(const char *path, int64_t seconds)
{
	struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};

	cr_assert_eq(utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW), 0, "%s", path);
}

/* ---- publishing ---------------------------------------------------------------------------------------- */

Test(lib_image_store, what_is_published_is_opened_in_order)
{
	static struct opened_image i;
	struct err e = {0};
	struct stat st;

	made("x", "a", "b", "c");
	cr_assert_eq(image_open("x", &i, &e), 0, "%s", e.msg);
	cr_expect_str_eq(i.name, "x");
	cr_expect_str_eq(i.id, id);
	cr_expect_eq(i.nfds, 4);
	for (int k = 0; k < 4; k++) {
		cr_assert_eq(fstat(i.fd[k], &st), 0);
		cr_expect_eq(st.st_size, k ? 8192 : 4096);
		cr_expect_eq(st.st_mode & 0777, 0644);
	}
	image_close(&i);
	cr_expect_eq(image_open_made(made_dir(), &i, &e), 0, "%s", e.msg);
	cr_expect_eq(i.nfds, 4);
	cr_expect_str_eq(i.path, made_dir());
	image_close(&i);
	cr_expect_str_eq(listed(), "x:1:0 ");
	cr_expect_eq(fakestore_count("."), 3, "names, made, layers, and nothing else");
}

Test(lib_image_store, the_same_content_is_there_once)
{
	made("x", "a", "b");
	made("y", "a", "b");
	cr_expect_eq(fakestore_count("made"), 1);
	cr_expect_eq(fakestore_count("layers"), 4);
	cr_expect_str_eq(listed(), "x:2:0 y:2:0 ");
}

Test(lib_image_store, a_name_changes_hands_and_the_former_image_goes)
{
	char base[512], own[512];

	made("x", "base", "old");
	made("y", "base", "other");
	made("x", "-base", "new");
	cr_expect_eq(fakestore_count("made"), 2);
	fakestore_layer("base", "data", base, sizeof(base));
	fakestore_layer("old", "data", own, sizeof(own));
	cr_expect_eq(access(base, F_OK), 0);
	cr_expect_neq(access(own, F_OK), 0);
	fakestore_layer("old", "index", own, sizeof(own));
	cr_expect_neq(access(own, F_OK), 0);
	cr_expect_eq(opens("x"), 3);
	cr_expect_eq(opens("y"), 3);
}

Test(lib_image_store, a_layer_that_is_gone_has_to_be_made_again)
{
	cr_expect_eq(fakestore_publish("x", LAYERS("-gone", "a"), id), -ERESTART);
	cr_expect_str_eq(listed(), "");
	cr_expect_eq(opens("x"), -ENOENT);
}

Test(lib_image_store, a_damaged_layer_is_replaced)
{
	char path[512];

	made("x", "a", "b");
	fakestore_layer("a", "data", path, sizeof(path));
	cr_assert_eq(truncate(path, 4096), 0);
	cr_expect_eq(opens("x"), -EINVAL);
	cr_expect_eq(fakestore_publish("y", LAYERS("-a", "-b"), id), -ERESTART,
		     "it cannot be used");
	cr_expect_neq(access(path, F_OK), 0);
	made("y", "a", "-b");
	cr_expect_eq(opens("x"), 3);
	cr_expect_eq(opens("y"), 3);
}

Test(lib_image_store, a_damaged_image_is_replaced)
{
	char meta[600];

	made("x", "a");
	snprintf(meta, sizeof(meta), "%s/meta.erofs", made_dir());
	cr_assert_eq(truncate(meta, 100), 0);
	cr_expect_eq(opens("x"), -EINVAL);
	made("x", "-a");
	cr_expect_eq(opens("x"), 2);
	snprintf(meta, sizeof(meta), "%s/manifest", made_dir());
	cr_assert_eq(unlink(meta), 0);
	made("x", "-a");
	cr_expect_eq(opens("x"), 2);
}

Test(lib_image_store, whole_layers_of_a_cancelled_call_are_kept)
{
	struct image_work w;
	struct err e = {0};
	char path[512], half[600];

	cr_assert_eq(work_begin(&w, &e), 0, "%s", e.msg);
	fakestore_out(&w, LAYERS("a", "b"), NULL, id);
	fakestore_layer("b", "index", path, sizeof(path));
	snprintf(half, sizeof(half), "%s/%s/out/%s", images, w.name, strrchr(path, '/') + 1);
	cr_assert_eq(unlink(half), 0);
	publish_layers(&w);
	work_end(&w);
	cr_expect_eq(fakestore_count("layers"), 2);
	made("x", "-a", "b");
	cr_expect_eq(opens("x"), 3);
}

/* ---- names, users, removal ----------------------------------------------------------------------------- */

Test(lib_image_store, an_image_goes_with_its_last_name)
{
	made("x", "a");
	cr_assert_eq(conker_image_tag("x", "y"), 0, "%s", conker_errmsg());
	cr_expect_str_eq(listed(), "x:2:0 y:2:0 ");
	cr_expect_eq(conker_image_remove("x"), 0);
	cr_expect_eq(opens("y"), 2);
	cr_expect_eq(conker_image_remove("x"), -ENOENT);
	cr_expect_eq(conker_image_remove("y"), 0);
	cr_expect_eq(fakestore_count("made"), 0);
	cr_expect_eq(fakestore_count("layers"), 0);
	cr_expect_eq(fakestore_count("names"), 0);
	cr_expect_eq(conker_image_tag("x", "y"), -ENOENT);
	cr_expect_eq(conker_image_tag("base", "y"), -EOPNOTSUPP);
	made("x", "a");
	cr_expect_eq(conker_image_tag("x", "a/b"), -EINVAL, "a reference is no local name");
}

static void use(const char *name, const char *path)
{
	static struct opened_image i;
	struct err e = {0};

	cr_assert_eq(image_open(name, &i, &e), 0, "%s", e.msg);
	cr_assert_eq(image_used_by(&i, path, &e), 0, "%s", e.msg);
	cr_assert_eq(image_used_by(&i, path, &e), 0, "twice is once: %s", e.msg);
	image_close(&i);
}

Test(lib_image_store, a_used_image_stays_without_a_name)
{
	const char *box = path_of("../box");

	made("x", "a");
	write_file(box, "");
	use("x", box);
	cr_expect_str_eq(listed(), "x:1:1 ");
	cr_expect_eq(conker_image_remove("x"), 1);
	cr_expect_str_eq(listed(), ":0:1 ");
	cr_expect_eq(opens("x"), -ENOENT);
	cr_expect_eq(conker_image_prune(0, 0, NULL), 0);
	cr_expect_eq(fakestore_count("made"), 1);
	cr_expect_eq(fakestore_count("layers"), 2);
	unlink(box);
	cr_expect_eq(conker_image_prune(0, 0, NULL), 0);
	cr_expect_eq(fakestore_count("made"), 0);
	cr_expect_eq(fakestore_count("layers"), 0);
	cr_expect_eq(fakestore_count("users"), 0);
}

Test(lib_image_store, a_path_uses_one_image_and_only_while_it_is_there)
{
	static struct opened_image i;
	struct err e = {0};
	const char *box = path_of("../box");

	made("x", "a");
	made("y", "b");
	cr_assert_eq(image_open("x", &i, &e), 0);
	cr_expect_eq(image_used_by(&i, box, &e), -ENOENT, "it is not there");
	cr_expect_eq(image_used_by(&i, "relative", &e), -ENOENT);
	image_close(&i);
	write_file(box, "");
	use("x", box);
	use("y", box);
	cr_expect_str_eq(listed(), "x:1:0 y:1:1 ");
	use("base", box);

	cr_assert_eq(image_open("x", &i, &e), 0);
	cr_assert_eq(conker_image_remove("x"), 0);
	cr_expect_eq(image_used_by(&i, box, &e), -ENOENT, "it was removed since");
	image_close(&i);
}

Test(lib_image_store, prune_goes_by_age_and_by_need)
{
	uint64_t bytes = 1;

	made("x", "a");
	mkdir(path_of("blobs"), 0755);
	mkdir(path_of("blobs/sha256"), 0755);
	write_file(path_of("blobs/sha256/old"), "1234");
	make_old(path_of("blobs/sha256/old"), 5000);
	write_file(path_of("blobs/sha256/new"), "1234");
	cr_expect_eq(conker_image_prune(0, 3600, &bytes), 0, "%s", conker_errmsg());
	cr_expect_gt(bytes, 0);
	cr_expect_eq(fakestore_count("blobs/sha256"), 1);
	cr_expect_eq(conker_image_prune(CONKER_PRUNE_ALL, 3600, &bytes), 0);
	cr_expect_eq(opens("x"), 2, "it is young");
	cr_expect_eq(bytes, 0);
	cr_expect_eq(conker_image_prune(0, 0, &bytes), 0);
	cr_expect_eq(opens("x"), 2, "it has a name");
	cr_expect_eq(fakestore_count("blobs/sha256"), 0);
	make_old(made_dir(), 5000);
	cr_expect_eq(conker_image_prune(CONKER_PRUNE_ALL, 3600, &bytes), 0);
	cr_expect_eq(fakestore_count("made"), 0);
	cr_expect_eq(fakestore_count("names"), 0);
	cr_expect_geq(bytes, 12288);
	cr_expect_eq(conker_image_prune(8, 0, NULL), -EINVAL);
}

Test(lib_image_store, figures_count_what_is_shared_once)
{
	conker_image_usage u = {.size = sizeof(u)};
	conker_image *i = NULL;
	struct image_work w;

	made("x", "base", "a");
	made("y", "base", "b");
	cr_assert_eq(conker_image_usage_get(&u), 0, "%s", conker_errmsg());
	cr_expect_eq(u.images, 2);
	uint64_t both = u.images_bytes;
	cr_expect_geq(both, 3 * 8192);
	cr_expect_eq(u.unused_bytes, 0);
	cr_assert_eq(conker_image_inspect("x", &i), 0);
	cr_expect_geq(i->shared_bytes, 8192);
	cr_expect_lt(i->shared_bytes, i->bytes);
	cr_expect_lt(i->bytes, both);
	cr_expect_eq(i->layers, 2);
	cr_expect_str_eq(i->platform, "linux/amd64");
	uint64_t shared = i->shared_bytes;
	conker_image_free(i);
	cr_assert_eq(work_begin(&w, NULL), 0);
	fakestore_out(&w, LAYERS("stray"), NULL, id);
	publish_layers(&w);
	work_end(&w);
	cr_assert_eq(conker_image_usage_get(&u), 0);
	cr_expect_eq(u.images_bytes, both);
	cr_expect_eq(u.unused_bytes, shared, "one layer, as large as the other");
	u.size = 0;
	cr_expect_eq(conker_image_usage_get(&u), -EINVAL);
}

/* ---- what others leave --------------------------------------------------------------------------------- */

Test(lib_image_store, what_nobody_holds_is_swept)
{
	struct image_work w;
	struct err e = {0};

	mkdir(path_of(".work-7"), 0700);
	mkdir(path_of(".import-3"), 0700);
	write_file(path_of(".work-7/f"), "x");
	cr_assert_eq(work_begin(&w, &e), 0, "%s", e.msg);
	cr_expect_eq(fakestore_count("."), 1);
	cr_expect_str_eq(listed(), "");
	cr_expect_eq(fakestore_count("."), 1, "it is held");
	work_end(&w);
	cr_expect_eq(fakestore_count("."), 0);
}

Test(lib_image_store, strange_things_are_left_alone)
{
	static const char *const links[][2] = {
		{"names/etc", "/etc"},      {"names/up", "../../../../etc"},
		{"names/loop", "loop"},     {"names/short", "../made/0123"},
		{"names/%zz", "../made/x"}, {"made/link", "/etc"},
		{"users/x", "/etc"},        {"layers/link.data", "/etc/passwd"},
	};
	char gone[600], secret[600];

	made("x", "a");
	mkdir(path_of("users"), 0755);
	for (size_t i = 0; i < countof(links); i++)
		cr_assert_eq(symlink(links[i][1], path_of(links[i][0])), 0);
	/* A link of ours to nothing, one for a name that nobody has, and an image that is a link to somebody's directory. */
	snprintf(gone, sizeof(gone), "../made/%064d", 0);
	cr_assert_eq(symlink(gone, path_of("names/gone")), 0);
	snprintf(gone, sizeof(gone), "../made/%s", id);
	cr_assert_eq(symlink(gone, path_of("names/a%2fb")), 0, "lower case is another name's");
	mkdir(path_of("../secret"), 0755);
	write_file(path_of("../secret/manifest"), "mine");
	snprintf(secret, sizeof(secret), "made/%064d", 1);
	cr_assert_eq(symlink("../../secret", path_of(secret)), 0);
	mkdir(path_of("names/dir"), 0755);
	write_file(path_of("names/file"), "x");
	write_file(path_of("users/y"), "x");
	cr_expect_str_eq(listed(), "x:1:0 ");
	cr_expect_eq(conker_image_prune(CONKER_PRUNE_ALL, 0, NULL), 0);
	cr_expect_eq(access(path_of("../secret/manifest"), F_OK), 0);
	cr_expect_eq(access("/etc/passwd", F_OK), 0);
	cr_expect_neq(access(path_of("names/etc"), F_OK), -1);
	cr_expect_str_eq(listed(), "");
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(opens(strchr(links[i][0], '/') + 1) < 0, 1);
}

Test(lib_image_store, directories_that_are_links_are_no_directories)
{
	mkdir(path_of("../elsewhere"), 0755);
	write_file(path_of("../elsewhere/f"), "x");
	cr_assert_eq(symlink("../elsewhere", path_of("layers")), 0);
	cr_expect_lt(fakestore_publish("x", LAYERS("a"), id), 0);
	cr_expect_eq(access(path_of("../elsewhere/f"), F_OK), 0);
}

Test(lib_image_store, images_of_the_former_version_go_on)
{
	static struct opened_image i;
	conker_image_usage u = {.size = sizeof(u)};
	char base[600];

	snprintf(base, sizeof(base), "%s/base.erofs", getenv("CONKER_GUEST"));
	cr_assert_eq(link(base, path_of("old.erofs")), 0);
	cr_expect_str_eq(listed(), "old:1:0 ");
	cr_assert_eq(image_open("old", &i, NULL), 0);
	cr_expect_eq(i.nfds, 1);
	cr_expect_str_eq(i.id, "");
	cr_expect_str_eq(i.path, path_of("old.erofs"));
	image_close(&i);
	cr_assert_eq(conker_image_usage_get(&u), 0);
	cr_expect_eq(u.images, 1);
	cr_expect_geq(u.images_bytes, 4096);
	cr_expect_eq(conker_image_prune(CONKER_PRUNE_ALL, 0, NULL), 0);
	cr_expect_eq(opens("old"), 1, "nobody knows who uses it");
	made("old", "a");
	cr_expect_str_eq(listed(), "old:1:0 ", "once");
	cr_expect_neq(access(path_of("old.erofs"), F_OK), 0);
	cr_expect_eq(conker_image_remove("old"), 0);
	cr_assert_eq(link(base, path_of("old.erofs")), 0);
	cr_expect_eq(conker_image_tag("old", "new"), -EOPNOTSUPP);
	cr_expect_eq(conker_image_remove("old"), 0);
	cr_expect_str_eq(listed(), "");
}

Test(lib_image_store, what_is_damaged_says_so)
{
	static struct opened_image i;
	struct err e = {0};
	char path[600], text[8192];

	made("x", "a", "b");
	fakestore_layer("b", "data", path, sizeof(path));
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(image_open("x", &i, &e), -ENOENT);
	cr_expect(strstr(e.msg, "image 'x' lacks"), "%s", e.msg);
	snprintf(path, sizeof(path), "%s/manifest", made_dir());
	FILE *f = fopen(path, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	text[n / 2] ^= 1;
	write_file(path, text);
	cr_expect_eq(image_open("x", &i, &e), -EBADMSG);
	cr_expect(strstr(e.msg, "damaged"), "%s", e.msg);
	text[n / 2] ^= 1;
	text[strlen("conker-image ")] = '2';
	write_file(path, text);
	cr_expect_eq(image_open("x", &i, &e), -EPROTONOSUPPORT);
	cr_expect(strstr(e.msg, "format 2"), "%s", e.msg);
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(image_open("x", &i, &e), -ENOENT);
	cr_expect_eq(image_open_made("/nowhere/x", &i, &e), -EINVAL);
	snprintf(path, sizeof(path), "%s/made/%064d", images, 7);
	cr_expect_eq(image_open_made(path, &i, &e), -ENOENT);
	cr_expect(strstr(e.msg, "not here any more"), "%s", e.msg);
	cr_expect_str_eq(listed(), "x:1:0 ", "it can be removed");
	cr_expect_eq(conker_image_remove("x"), 0);
}

/* ---- at any moment ------------------------------------------------------------------------------------- */

Test(lib_image_store, who_is_killed_leaves_nothing_visible_that_is_not_whole)
{
	for (int round = 0; round < 40; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (int i = 0;; i++) {
				char name[8];

				snprintf(name, sizeof(name), "l%d", i % 5);
				(void)fakestore_publish("x", LAYERS("base", name), id);
				(void)conker_image_tag("x", i % 2 ? "y" : "z");
				(void)conker_image_remove(i % 3 ? "y" : "x");
			}
		}
		usleep((useconds_t)(1000 + round * 700));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		for (const char *n = "x"; *n <= 'z'; n = *n == 'x' ? "y" : *n == 'y' ? "z" : "~") {
			int r = opens(n);

			cr_expect(r == 3 || r == -ENOENT, "%s: %d in round %d", n, r, round);
		}
	}
	made("x", "base", "last");
	cr_expect_eq(opens("x"), 3);
	(void)listed();
	cr_expect_eq(conker_image_prune(CONKER_PRUNE_ALL, 0, NULL), 0);
	cr_expect_eq(fakestore_count("made"), 0);
	cr_expect_eq(fakestore_count("layers"), 0);
	cr_expect_eq(fakestore_count("names"), 0);
	cr_expect_eq(fakestore_count("."), 3);
}

Test(lib_image_store, many_at_once_of_one_name)
{
	enum { PROCESSES = 4, ROUNDS = 15 };
	pid_t pid[PROCESSES];

	for (int p = 0; p < PROCESSES; p++) {
		pid[p] = fork();
		if (pid[p] > 0)
			continue;
		for (int i = 0; i < ROUNDS; i++) {
			char own[8];
			int r;

			snprintf(own, sizeof(own), "l%d", (p + i) % 3);
			do
				r = fakestore_publish("x", LAYERS("base", own), id);
			while (r == -ERESTART);
			if (r < 0)
				_exit(1);
			r = opens("x");
			if (r != 3)
				_exit(2);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCESSES; p++) {
		int status = -1;

		waitpid(pid[p], &status, 0);
		cr_expect_eq(status, 0, "%x", (unsigned)status);
	}
	cr_expect_str_eq(listed(), "x:1:0 ");
	cr_expect_eq(fakestore_count("made"), 1);
	cr_expect_eq(fakestore_count("layers"), 4);
}
