/* SPDX-License-Identifier: Apache-2.0 */
/* isolation: what conker-vmm --jail-check says becomes verdicts; cgroups: where they go. */
#include <sys/stat.h>

#include "lib/host/host.h"
#include "lib/host/launch.h"
#include "tests/lib/test.h"

/* ---- the report ------------------------------------------------------------------------------ */

static const char report[] = "namespace user ok\n"
			     "namespace net No space left on device\n"
			     "unjailed user-id Operation not permitted\n"
			     "jailed\n";

Test(lib_isolation, finds_the_rest_of_a_line_by_its_first_words)
{
	char s[64] = "";

	cr_expect_eq(isolation_find(report, "namespace user", s, sizeof(s)), 1);
	cr_expect_str_eq(s, "ok");
	cr_expect_eq(isolation_find(report, "namespace net", s, sizeof(s)), 1);
	cr_expect_str_eq(s, "No space left on device");
	cr_expect_eq(isolation_find(report, "jailed", s, sizeof(s)), 1);
	cr_expect_str_eq(s, "");
}

Test(lib_isolation, a_word_that_only_begins_so_or_stands_elsewhere_is_no_match)
{
	char s[64] = "kept";

	cr_expect_eq(isolation_find(report, "unjailed user", s, sizeof(s)), 0);
	cr_expect_eq(isolation_find(report, "jail", s, sizeof(s)), 0);
	cr_expect_eq(isolation_find("unjailed x\n", "jailed", s, sizeof(s)), 0);
	cr_expect_eq(isolation_find("", "jailed", s, sizeof(s)), 0);
	cr_expect_str_eq(s, "kept");
}

Test(lib_isolation, a_last_line_without_newline_counts_and_a_long_one_is_cut)
{
	char s[4];

	cr_expect_eq(isolation_find("a\nfailed because", "failed", s, sizeof(s)), 1);
	cr_expect_str_eq(s, "bec");
}

/* ---- verdicts, from a VMM that is a script --------------------------------------------------- */

static char dir[64];

static void make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/isolation-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void remove_dir(void)
{
	static const char *const names[] = {"vmm", "cgroup", "innocent"};
	char path[96];

	for (size_t i = 0; i < countof(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	cr_expect_eq(rmdir(dir), 0);
}

static void vmm_says(const char *text)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/vmm", dir);
	FILE *f = fopen(path, "w");
	cr_assert(f);
	(void)fprintf(f, "#!/bin/sh\n[ \"$*\" = --jail-check ] || exit 1\ncat <<'.'\n%s.\n", text);
	(void)fclose(f);
	cr_assert_eq(chmod(path, 0755), 0);
	setenv("CONKER_VMM", path, 1);
}

struct seen {
	char weak[512]; /* "WHAT=FOUND;" of each jail line that is weak */
	int ok;
};

static void on_check(enum conker_check v, const char *what, const char *found, const char *advice,
		     void *user)
{
	struct seen *s = user;
	size_t at = strlen(s->weak);

	cr_expect_eq(v == CONKER_CHECK_OK, *advice == 0, "%s", what);
	cr_expect(*found, "%s", what);
	if (strncmp(what, "jail", 4) != 0)
		return;
	if (v == CONKER_CHECK_OK)
		s->ok++;
	else
		(void)snprintf(s->weak + at, sizeof(s->weak) - at, "%s=%s;", what, found);
}

static struct seen look(void)
{
	struct seen s = {0};
	struct doctor d = {.fn = on_check, .user = &s};

	isolation_check(&d);
	cr_expect_eq(d.missing, 0, "a weak layer is no reason to do without boxes");
	return s;
}

#define NAMESPACES                                                                              \
	"namespace user ok\nnamespace mount ok\nnamespace pid ok\nnamespace net ok\nnamespace " \
	"ipc ok\n"                                                                              \
	"namespace uts ok\nnamespace cgroup ok\n"

Test(lib_isolation, a_complete_jail_is_sixteen_layers, .init = make_dir, .fini = remove_dir)
{
	vmm_says(NAMESPACES "jailed\n");
	struct seen s = look();
	cr_expect_str_eq(s.weak, "");
	cr_expect_eq(s.ok, 16);
}

Test(lib_isolation, what_is_lacking_is_named_with_its_reason, .init = make_dir, .fini = remove_dir)
{
	vmm_says(NAMESPACES "unjailed seccomp Invalid argument\nunjailed user-id Not so\njailed\n");
	struct seen s = look();
	cr_expect_str_eq(s.weak, "jail: user id=Not so;jail: system calls=Invalid argument;");
	cr_expect_eq(s.ok, 14);
}

Test(lib_isolation, a_vmm_that_says_nothing_or_dies_is_no_jail, .init = make_dir,
     .fini = remove_dir)
{
	vmm_says("");
	struct seen s = look();
	cr_expect_eq(s.ok, 0);
	cr_expect(strstr(s.weak, "jail: pid namespace=not tried;"));
	cr_expect(strstr(s.weak, ";jail=no answer from conker-vmm;"));
	vmm_says(NAMESPACES "failed no memory\n");
	s = look();
	cr_expect_str_eq(s.weak, "jail=no memory;");
	setenv("CONKER_VMM", "/nowhere", 1);
	s = look();
	cr_expect(strstr(s.weak, "jail=conker-vmm '/nowhere'"), "%s", s.weak);
}

/* ---- cgroups --------------------------------------------------------------------------------- */

static int describe(const char *told, char *ret, size_t size)
{
	struct meta m = {.id = "0123456789ab", .memory_mib = 64, .cpus = 1};
	int box = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	setenv("CONKER_CGROUP", told, 1);
	int cg = cgroup_make(box, &m);
	cgroup_describe(box, ret, size);
	cgroup_remove(box);
	if (cg >= 0)
		close(cg);
	close(box);
	return cg;
}

Test(lib_isolation, a_box_without_cgroup_knows_why, .init = make_dir, .fini = remove_dir)
{
	static const struct {
		const char *told, *says;
	} cases[] = {
		{"none", "none: CONKER_CGROUP=none"},
		{"relative", "none: CONKER_CGROUP is not an absolute path"},
		{"/nowhere/at/all", "none: open /nowhere/at: No such file or directory"},
		{"/tmp/x", "none: /tmp is no cgroup (v2)"},
		{"/x", "none: / is no cgroup (v2)"},
	};
	char s[CGROUP_BYTES];

	for (size_t i = 0; i < countof(cases); i++) {
		cr_expect_lt(describe(cases[i].told, s, sizeof(s)), 0);
		cr_expect_str_eq(s, cases[i].says);
	}
}

Test(lib_isolation, a_path_that_is_no_cgroup_is_never_removed, .init = make_dir, .fini = remove_dir)
{
	char path[96];
	int box = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(path, sizeof(path), "%s/innocent", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	int fd = openat(box, "cgroup", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(write(fd, path, strlen(path)), (ssize_t)strlen(path));
	close(fd);
	cgroup_remove(box);
	cr_expect_eq(access(path, F_OK), 0);
	close(box);
}
