/* SPDX-License-Identifier: Apache-2.0 */
/* lib_snapshot.c - snapshots, and boxes that begin with one. */
#include "tests/lib/snapshot_fixture.h"

TestSuite(lib_snapshot, .init = up, .fini = down, .timeout = 90);

/* A snapshot of a box of these words, which is gone afterwards. */
static void take(const char *words)
{
	conker_box *b = must_create(&(conker_box_opts){.name = "src", .cmdline_append = words});

	cr_assert_eq(run(b, "true"), 0);
	cr_assert_eq(conker_box_snapshot(b, snap, NULL, NULL), 0, "%s", conker_errmsg());
	conker_box_free(b);
}

static int create_from(const char *from, const conker_box_opts *more, conker_box **ret)
{
	conker_box_opts o = more ? *more : (conker_box_opts){0};

	o.size = sizeof(o);
	o.from = from;
	return conker_box_create(&o, ret);
}

/* ---- taking ---------------------------------------------------------------------------------------------- */

Test(lib_snapshot, the_box_goes_on_and_the_result_is_told)
{
	conker_snapshot_result res = {.size = sizeof(res)};
	int fds = open_fds();
	conker_box *b = must_create(&(conker_box_opts){.name = "b"});
	struct stat st;
	char path[256];

	cr_assert_eq(conker_box_snapshot(b, snap, NULL, &res), 0, "%s", conker_errmsg());
	cr_expect_eq(res.pause_us, 333);
	cr_expect_eq(res.memory_bytes, 4096);
	cr_expect_gt(res.total_us, 0);
	cr_expect_eq(run(b, "true"), 0, "thawed: %s", conker_errmsg());
	cr_expect_eq(entries("snap"), 3);
	snprintf(path, sizeof(path), "%s/memory", snap);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600, "secrets are its maker's");
	conker_box_free(b);
	cr_expect_eq(open_fds(), fds);
}

Test(lib_snapshot, with_stop_the_box_ends)
{
	conker_snapshot_opts o = {.size = sizeof(o), .flags = CONKER_SNAPSHOT_STOP};
	conker_box *b = detached("b", NULL);

	cr_assert_eq(conker_box_snapshot(b, snap, &o, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(info_of("b").state, CONKER_BOX_STOPPED, "it is not suspended");
	cr_expect_eq(conker_box_ping(b, 20000), -ESHUTDOWN);
	end(b, "b");
}

Test(lib_snapshot, what_exists_is_not_touched)
{
	conker_box *b = must_create(&(conker_box_opts){.name = "b"});

	cr_assert_eq(mkdir(snap, 0700), 0);
	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -EEXIST);
	cr_expect(strstr(conker_errmsg(), "exists"), "%s", conker_errmsg());
	cr_expect_eq(entries("snap"), 0);
	cr_expect_eq(conker_box_snapshot(b, "/nonexistent/a", NULL, NULL), -ENOENT);
	cr_expect_eq(conker_box_snapshot(b, "", NULL, NULL), -EINVAL);
	cr_expect_eq(conker_box_snapshot(b, "/", NULL, NULL), -EINVAL);
	cr_expect_eq(conker_box_snapshot(b, NULL, NULL, NULL), -EINVAL);
	conker_box_free(b);
}

Test(lib_snapshot, one_that_fails_leaves_nothing_and_the_box_goes_on)
{
	conker_box *b =
		must_create(&(conker_box_opts){.name = "b", .cmdline_append = "fake=snapfail"});
	int before = entries(".");

	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -ENOSPC);
	cr_expect(strstr(conker_errmsg(), "No space? left"), "%s", conker_errmsg());
	cr_expect_eq(entries("."), before);
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	conker_box_free(b);
}

Test(lib_snapshot, a_vmm_that_dies_meanwhile_is_told)
{
	conker_box *b =
		must_create(&(conker_box_opts){.name = "b", .cmdline_append = "fake=snapdie"});
	int before = entries(".");

	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -ECONNABORTED);
	cr_expect_eq(entries("."), before);
	conker_box_free(b);
}

