/* SPDX-License-Identifier: Apache-2.0 */
/* lib_suspend.c - boxes that are put aside, and the templates that boxes may begin with. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/lib/snapshot_fixture.h"

TestSuite(lib_suspend, .init = up, .fini = down, .timeout = 90);

/* ---- suspended boxes ---------------------------------------------------------------------------------------- */

static void suspend(conker_box *b)
{
	cr_assert_eq(conker_box_suspend(b, NULL), 0, "%s", conker_errmsg());
	conker_box_free(b);
}

Test(lib_suspend, a_suspended_box_is_listed_and_opening_it_resumes_it)
{
	int fds = open_fds();
	conker_box *b = detached("b", NULL);
	conker_box_info before = info_of("b"), i;

	cr_assert_eq(run(b, "true"), 0);
	cr_assert_eq(conker_box_suspend(b, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_ping(b, 20000), -ESHUTDOWN);
	conker_box_free(b);
	i = info_of("b");
	cr_expect_eq(i.state, CONKER_BOX_SUSPENDED);
	cr_expect_gt(i.suspended_s, 0);
	cr_expect_gt(i.suspended_bytes, 0);
	cr_expect_eq(i.vmm_pid, 0);
	b = must_open("b");
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	i = info_of("b");
	cr_expect_eq(i.state, CONKER_BOX_RUNNING);
	cr_expect_str_eq(i.id, before.id);
	cr_expect_str_eq(i.from, "");
	cr_expect_eq(i.suspended_s, 0);
	conker_box_free(b);
	cr_expect_eq(open_fds(), fds);
	b = must_open("b");
	suspend(b);
	end(must_open("b"), "b");
}

Test(lib_suspend, removing_a_suspended_box_takes_its_memory_along)
{
	suspend(detached("b", NULL));
	cr_expect_eq(entries("conker/kept"), 1);
	cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0, "%s", conker_errmsg());
	cr_expect_eq(entries("conker/kept"), 0);
	cr_expect_eq(entries("conker/boxes"), 0);
}

Test(lib_suspend, a_suspended_box_is_removed_by_force_only)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b"};
	conker_box *b;

	suspend(detached("b", NULL));
	cr_expect_eq(conker_box_remove("b", 0), -EBUSY);
	cr_expect(strstr(conker_errmsg(), "suspended") && strstr(conker_errmsg(), "stop it first"),
		  "%s", conker_errmsg());
	cr_expect_eq(conker_box_create(&o, &b), -EEXIST);
	cr_expect(strstr(conker_errmsg(), "and is suspended; remove it first (conker rm -f b)"),
		  "%s", conker_errmsg());
	b = must_open("b");
	cr_expect_eq(run(b, "true"), 0, "nothing was lost: %s", conker_errmsg());
	cr_expect_eq(conker_box_create(&o, &b), -EEXIST);
	cr_expect(strstr(conker_errmsg(), "and is running; remove it first (conker rm -f b)"), "%s",
		  conker_errmsg());
	end(must_open("b"), "b");
}

/* Nobody has looked since, so that its files have not got their names yet. */
Test(lib_suspend, one_that_has_just_suspended_itself_is_not_removed_either)
{
	conker_box_opts o = {.name = "b", .flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 1000};
	conker_box *b = must_create(&o);

	cr_expect_lt(run(b, "idle"), 0);
	cr_expect_eq(conker_box_remove("b", 0), -EBUSY, "while it goes: %s", conker_errmsg());
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	conker_box_free(b);
	cr_expect_eq(conker_box_remove("b", 0), -EBUSY, "%s", conker_errmsg());
	cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED);
	cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0, "%s", conker_errmsg());
}

Test(lib_suspend, only_a_box_that_outlives_its_starter_can_be_suspended)
{
	conker_box *b = must_create(&(conker_box_opts){.name = "b"});

	cr_expect_eq(conker_box_suspend(b, NULL), -EINVAL);
	cr_expect(strstr(conker_errmsg(), "ends with the program"), "%s", conker_errmsg());
	cr_expect_eq(run(b, "true"), 0);
	conker_box_free(b);
}

