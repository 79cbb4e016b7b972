/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/sys/child.c: nothing of init's can be had by a process that is about to be one of the box's. */
#include "tests/lib/init_fixture.h"

TestSuite(init_spawn, .init = start_server, .fini = stop_server, .timeout = 240);

enum { FIRST = 3, FDS = 64 };

static struct conn c;
static uint32_t channel;

static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static struct result run(const char *cwd, const char *user, const char *const *argv)
{
	Conker__Start s = CONKER__START__INIT;

	s.cwd = bytes(cwd);
	s.user = bytes(user);
	start(&c, ++channel, &s, (const char **)(uintptr_t)argv);
	return finish(&c, channel);
}

/* The server then has a copy of its executable, and as many descriptors as it ever has without a load. */
static void fill_table(void)
{
	Conker__Start s = CONKER__START__INIT;

	c = connect_init();
	s.builtin = 1;
	start(&c, ++channel, &s, (const char *[]){"conker-files", NULL});
	(void)finish(&c, channel);
	for (int i = 0; i < 3; i++) {
		Conker__Start sleeper = CONKER__START__INIT;

		start(&c, ++channel, &sleeper, (const char *[]){"sleep", "1000", NULL});
	}
}

static void refuse(const char *cwd, const char *program, const char *step)
{
	struct result r = run(cwd, "", (const char *[]){program, NULL});

	cr_assert_eq(r.done, 'e', "'%s' in '%s'", program, cwd);
	cr_assert_str_eq(r.step, step, "'%s' in '%s'", program, cwd);
}

Test(init_spawn, no_descriptor_of_init_is_a_working_directory)
{
	static const char *const ways[][2] = {{"/proc/self/fd/", ""},
					      {"/proc/thread-self/fd/", ""},
					      {"/proc/self/fd/", "/.."},
					      {"/dev/fd/", ""}};
	char path[64];

	fill_table();
	for (size_t i = 0; i < countof(ways); i++)
		for (int fd = FIRST; fd < FDS; fd++) {
			(void)snprintf(path, sizeof(path), "%s%d%s", ways[i][0], fd, ways[i][1]);
			refuse(path, "true", "cwd");
		}
}

Test(init_spawn, no_descriptor_of_init_is_a_program_or_has_one)
{
	char path[64];

	fill_table();
	for (int fd = FIRST; fd < FDS; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		refuse("", path, "exec");
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/cgroup.procs", fd);
		struct result r = run("", "", (const char *[]){path, NULL});
		cr_assert_eq(r.done, 'e');
		cr_assert_eq(r.code, ENOENT, "%s", path);
	}
}

static void write_script(const char *path, const char *interpreter)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "#!%s\n", interpreter), 0);
	(void)close(fd);
	cr_assert_eq(chmod(path, 0755), 0);
}

Test(init_spawn, no_descriptor_of_init_is_an_interpreter)
{
	char path[96], interpreter[64];

	fill_table();
	(void)snprintf(path, sizeof(path), "%s/script", dir);
	for (int fd = FIRST; fd < FDS; fd++) {
		(void)snprintf(interpreter, sizeof(interpreter), "/proc/self/fd/%d", fd);
		write_script(path, interpreter);
		refuse("", path, "exec");
	}
	(void)unlink(path);
}

/* The file of users is a link to what init has open: an end of a pipe would have been waited for, and read. */
Test(init_spawn, no_descriptor_of_init_is_a_file_of_users)
{
	char script[128];

	fill_table();
	struct result r =
		run("", "", (const char *[]){"sh", "-c", "mount -t tmpfs etc /etc", NULL});
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 0);
	for (int fd = FIRST; fd < FDS; fd++) {
		(void)snprintf(script, sizeof(script), "ln -sfn /proc/self/fd/%d /etc/passwd", fd);
		(void)run("", "", (const char *[]){"sh", "-c", script, NULL});
		int64_t before_ms = now_us() / 1000;
		r = run("", "nobody", (const char *[]){"true", NULL});
		cr_assert_eq(r.done, 'e');
		cr_assert_str_eq(r.step, "user");
		cr_assert_lt(now_us() / 1000 - before_ms, CHILD_STUCK_MS / 2, "descriptor %d", fd);
	}
}

Test(init_spawn, its_root_and_directory_are_the_boxes)
{
	static const char *const ways[] = {"/proc/self/root", "/proc/self/cwd", "/proc/1/root",
					   "/proc/1/cwd"};

	c = connect_init();
	for (size_t i = 0; i < countof(ways); i++) {
		struct result r = run(ways[i], "", (const char *[]){"pwd", NULL});

		cr_assert(said(&r, "/\n"), "%s: %.*s", ways[i], (int)r.out_len, r.out);
	}
}

/* It is not a file of init's that has no name here. */
Test(init_spawn, stdin_of_who_has_none_is_the_boxes_own_null)
{
	struct result r;

	c = connect_init();
	r = run("", "",
		(const char *[]){"sh", "-c",
				 "readlink /proc/self/fd/0; id=$(sed -n 's/mnt_id:[^0-9]*//p' "
				 "/proc/self/fdinfo/0); grep -c \"^$id \" /proc/self/mountinfo",
				 NULL});
	cr_assert(said(&r, "/dev/null\n1\n"), "%.*s", (int)r.out_len, r.out);
}