Test(lib_snapshot, an_image_that_was_replaced_is_noticed)
{
	conker_box *b = must_create(&(conker_box_opts){.name = "b"});
	char path[256], other[256];

	snprintf(path, sizeof(path), "%s/base.erofs", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	int fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	cr_assert_eq(rename(other, path), 0);
	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -ESTALE);
	cr_expect(strstr(conker_errmsg(), "replaced"), "%s", conker_errmsg());
	conker_box_free(b);
}

Test(lib_snapshot, answers_of_the_vmm_are_read_with_care)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"done 1 2", 0},       {"done 1", -EPROTO},         {"", -EPROTO},
		{"done x y", -EPROTO}, {"failed 5 why", -EIO},      {"failed 0 why", -EPROTO},
		{"failed", -EPROTO},   {"failed 99999 x", -EPROTO}, {"failed -5 x", -EPROTO},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		conker_snapshot_result res = {0};
		char text[64];

		snprintf(text, sizeof(text), "%s", cases[i].text);
		cr_expect_eq(snapshot_answer(text, &res, NULL), cases[i].error, "%s",
			     cases[i].text);
	}
}

/* ---- beginning with one ------------------------------------------------------------------------------------ */

Test(lib_snapshot, a_clone_goes_on_with_a_name_and_an_id_of_its_own)
{
	conker_box_info i = {.size = sizeof(i)};
	conker_box *a, *b;

	take(NULL);
	cr_assert_eq(create_from(snap, NULL, &a), 0, "%s", conker_errmsg());
	cr_assert_eq(create_from(snap, &(conker_box_opts){.name = "two"}, &b), 0, "%s",
		     conker_errmsg());
	cr_expect_eq(run(a, "true"), 0, "it was resumed first: %s", conker_errmsg());
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_info_get(a, &i), 0);
	cr_expect_str_eq(i.from, snap);
	cr_expect_str_eq(i.name, i.id);
	cr_expect_str_eq(i.image, "base");
	cr_expect_eq(i.memory_mib, 128);
	cr_expect_str_neq(i.id, info_of("two").id);
	conker_box_free(a);
	conker_box_free(b);
	cr_expect_eq(entries("conker/boxes"), 0);
	cr_expect_eq(entries("snap"), 3, "the snapshot stays");
}

Test(lib_snapshot, a_detached_clone_has_been_resumed_when_it_is_there)
{
	conker_box *a;

	take(NULL);
	conker_box_opts o = {.name = "d", .flags = CONKER_BOX_DETACHED};
	cr_assert_eq(create_from(snap, &o, &a), 0, "%s", conker_errmsg());
	conker_box_free(a);
	a = must_open("d");
	cr_expect_eq(run(a, "true"), 0, "%s", conker_errmsg());
	end(a, "d");
}

Test(lib_snapshot, a_clone_can_be_snapshotted_in_turn)
{
	char second[160];
	conker_box *a, *b;

	take(NULL);
	(void)snprintf(second, sizeof(second), "%s-2", snap);
	cr_assert_eq(create_from(snap, NULL, &a), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_snapshot(a, second, NULL, NULL), 0, "%s", conker_errmsg());
	conker_box_free(a);
	cr_assert_eq(create_from(second, NULL, &b), 0, "%s", conker_errmsg());
	cr_expect_eq(run(b, "true"), 0);
	conker_box_free(b);
}

Test(lib_snapshot, a_clone_has_a_life_and_idle_times_of_its_own)
{
	conker_box_opts src = {.name = "src", .max_life_ms = 7000, .idle_timeout_ms = 8000};
	struct {
		conker_box_opts o;
		const char *want;
	} cases[] = {
		{{0}, "life 0 idle 0 suspend 0"},
		{{.max_life_ms = 5000, .idle_timeout_ms = 6000}, "life 5000 idle 6000 suspend 0"},
		{{.flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 4000},
		 "life 0 idle 4000 suspend 1"},
	};
	conker_box *b = must_create(&src);

	cr_assert_eq(conker_box_snapshot(b, snap, NULL, NULL), 0, "%s", conker_errmsg());
	conker_box_free(b);
	for (size_t i = 0; i < countof(cases); i++) {
		cases[i].o.name = "b";
		cr_assert_eq(create_from(snap, &cases[i].o, &b), 0, "%s", conker_errmsg());
		expect_lifetime(b, cases[i].want);
		conker_box_info info = info_of("b");
		cr_expect_eq(info.max_life_ms, cases[i].o.max_life_ms);
		cr_expect_eq(info.idle_timeout_ms, cases[i].o.idle_timeout_ms);
		cr_expect_eq(info.idle_suspend_ms, cases[i].o.idle_suspend_ms);
		if (cases[i].o.flags & CONKER_BOX_DETACHED)
			end(b, "b");
		else
			conker_box_free(b);
	}
}