Test(lib_suspend, a_box_that_could_not_be_suspended_runs_on)
{
	conker_box *b = detached("b", "fake=snapfail");

	cr_expect_eq(conker_box_suspend(b, NULL), -ENOSPC, "%s", conker_errmsg());
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	cr_expect_eq(info_of("b").state, CONKER_BOX_RUNNING);
	end(b, "b");
}

Test(lib_suspend, one_that_died_half_way_is_not_taken_for_suspended)
{
	conker_box *b = detached("b", "fake=snapdie");

	cr_expect_lt(conker_box_suspend(b, NULL), 0);
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_KILLED);
	cr_expect_eq(conker_box_open("b", &b), -ESHUTDOWN);
	cr_expect_eq(conker_box_remove("b", 0), 0);
	cr_expect_eq(entries("conker/boxes"), 0);
}

Test(lib_suspend, a_resume_that_fails_leaves_it_suspended)
{
	static const char *const words[] = {"fake=norestore", "fake=noresume"};

	for (size_t i = 0; i < countof(words); i++) {
		conker_box *b = detached("b", words[i]);
		int fds = open_fds();

		cr_assert_eq(conker_box_suspend(b, NULL), 0, "%s", conker_errmsg());
		for (int again = 0; again < 2; again++) {
			conker_box *c = NULL;
			cr_expect_eq(conker_box_open("b", &c), -EINVAL, "%s", conker_errmsg());
			cr_expect(strstr(conker_errmsg(), "resume box 'b'"), "%s", conker_errmsg());
			cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED, "%s", words[i]);
			cr_expect_eq(open_fds(), fds - 0);
		}
		conker_box_free(b);
		cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0, "%s", conker_errmsg());
	}
}

/* It cannot be taken again. */
Test(lib_suspend, one_whose_files_are_damaged_says_how_to_remove_it)
{
	char path[400];
	conker_box *b;

	suspend(detached("b", NULL));
	cr_assert(find_file("conker/kept", "memory", path, sizeof(path)));
	cr_assert_eq(truncate(path, 8192), 0);
	cr_expect_eq(conker_box_open("b", &b), -EBADMSG);
	cr_expect(strstr(conker_errmsg(), "or is damaged; `conker rm -f b` removes it"), "%s",
		  conker_errmsg());
	cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0, "%s", conker_errmsg());
}

/* In a child, where Criterion's assertions may hang. */
static pid_t open_in_child(int not_its_fd)
{
	conker_box *b;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(not_its_fd);
	int r = conker_box_open("b", &b);
	if (r == 0)
		r = run(b, "true");
	if (r < 0)
		fprintf(stderr, "%s\n", conker_errmsg());
	_exit(r != 0);
}

Test(lib_suspend, two_who_open_it_at_once_both_get_it)
{
	enum { CHILDREN = 6 };
	int status;

	suspend(detached("b", NULL));
	for (int i = 0; i < CHILDREN; i++)
		(void)open_in_child(-1);
	for (int i = 0; i < CHILDREN; i++) {
		cr_assert_gt(wait(&status), 0);
		cr_expect_eq(status, 0);
	}
	cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0);
}

/* The next one to read the box's events waits in a pipe. */
static void put_pipe(const char *state)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s.pipe", state);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(rename(path, state), 0);
}

