/* SPDX-License-Identifier: Apache-2.0 */
/* lib_box.c - the life of a box: creation, failure, sharing, end, and what is left behind. */
#include <sys/resource.h>

#include "tests/lib/snapshot_fixture.h"

TestSuite(lib_box, .init = up, .fini = down, .timeout = 120);

static int create(const char *name, uint32_t flags, const char *words, conker_box **ret)
{
	conker_box_opts o = {
		.size = sizeof(o), .name = name, .flags = flags, .cmdline_append = words};

	return conker_box_create(&o, ret);
}

static conker_box *must_make(const char *name, uint32_t flags)
{
	return must_create(&(conker_box_opts){.name = name, .flags = flags});
}

static enum conker_box_state state_of(const char *name)
{
	return info_of(name).state;
}

static int gone(pid_t pid)
{
	for (int i = 0; i < 2000; i++) {
		char path[64], buf[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		FILE *f = fopen(path, "r");
		if (!f)
			return 1;
		(void)!fgets(buf, sizeof(buf), f);
		fclose(f);
		if (strstr(buf, ") Z "))
			return 1;
		usleep(10000);
	}
	return 0;
}

/* ---- creating ------------------------------------------------------------------------------------------ */

Test(lib_box, info_tells_what_was_asked_for)
{
	conker_box_opts o = {.size = sizeof(o), .name = "n.a-m_e", .memory_mib = 64, .cpus = 2};
	conker_box_info i = {.size = sizeof(i)};
	conker_box *b;

	cr_assert_eq(conker_box_create(&o, &b), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_info_get(b, &i), 0);
	cr_expect_str_eq(i.name, "n.a-m_e");
	cr_expect_eq(strlen(i.id), 12);
	cr_expect_str_eq(i.image, "base");
	cr_expect_eq(i.memory_mib, 64);
	cr_expect_eq(i.cpus, 2);
	cr_expect_eq(i.state, CONKER_BOX_RUNNING);
	cr_expect_gt(i.vmm_pid, 1);
	cr_expect_eq(i.setup_us, 111);
	cr_expect_eq(i.boot_us, 222);
	cr_expect_str_eq(i.reason, "");
	conker_box_free(b);
}

Test(lib_box, without_a_name_the_id_is_the_name)
{
	conker_box *b = must_make(NULL, 0);
	conker_box_info i = {.size = sizeof(i)};

	cr_assert_eq(conker_box_info_get(b, &i), 0);
	cr_expect_str_eq(i.name, i.id);
	conker_box_free(b);
}

Test(lib_box, an_older_caller_gets_the_fields_it_knows)
{
	conker_box *b = must_make("b", 0);
	struct {
		size_t size;
		char name[64];
		char canary[8];
	} i = {.size = sizeof(size_t) + 64, .canary = "canary"};

	cr_expect_eq(conker_box_info_get(b, (conker_box_info *)&i), 0);
	cr_expect_str_eq(i.name, "b");
	cr_expect_str_eq(i.canary, "canary");
	conker_box_free(b);
}

Test(lib_box, freeing_it_leaves_nothing)
{
	int fds = open_fds();
	conker_box *b = must_make("b", 0);
	conker_box_info i = {.size = sizeof(i)};

	cr_assert_eq(conker_box_info_get(b, &i), 0);
	cr_expect_eq(boxes(), 1);
	cr_expect_null(conker_box_free(b));
	cr_expect_eq(boxes(), 0);
	cr_expect_eq(open_fds(), fds);
	cr_expect(gone(i.vmm_pid));
	cr_expect_null(conker_box_free(NULL));
}

Test(lib_box, the_id_of_another_box_is_no_name)
{
	conker_box_info i = {.size = sizeof(i)};
	conker_box *a, *b;

	cr_assert_eq(create("a", 0, NULL, &a), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_info_get(a, &i), 0);
	cr_expect_eq(create(i.id, 0, NULL, &b), -EEXIST);
	cr_expect(strstr(conker_errmsg(), "'a'"), "%s", conker_errmsg());
	conker_box_free(a);
}

Test(lib_box, too_few_descriptors_are_told_with_the_limit_and_the_need)
{
	struct rlimit was, small;
	conker_box *b;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (rlim_t n = (rlim_t)open_fds() + 4; n < 40; n += 3) {
		small = (struct rlimit){n, was.rlim_max};
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
		int r = create("b", 0, NULL, &b);
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
		if (r == 0) {
			conker_box_free(b);
			break;
		}
		cr_expect_eq(r, -EMFILE, "%d: %s", (int)n, conker_errmsg());
		cr_expect(strstr(conker_errmsg(), "ulimit -n") && strstr(conker_errmsg(), "64"),
			  "%s", conker_errmsg());
	}
}

Test(lib_box, a_taken_name_is_refused)
{
	conker_box *b = must_make("b", 0), *c = NULL;

	cr_expect_eq(create("b", 0, NULL, &c), -EEXIST);
	cr_expect(strstr(conker_errmsg(), "a box named 'b' exists"));
	cr_expect_null(c);
	cr_expect_eq(conker_box_ping(b, 20000), 0, "the first is unharmed");
	conker_box_free(b);
}

Test(lib_box, impossible_options_are_refused)
{
	static const char *const missing[] = {"/nonexistent", NULL};
	struct {
		conker_box_opts o;
		int error;
		const char *says;
	} cases[] = {
		{{.name = "../x"}, -EINVAL, "box name"},
		{{.name = "-x"}, -EINVAL, "box name"},
		{{.name = ""}, -EINVAL, "box name"},
		{{.flags = 64}, -EINVAL, "flags"},
		{{.cpus = 1000}, -EINVAL, "cpus"},
		{{.memory_mib = 1 << 30}, -EINVAL, "memory"},
		{{.memory_mib = 31}, -EINVAL, "memory: 31 MiB; it takes 32"},
		{{.image = "no-such"}, -ENOENT, "no image 'no-such' is here"},
		{{.image = "a b"}, -EINVAL, "is no image's name"},
		{{.kernel = "/nonexistent"}, -ENOENT, "kernel '/nonexistent'"},
		{{.disk_rate = {CONKER_RATE_MAX + 1, 0}}, -EINVAL, "disk rate"},
		{{.vsock_rate = {0, CONKER_RATE_MAX + 1}}, -EINVAL, "vsock rate"},
		{{.console_rate = {CONKER_NO_LIMIT, CONKER_NO_LIMIT - 1}}, -EINVAL, "console rate"},
		{{.disks = missing}, -ENOENT, "disk '/nonexistent'"},
	};
	int fds = open_fds();

	for (size_t i = 0; i < countof(cases); i++) {
		conker_box *b = NULL;
		cases[i].o.size = sizeof(cases[i].o);
		cr_expect_eq(conker_box_create(&cases[i].o, &b), cases[i].error, "case %zu: %s", i,
			     conker_errmsg());
		cr_expect(strstr(conker_errmsg(), cases[i].says), "case %zu: %s", i,
			  conker_errmsg());
		cr_expect_null(b);
	}
	cr_expect_eq(conker_box_create(NULL, NULL), -EINVAL);
	cr_expect_eq(boxes(), 0);
	cr_expect_eq(open_fds(), fds);
}

Test(lib_box, a_truncated_image_is_refused_before_anything_starts)
{
	char path[256];
	conker_box *b;

	snprintf(path, sizeof(path), "%s/base.erofs", dir);
	cr_assert_eq(truncate(path, 2048), 0);
	cr_expect_eq(create("b", 0, NULL, &b), -EINVAL);
	cr_expect(strstr(conker_errmsg(), "image 'base' is truncated: 2048 of 4096 bytes"), "%s",
		  conker_errmsg());
	cr_assert_eq(truncate(path, 100), 0);
	cr_expect_eq(create("b", 0, NULL, &b), -EINVAL);
	cr_expect(strstr(conker_errmsg(), "not an EROFS"), "%s", conker_errmsg());
	cr_expect_eq(boxes(), 0);
}

/* The VMM runs; the time to become ready begins only when it has said what is awaited. */
static void await_console(const char *line, void *said)
{
	char path[256], text[256] = "";

	if (!said || strncmp(line, "started ", 8) != 0)
		return;
	snprintf(path, sizeof(path), "%s/conker/boxes/b/console", dir);
	for (int i = 0; i < 4000 && !strstr(text, said); i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		(void)!read(fd, text, sizeof(text) - 1);
		close(fd);
		usleep(5000);
	}
}

static void expect_stillborn(uint32_t flags, const char *words, int error, const char *says)
{
	conker_box_opts o = {.size = sizeof(o),
			     .name = "b",
			     .flags = flags,
			     .cmdline_append = words,
			     .log = await_console,
			     .log_user = strstr(words, "noready") ? "last line" : NULL,
			     .ready_timeout_ms = error == ETIMEDOUT ? 300 : 0};
	int fds = open_fds();
	conker_box *b = NULL;

	cr_expect_eq(conker_box_create(&o, &b), -error, "%s: %s", words, conker_errmsg());
	cr_expect(strstr(conker_errmsg(), says), "%s: %s", words, conker_errmsg());
	cr_expect_null(strchr(conker_errmsg(), '\n'));
	cr_expect_eq(boxes(), 0, "%s leaves a directory", words);
	cr_expect_eq(open_fds(), fds, "%s leaks descriptors", words);
}

static void expect_stillborn_both(const char *words, int error, const char *says)
{
	expect_stillborn(0, words, error, says);
	expect_stillborn(CONKER_BOX_DETACHED, words, error, says);
}

Test(lib_box, a_failed_set_up_is_told_in_the_vmms_words)
{
	expect_stillborn_both("fake=fail", ENOMEM,
			      "box 'b': guest memory: 128 MiB: Cannot allocate memory");
}

Test(lib_box, a_panic_before_it_is_ready_is_told)
{
	expect_stillborn_both("fake=panic", ECONNABORTED,
			      "the guest kernel panicked: VFS: no root");
}

Test(lib_box, an_init_that_gives_up_is_told_in_its_own_words)
{
	expect_stillborn_both("fake=initfail", ECONNABORTED,
			      "init gave up: mount proc on the image's /proc: Not a directory");
	cr_expect_null(strstr(conker_errmsg(), "Call Trace"), "%s", conker_errmsg());
}

Test(lib_box, a_vmm_killed_before_it_is_ready_is_told)
{
	expect_stillborn_both("fake=vanish", ECONNABORTED, "its conker-vmm was killed");
}

Test(lib_box, a_vmm_that_cannot_run_is_told_in_its_own_words)
{
	expect_stillborn_both("fake=stderr", ECONNABORTED, "error while loading shared libraries");
}

Test(lib_box, not_ready_in_time_carries_the_end_of_the_console)
{
	expect_stillborn_both("fake=noready", ETIMEDOUT,
			      "first line | second ?[1mline | last line");
}

/* Told at creation or at the first use, whichever its Hello comes before. */
static void expect_foreign(const char *words, const char *says)
{
	conker_box *b = NULL;
	int r = create("b", 0, words, &b);

	if (r == 0)
		r = conker_box_ping(b, 20000);
	cr_expect_eq(r, -EPROTO, "%d %s", r, conker_errmsg());
	cr_expect(strstr(conker_errmsg(), says), "%s", conker_errmsg());
	conker_box_free(b);
	cr_expect_eq(boxes(), 0);
}

Test(lib_box, a_guest_of_another_version_is_told)
{
	expect_foreign("fake=hello2", "another version");
}

Test(lib_box, no_hello_is_no_guest)
{
	expect_foreign("fake=nohello", "no Hello");
}

Test(lib_box, a_missing_vmm_says_what_to_do)
{
	conker_box *b;

	setenv("CONKER_VMM", "/nonexistent", 1);
	cr_expect_eq(create("b", 0, NULL, &b), -ENOENT);
	cr_expect(strstr(conker_errmsg(), "CONKER_VMM"));
}

Test(lib_box, running_out_of_descriptors_anywhere_leaves_nothing)
{
	struct rlimit old, few;
	int fds = open_fds(), failures = 0, r = -1;
	conker_box *b = NULL;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (few.rlim_cur = (rlim_t)fds - 2; r < 0 && few.rlim_cur < 200; few.rlim_cur++) {
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = create("b", 0, NULL, &b);
		setrlimit(RLIMIT_NOFILE, &old);
		if (r == 0)
			break;
		failures++;
		cr_expect_neq(*conker_errmsg(), 0);
		cr_assert_eq(open_fds(), fds, "%d: %s", (int)few.rlim_cur, conker_errmsg());
		cr_assert_eq(boxes(), 0, "%d: %s", (int)few.rlim_cur, conker_errmsg());
	}
	cr_expect_eq(r, 0);
	cr_expect_gt(failures, 20, "%d", failures);
	conker_box_free(b);
}

static void keep_line(const char *line, void *user)
{
	char *all = user;
	snprintf(all + strlen(all), 1000 - strlen(all), "%s\n", line);
}

Test(lib_box, the_log_tells_each_step)
{
	char all[1000] = "";
	conker_box_opts o = {.size = sizeof(o), .name = "b", .log = keep_line, .log_user = all};
	conker_box *b;

	cr_assert_eq(conker_box_create(&o, &b), 0);
	cr_expect(strstr(all, "box b ("));
	cr_expect(strstr(all, "set up in 111 us, booted in 222 us"));
	conker_box_free(b);
}

/* ---- sharing -------------------------------------------------------------------------------------------- */

Test(lib_box, others_open_it_by_name_and_by_id)
{
	conker_box *b = must_make("b", 0), *c = NULL, *d = NULL;
	conker_box_info i = {.size = sizeof(i)};

	cr_assert_eq(conker_box_info_get(b, &i), 0);
	cr_assert_eq(conker_box_open("b", &c), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_open(i.id, &d), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_ping(c, 20000), 0);
	conker_box_free(c);
	cr_expect_eq(conker_box_ping(d, 20000), 0, "freeing an opened one leaves the box alone");
	conker_box_free(d);
	cr_expect_eq(conker_box_ping(b, 20000), 0);
	conker_box_free(b);
	cr_expect_eq(conker_box_open("b", &c), -ENOENT);
}

Test(lib_box, an_opened_box_tells_of_its_end)
{
	conker_box *b = must_make("b", 0), *c = NULL;
	conker_exec_opts o = {.size = sizeof(o), .argv = (const char *const[]){"panic", NULL}};
	conker_exec *e;

	cr_assert_eq(conker_box_open("b", &c), 0);
	cr_assert_eq(conker_exec_start(c, &o, (conker_exec_cb){0}, &e), 0);
	cr_expect_eq(conker_exec_wait(e, 20000, NULL), -ECONNRESET);
	cr_expect(strstr(conker_errmsg(), "the guest kernel panicked: sysrq"), "%s",
		  conker_errmsg());
	cr_expect_eq(conker_box_wait(c, 20000), 0);
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	cr_expect_eq(state_of("b"), CONKER_BOX_PANIC);
	conker_exec_free(e);
	conker_box_free(c);
	conker_box_free(b);
	cr_expect_eq(boxes(), 0);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

Test(lib_box, a_detached_box_outlives_its_handle)
{
	conker_box *b = must_make("b", CONKER_BOX_DETACHED), *c;
	int fd;

	conker_box_free(b);
	cr_expect_eq(state_of("b"), CONKER_BOX_RUNNING);
	cr_expect_eq(conker_box_remove("b", 0), -EBUSY);
	cr_assert_eq(conker_box_open("b", &c), 0);
	cr_expect_eq(conker_box_stop(c, CONKER_STOP_DEFAULT_MS), 0, "%s", conker_errmsg());
	conker_box_free(c);
	cr_expect_eq(state_of("b"), CONKER_BOX_STOPPED);
	cr_expect_eq(conker_box_open("b", &c), -ESHUTDOWN);
	fd = conker_box_console("b");
	char buf[64] = "";
	cr_expect_geq(fd, 0);
	cr_expect_gt(read(fd, buf, sizeof(buf) - 1), 0);
	cr_expect_str_eq(buf, "fake console\n");
	close(fd);
	cr_expect_eq(conker_box_remove("b", 0), 0);
	cr_expect_eq(conker_box_remove("b", 0), -ENOENT);
	cr_expect_eq(boxes(), 0);
}

Test(lib_box, remove_by_force_ends_it_first)
{
	conker_box *b = must_make("b", CONKER_BOX_DETACHED);
	conker_box_info i = {.size = sizeof(i)};

	conker_box_info_get(b, &i);
	conker_box_free(b);
	cr_expect_eq(conker_box_remove(i.id, CONKER_RM_FORCE), 0, "%s", conker_errmsg());
	cr_expect(gone(i.vmm_pid));
	cr_expect_eq(boxes(), 0);
}

Test(lib_box, stop_ends_a_stubborn_guest_the_hard_way)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b", .cmdline_append = "fake=stubborn"};
	conker_box *b;

	cr_assert_eq(conker_box_create(&o, &b), 0);
	cr_expect_eq(conker_box_stop(b, 100), 0, "%s", conker_errmsg());
	cr_expect_eq(state_of("b"), CONKER_BOX_STOPPED);
	cr_expect_eq(conker_box_stop(b, 100), 0, "twice is fine");
	conker_box_free(b);
	cr_expect_eq(boxes(), 0);
}

Test(lib_box, a_power_off_by_the_guest_is_no_stop)
{
	conker_box *b = must_make("b", 0);
	conker_exec_opts o = {.size = sizeof(o), .argv = (const char *const[]){"poweroff", NULL}};
	conker_exec *e;

	cr_expect_eq(conker_box_wait(b, 10), -ETIMEDOUT);
	cr_assert_eq(conker_exec_start(b, &o, (conker_exec_cb){0}, &e), 0);
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	cr_expect_eq(state_of("b"), CONKER_BOX_POWEROFF);
	cr_expect_eq(conker_exec_start(b, &o, (conker_exec_cb){0}, &e), -ESHUTDOWN);
	conker_exec_free(e);
	conker_box_free(b);
}

Test(lib_box, one_that_has_ended_but_is_not_gone_yet_can_be_removed)
{
	conker_box_opts o = {.size = sizeof(o),
			     .name = "b",
			     .cmdline_append = "fake=lingers",
			     .flags = CONKER_BOX_DETACHED};
	conker_exec_opts x = {.size = sizeof(x), .argv = (const char *const[]){"poweroff", NULL}};
	conker_box_info i = {.size = sizeof(i)};
	conker_box *b;
	conker_exec *e;

	cr_assert_eq(conker_box_create(&o, &b), 0);
	conker_box_info_get(b, &i);
	cr_expect_eq(conker_box_remove("b", 0), -EBUSY);
	cr_assert_eq(conker_exec_start(b, &x, (conker_exec_cb){0}, &e), 0);
	cr_expect_lt(conker_exec_wait(e, 20000, NULL), 0);
	conker_exec_free(e);
	conker_box_free(b);
	for (int n = 0; n < 2000 && state_of("b") != CONKER_BOX_POWEROFF; n++)
		usleep(10000);
	cr_expect_eq(conker_box_remove("b", 0), 0, "%s", conker_errmsg());
	cr_expect(gone(i.vmm_pid));
	cr_expect_eq(boxes(), 0);
}

/* ---- places ------------------------------------------------------------------------------------------------ */

Test(lib_box, a_directory_open_to_others_is_never_used)
{
	char path[256];
	conker_box *b;

	snprintf(path, sizeof(path), "%s/conker", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chmod(path, 0777), 0);
	cr_expect_eq(create("b", 0, NULL, &b), -EPERM);
	cr_expect(strstr(conker_errmsg(), "XDG_RUNTIME_DIR"));
}

Test(lib_box, a_long_runtime_directory_is_no_obstacle)
{
	char path[256];
	conker_box *b, *c;

	snprintf(path, sizeof(path), "%s/%0100d", dir, 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	setenv("XDG_RUNTIME_DIR", path, 1);
	b = must_make("b", 0);
	cr_expect_eq(conker_box_open("b", &c), 0, "%s", conker_errmsg());
	conker_box_free(c);
	conker_box_free(b);
}

static void check(enum conker_check verdict, const char *what, const char *found,
		  const char *advice, void *user)
{
	int *n = user;

	n[verdict]++;
	cr_expect(*what && *found);
	cr_expect_eq(verdict == CONKER_CHECK_OK, *advice == 0, "%s: %s", what, advice);
	if (strcmp(what, "vmlinux") == 0)
		n[4] = verdict;
}

Test(lib_box, doctor_counts_what_is_missing)
{
	char path[256];
	int n[5] = {0};

	cr_expect_eq(conker_doctor(check, n), n[CONKER_CHECK_MISSING]);
	cr_expect_eq(n[4], CONKER_CHECK_OK);
	int before = n[CONKER_CHECK_MISSING];
	snprintf(path, sizeof(path), "%s/vmlinux", dir);
	cr_assert_eq(unlink(path), 0);
	memset(n, 0, sizeof(n));
	cr_expect_eq(conker_doctor(check, n), before + 1);
	cr_expect_eq(n[4], CONKER_CHECK_MISSING);
	cr_expect_eq(conker_doctor(NULL, NULL), -EINVAL);
}