Test(lib_snapshot, options_that_contradict_it_are_refused)
{
	static const char *const disks[] = {"/dev/null", NULL};
	char kernel[128];
	struct {
		conker_box_opts o;
		const char *says;
	} cases[] = {
		{{.memory_mib = 64}, "128 MiB"},
		{{.cpus = 2}, "1 CPU;"},
		{{.image = "other"}, "image 'base'"},
		{{.kernel = kernel}, "another kernel"},
		{{.disks = disks}, "disks"},
		{{.cmdline_append = "x"}, "other words"},
		{{.flags = CONKER_BOX_WARM}, "template"},
	};
	conker_box *b = NULL;

	take(NULL);
	(void)snprintf(kernel, sizeof(kernel), "%s/initrd.cpio", dir);
	for (size_t i = 0; i < countof(cases); i++) {
		cr_expect_eq(create_from(snap, &cases[i].o, &b), -EINVAL, "case %zu", i);
		cr_expect(strstr(conker_errmsg(), cases[i].says), "%s", conker_errmsg());
	}
	(void)snprintf(kernel, sizeof(kernel), "%s/vmlinux", dir);
	conker_box_opts same = {.memory_mib = 128, .cpus = 1, .image = "base", .kernel = kernel};
	cr_expect_eq(create_from(snap, &same, &b), 0, "the same is no contradiction: %s",
		     conker_errmsg());
	conker_box_free(b);
}

/* What has been damaged, or belongs elsewhere, is refused before anything runs. */
static void refused(int error, const char *says)
{
	conker_box *b = NULL;

	cr_expect_eq(create_from(snap, NULL, &b), error, "%s", conker_errmsg());
	cr_expect(strstr(conker_errmsg(), says), "'%s' in '%s'", says, conker_errmsg());
	cr_expect_null(strchr(conker_errmsg(), '\n'));
	cr_expect_null(b);
	cr_expect_eq(entries("conker/boxes"), 0);
}

static void change(const char *file, off_t at, const char *with)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", snap, file);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, with, strlen(with), at), (ssize_t)strlen(with));
	close(fd);
}

Test(lib_snapshot, what_is_no_snapshot_is_refused)
{
	refused(-ENOENT, "No such file");
	cr_assert_eq(mkdir(snap, 0700), 0);
	refused(-EBADMSG, "no manifest");
}

Test(lib_snapshot, a_damaged_manifest_is_refused)
{
	take(NULL);
	change("manifest", 40, "#");
	refused(-EBADMSG, "damaged");
}

Test(lib_snapshot, a_damaged_memory_file_is_refused)
{
	take(NULL);
	change("memory", 1000, "#");
	refused(-EBADMSG, "its memory file has been changed since, or is damaged; take it again");
}

Test(lib_snapshot, a_truncated_memory_file_is_refused)
{
	char path[256];

	take(NULL);
	snprintf(path, sizeof(path), "%s/memory", snap);
	cr_assert_eq(truncate(path, 8192), 0);
	refused(-EBADMSG, "its memory file has been changed");
}

Test(lib_snapshot, a_missing_state_file_is_refused)
{
	char path[256];

	take(NULL);
	snprintf(path, sizeof(path), "%s/state", snap);
	cr_assert_eq(unlink(path), 0);
	refused(-EBADMSG, "its state file");
	cr_assert_eq(symlink("memory", path), 0);
	refused(-ELOOP, "its state file");
	cr_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	refused(-EBADMSG, "its state file");
}