/* Returns once somebody does. */
static int await_reader(const char *state)
{
	int fd = -1;

	for (int i = 0; i < 4000 && fd < 0; i++) {
		usleep(5000);
		fd = open(state, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	}
	cr_assert_geq(fd, 0, "nobody reads the events");
	return fd;
}

static void feed(int fd, const char *events)
{
	cr_assert_eq(write(fd, events, strlen(events)), (ssize_t)strlen(events));
	close(fd);
}

/* Box b is suspended, and whoever looks at it next does so slowly. */
struct slow {
	char state[200], old[210], events[1000];
};

static struct slow be_slow(void)
{
	struct slow s = {0};

	(void)snprintf(s.state, sizeof(s.state), "%s/conker/boxes/b/state", dir);
	(void)snprintf(s.old, sizeof(s.old), "%s.old", s.state);
	suspend(detached("b", NULL));
	int fd = open(s.state, O_RDONLY | O_CLOEXEC);
	cr_assert_gt(read(fd, s.events, sizeof(s.events) - 1), 0);
	close(fd);
	cr_assert_eq(rename(s.state, s.old), 0);
	put_pipe(s.state);
	return s;
}

/* It has swept, and waits for the events that it looks at next: feed() them to what is returned. Others have them. */
static int let_look(const struct slow *s)
{
	int fd = await_reader(s->state); /* it sweeps */

	put_pipe(s->state);
	feed(fd, s->events);
	fd = await_reader(s->state); /* it looks */
	cr_assert_eq(rename(s->old, s->state), 0);
	return fd;
}

Test(lib_suspend, who_looks_slowly_while_another_resumes_it_gets_it_too)
{
	struct slow s = be_slow();
	int status = -1;
	pid_t slow = open_in_child(-1), quick;
	int fd = let_look(&s);
	quick = open_in_child(fd);
	for (int i = 0; i < 100 && waitpid(quick, &status, WNOHANG) == 0; i++)
		usleep(5000);
	feed(fd, s.events);
	if (status == -1)
		cr_assert_eq(waitpid(quick, &status, 0), quick);
	cr_expect_eq(status, 0);
	cr_assert_eq(waitpid(slow, &status, 0), slow);
	cr_expect_eq(status, 0);
	end(must_open("b"), "b");
}

/* Else its VMM would run on, known to nobody. */
Test(lib_suspend, who_removes_it_slowly_keeps_others_from_resuming_it)
{
	struct slow s = be_slow();
	int status = 0;
	pid_t remover = fork(), opener;
	if (remover == 0)
		_exit(conker_box_remove("b", CONKER_RM_FORCE) != 0);
	int fd = let_look(&s);
	opener = open_in_child(fd);
	for (int i = 0; i < 100 && waitpid(opener, &status, WNOHANG) == 0; i++)
		usleep(5000);
	cr_expect_eq(kill(opener, 0), 0, "it did not wait");
	feed(fd, s.events);
	cr_assert_eq(waitpid(remover, &status, 0), remover);
	cr_expect_eq(status, 0);
	cr_assert_eq(waitpid(opener, &status, 0), opener);
	cr_expect_neq(status, 0);
	cr_expect_eq(entries("conker/boxes"), 0);
}

Test(lib_suspend, a_box_may_suspend_itself_again_and_again)
{
	conker_box_opts o = {.name = "b", .flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 1000};
	conker_box *b = must_create(&o);

	for (int i = 0; i < 3; i++) {
		cr_expect_eq(info_of("b").state, CONKER_BOX_RUNNING);
		cr_expect_lt(run(b, "idle"), 0);
		cr_expect_eq(conker_box_wait(b, 20000), 0);
		conker_box_free(b);
		cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED);
		b = must_open("b");
		cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	}
	suspend(b);
	b = must_open("b");
	end(b, "b");
	cr_expect_eq(entries("conker/boxes"), 0);
}

Test(lib_suspend, who_comes_just_when_it_goes_gets_it_all_the_same)
{
	conker_box_opts o = {.name = "b",
			     .flags = CONKER_BOX_DETACHED,
			     .idle_suspend_ms = 1000,
			     .cmdline_append = "fake=drowsy"};

	conker_box_free(must_create(&o));
	conker_box *b = must_open("b");
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	end(b, "b");
}

Test(lib_suspend, a_command_that_came_too_late_is_known_not_to_have_begun)
{
	conker_box_opts o = {.name = "b",
			     .flags = CONKER_BOX_DETACHED,
			     .idle_suspend_ms = 1000,
			     .cmdline_append = "fake=drowsy"};
	conker_box *b = must_create(&o);

	cr_expect_eq(run(b, "idle"), -ERESTART, "%s", conker_errmsg());
	conker_box_free(b);
	b = must_open("b");
	cr_expect_eq(run(b, "idle"), -ESHUTDOWN, "one that began");
	conker_box_free(b);
	b = must_open("b");
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	end(b, "b");
}

/* It has frozen itself, and its VMM is writing. */
Test(lib_suspend, a_box_that_suspends_itself_is_not_suspended_by_another_into_other_files)
{
	conker_box_opts o = {.name = "b", .flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 1000};
	conker_box *b = must_create(&o);
	char path[300];
	struct stat before, after;
	struct err e = {0};
	uint32_t port;

	struct box *itself = box_second(box_of(b), &e);
	cr_assert_eq(box_freeze(&itself->handle, &port, &e), 0, "%s", e.msg);
	cr_assert(find_file("conker/kept", "memory.new", path, sizeof(path)));
	cr_assert_eq(truncate(path, 4096), 0);
	cr_assert_eq(stat(path, &before), 0);
	cr_expect_eq(conker_box_suspend(b, NULL), -EBUSY, "%s", conker_errmsg());
	cr_assert_eq(stat(path, &after), 0);
	cr_expect_eq(after.st_ino, before.st_ino);
	cr_expect_eq(after.st_size, 4096);
	box_teardown(itself);
	end(b, "b");
}

Test(lib_suspend, a_snapshot_elsewhere_that_stops_an_idle_one_does_not_suspend_it)
{
	conker_snapshot_opts stop = {.size = sizeof(stop), .flags = CONKER_SNAPSHOT_STOP};
	conker_box_opts o = {.name = "b", .flags = CONKER_BOX_DETACHED, .idle_suspend_ms = 1000};
	conker_box *b = must_create(&o);

	cr_assert_eq(conker_box_snapshot(b, snap, &stop, NULL), 0, "%s", conker_errmsg());
	cr_expect_eq(info_of("b").state, CONKER_BOX_STOPPED);
	end(b, "b");
}

Test(lib_suspend, idle_options_that_make_no_sense_are_refused)
{
	conker_box_opts o = {.size = sizeof(o), .idle_suspend_ms = 1000};
	conker_box *b;

	cr_expect_eq(conker_box_create(&o, &b), -EINVAL, "it ends with its handle");
	o.flags = CONKER_BOX_DETACHED;
	o.idle_timeout_ms = 1000;
	cr_expect_eq(conker_box_create(&o, &b), -EINVAL, "both");
}

/* ---- templates ---------------------------------------------------------------------------------------------- */

static int templates(void)
{
	return entries("conker/templates");
}

/* Whether the template was made for it. */
static int warm(const conker_box_opts *more)
{
	conker_box_opts o = more ? *more : (conker_box_opts){0};
	conker_box_info i = {.size = sizeof(i)};

	o.flags |= CONKER_BOX_WARM;
	conker_box *b = must_create(&o);
	cr_expect_eq(run(b, "true"), 0, "%s", conker_errmsg());
	cr_assert_eq(conker_box_info_get(b, &i), 0);
	cr_expect(strstr(i.from, "/templates/"), "%s", i.from);
	conker_box_free(b);
	return i.template_us != 0;
}

Test(lib_suspend, a_template_is_made_once_for_each_kind_of_box)
{
	char path[256];

	cr_expect(warm(NULL));
	cr_expect_eq(templates(), 2, "it and its lock");
	cr_expect(!warm(NULL));
	cr_expect(!warm(&(conker_box_opts){.memory_mib = 128, .max_life_ms = 5000}));
	cr_expect_eq(templates(), 2);
	cr_expect(warm(&(conker_box_opts){.memory_mib = 64}));
	cr_expect_eq(templates(), 4);
	cr_expect(warm(&(conker_box_opts){.cmdline_append = "x"}));
	cr_expect_eq(templates(), 6);
	snprintf(path, sizeof(path), "%s/initrd.cpio", dir);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pwrite(fd, "new", 3, 0) == 3 && close(fd) == 0);
	cr_expect(warm(NULL));
	cr_expect_eq(templates(), 6, "of another init; two of the last one's are kept");
	cr_expect_eq(entries("conker/boxes"), 0);
}

struct seen {
	int n, fit;
	conker_template_info last;
};

static int see_template(const conker_template_info *i, void *user)
{
	struct seen *s = user;

	s->n++;
	s->fit += i->fits;
	s->last = *i;
	return 0;
}

static struct seen see_templates(void)
{
	struct seen s = {0};

	cr_assert_eq(conker_template_list(see_template, &s), 0, "%s", conker_errmsg());
	return s;
}