/* The manifest again with another value. */
static void rewrite(void (*edit)(struct manifest *m))
{
	struct manifest m;
	char *text;
	int fd = open(snap, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_eq(manifest_load(fd, "manifest", &m, &text, NULL), 0);
	edit(&m);
	cr_assert_eq(manifest_save(fd, "manifest", &m, NULL), 0);
	free(text);
	close(fd);
}

static void other_cpu(struct manifest *m)
{
	m->cpu[0] ^= 1;
	(void)snprintf(m->cpu_name, sizeof(m->cpu_name), "Another CPU");
}

static void other_host(struct manifest *m)
{
	(void)snprintf(m->host, sizeof(m->host), "martian");
}

static void other_version(struct manifest *m)
{
	(void)snprintf(m->version, sizeof(m->version), "9.9");
}

static void crashed(struct manifest *m)
{
	m->synced = 0;
	(void)snprintf(m->boot, sizeof(m->boot), "another boot");
}

Test(lib_snapshot, one_of_another_host_or_release_is_refused_with_the_reason)
{
	take(NULL);
	rewrite(other_cpu);
	refused(-ESTALE, "another kind of CPU (Another CPU)");
	rewrite(other_host);
	refused(-ESTALE, "KVM of kind 'martian'");
	rewrite(other_version);
	refused(-ESTALE, "by conker 9.9");
}

/* As 0.1.0 wrote them, of a box with an image of its kind: one file. */
static const char former[] =
	"conker-snapshot 1\nversion=0.1.0\nname=work\nid=2f0c6a1b9d34\nimage=python\nhost=pvm\n"
	"cpu=5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9\n"
	"cpu_name=A CPU (of sorts)\nboot=1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed\nmemory_mib=128\n"
	"cpus=1\nflags=0\ncreated_s=1763700000\ntaken_s=1763700060\nsynced=1\nidle_ms=0\n"
	"idle_suspend_ms=0\nlife_ms=0\ndisk_bytes_per_s=0\ndisk_ops_per_s=0\n"
	"vsock_bytes_per_s=0\nvsock_ops_per_s=0\nconsole_bytes_per_s=0\nconsole_ops_per_s=0\n"
	"append=\nkernel=ro 65024:11:5242880:1763697600000000000 - /lib/conker/guest/vmlinux\n"
	"initrd=ro 65024:12:262144:1763697600000000000 - /lib/conker/guest/initrd.cpio\n"
	"state=ro 65024:13:8192:1763700060000000000 - state\n"
	"memory=ro 65024:14:134217728:1763700060000000000 - memory\n"
	"disk=ro 65024:15:143192064:1763697600000000000 - /var/lib/conker/images/python.erofs\n";

Test(lib_snapshot, one_of_the_former_version_says_which_and_what_to_do)
{
	char path[256], sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	cr_assert_eq(mkdir(snap, 0700), 0);
	sha256_init(&s);
	sha256_add(&s, former, strlen(former));
	sha256_end(&s, sum);
	snprintf(path, sizeof(path), "%s/manifest", snap);
	FILE *f = fopen(path, "we");
	cr_assert(f && fprintf(f, "%ssum=%s\n", former, sum) > 0 && fclose(f) == 0);
	refused(-ESTALE, "it was taken by conker 0.1.0, this is " CONKER_VERSION "; take it again");
}

Test(lib_snapshot, one_that_was_not_on_disk_when_the_host_went_down_is_refused)
{
	take(NULL);
	rewrite(crashed);
	refused(-ESTALE, "not on disk yet");
}

/* Holes and all as bytes. */
static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char buf[4096];
	ssize_t n;

	cr_assert(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		cr_assert_eq(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

Test(lib_snapshot, an_image_installed_anew_will_do_and_another_will_not)
{
	char path[256], copy[256];
	conker_box *b = NULL;

	take(NULL);
	snprintf(path, sizeof(path), "%s/base.erofs", dir);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	copy_file(path, copy);
	cr_assert_eq(rename(copy, path), 0);
	cr_assert_eq(create_from(snap, NULL, &b), 0, "by checksum: %s", conker_errmsg());
	conker_box_free(b);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pwrite(fd, "x", 1, 100) == 1 && close(fd) == 0);
	refused(-ESTALE, "base.erofs' as it was");
	cr_assert_eq(unlink(path), 0);
	refused(-ESTALE, "base.erofs': No such file");
}

Test(lib_snapshot, a_copy_of_the_directory_will_do)
{
	static const char *const files[] = {"manifest", "state", "memory"};
	char copy[160], from[200], to[200];
	conker_box *b = NULL;

	take(NULL);
	snprintf(copy, sizeof(copy), "%s/elsewhere", dir);
	cr_assert_eq(mkdir(copy, 0700), 0);
	for (size_t i = 0; i < countof(files); i++) {
		snprintf(from, sizeof(from), "%s/%s", snap, files[i]);
		snprintf(to, sizeof(to), "%s/%s", copy, files[i]);
		copy_file(from, to);
	}
	cr_assert_eq(create_from(copy, NULL, &b), 0, "%s", conker_errmsg());
	cr_expect_eq(run(b, "true"), 0);
	conker_box_free(b);
}

Test(lib_snapshot, a_restore_that_fails_leaves_nothing)
{
	int fds = open_fds();
	conker_box *b = NULL;

	take("fake=norestore");
	cr_expect_eq(create_from(snap, NULL, &b), -EINVAL, "%s", conker_errmsg());
	cr_expect(strstr(conker_errmsg(), "does not fit"), "%s", conker_errmsg());
	cr_expect_eq(entries("conker/boxes"), 0);
	cr_expect_eq(open_fds(), fds);
}

Test(lib_snapshot, a_clone_that_cannot_be_woken_is_no_box)
{
	conker_box_opts o = {.name = "d", .flags = CONKER_BOX_DETACHED};
	conker_box *b = NULL;

	take("fake=noresume");
	cr_expect_eq(create_from(snap, &o, &b), -EINVAL, "%s", conker_errmsg());
	cr_expect_eq(entries("conker/boxes"), 0);
}

/* ---- disks ------------------------------------------------------------------------------------------------- */

static char disk_path[160];

static conker_box *with_disk(void)
{
	static const char *disks[] = {disk_path, NULL};
	conker_box *b = NULL;

	(void)snprintf(disk_path, sizeof(disk_path), "%s/disk", dir);
	int fd = open(disk_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && ftruncate(fd, 1 << 20) == 0 && pwrite(fd, "data", 4, 300000) == 4);
	close(fd);
	conker_box_opts o = {
		.name = "b", .disks = disks, .flags = CONKER_BOX_DETACHED, .size = sizeof(o)};
	cr_assert_eq(conker_box_create(&o, &b), 0, "%s", conker_errmsg());
	return b;
}

Test(lib_snapshot, writable_disks_are_copied_when_the_box_stops_and_for_each_clone)
{
	conker_snapshot_opts stop = {.size = sizeof(stop), .flags = CONKER_SNAPSHOT_STOP};
	conker_box_opts o = {.name = "c", .flags = CONKER_BOX_DETACHED};
	conker_box *b = with_disk();
	char path[400], text[5] = "";
	struct stat st;

	cr_expect_eq(conker_box_snapshot(b, snap, NULL, NULL), -ENOTSUP);
	cr_assert_eq(conker_box_snapshot(b, snap, &stop, NULL), 0, "%s", conker_errmsg());
	end(b, "b");
	cr_assert_eq(unlink(disk_path), 0);
	cr_assert_eq(create_from(snap, &o, &b), 0, "%s", conker_errmsg());
	snprintf(path, sizeof(path), "%s/conker/kept/%s/disk-1", dir, info_of("c").id);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	cr_expect_eq(st.st_size, 1 << 20);
	cr_expect_lt(st.st_blocks * 512, 1 << 20, "the hole is still one");
	cr_expect(pread(fd, text, 4, 300000) == 4 && strcmp(text, "data") == 0);
	close(fd);
	end(b, "c");
	cr_expect_neq(access(path, F_OK), 0, "it goes with its box");
}