static void replace_init(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/initrd.cpio", dir);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	cr_assert(fd >= 0 && write(fd, "newer", 5) == 5 && close(fd) == 0);
}

Test(lib_suspend, templates_are_listed_and_removed)
{
	cr_expect_eq(see_templates().n, 0);
	cr_expect(warm(NULL));
	struct seen s = see_templates();
	cr_expect_eq(s.n, 1);
	cr_expect_eq(s.fit, 1);
	cr_expect_eq(s.last.memory_mib, 128);
	cr_expect_eq(s.last.cpus, 1);
	cr_expect_gt(s.last.bytes, 0);
	cr_expect_gt(s.last.used_s, 0);
	replace_init();
	cr_expect_eq(see_templates().fit, 0, "it will not be used again");
	cr_expect_eq(conker_template_remove("../x"), -EINVAL);
	cr_expect_eq(conker_template_remove("0123456789abcdef0123456789abcdef"), -ENOENT);
	cr_expect_eq(conker_template_remove(s.last.name), 0, "%s", conker_errmsg());
	cr_expect_eq(templates(), 0);
}

Test(lib_suspend, of_templates_that_no_longer_fit_two_are_kept)
{
	for (int i = 0; i < 4; i++) {
		cr_expect(warm(NULL));
		replace_init();
	}
	struct seen s = see_templates();
	cr_expect_eq(s.n, 3);
	cr_expect_eq(templates(), 6);
	cr_expect(warm(NULL));
	s = see_templates();
	cr_expect_eq(s.n, 3);
	cr_expect_eq(s.fit, 1);
}

Test(lib_suspend, a_damaged_template_is_made_again)
{
	char path[400];

	cr_expect(warm(NULL));
	cr_assert(find_file("conker/templates", "memory", path, sizeof(path)));
	cr_assert_eq(truncate(path, 8192), 0);
	cr_expect(warm(NULL));
	cr_assert(find_file("conker/templates", "manifest", path, sizeof(path)));
	cr_assert_eq(unlink(path), 0);
	cr_expect(warm(NULL));
	cr_expect_eq(templates(), 2);
}

/* In a child, where Criterion's assertions may hang. */
static int try_warm(void)
{
	conker_box_opts o = {.size = sizeof(o), .flags = CONKER_BOX_WARM};
	conker_box *b = NULL;
	int r = conker_box_create(&o, &b);

	if (r < 0)
		fprintf(stderr, "%s\n", conker_errmsg());
	else
		r = run(b, "true");
	conker_box_free(b);
	return r;
}

Test(lib_suspend, makers_at_the_same_time_do_not_clash)
{
	enum { CHILDREN = 4 };
	int status;

	for (int i = 0; i < CHILDREN; i++)
		if (fork() == 0)
			_exit(try_warm() != 0);
	for (int i = 0; i < CHILDREN; i++) {
		cr_assert_gt(wait(&status), 0);
		cr_expect_eq(status, 0);
	}
	cr_expect_eq(templates(), 2);
}

Test(lib_suspend, a_box_from_a_template_has_a_life_and_idle_times_of_its_own)
{
	conker_box_opts o = {.name = "b",
			     .flags = CONKER_BOX_WARM | CONKER_BOX_DETACHED,
			     .idle_suspend_ms = 1000,
			     .max_life_ms = 9000};
	conker_box *b = must_create(&o);

	expect_lifetime(b, "life 9000 idle 1000 suspend 1");
	cr_expect_lt(run(b, "idle"), 0);
	cr_expect_eq(conker_box_wait(b, 20000), 0);
	conker_box_free(b);
	cr_expect_eq(info_of("b").state, CONKER_BOX_SUSPENDED);
	b = must_open("b");
	expect_lifetime(b, "its own");
	end(b, "b");
	cr_expect_eq(templates(), 2);
}

Test(lib_suspend, a_template_has_no_disks)
{
	static const char *const disks[] = {"/dev/null", NULL};
	conker_box_opts o = {.size = sizeof(o), .flags = CONKER_BOX_WARM, .disks = disks};
	conker_box *b;

	cr_expect_eq(conker_box_create(&o, &b), -EINVAL);
}
