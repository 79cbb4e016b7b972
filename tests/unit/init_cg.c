/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/sys/cg*.c that need no cgroup; where files are read, a directory of plain
 * ones stands for it. */
#include "guest-init/sys/cg.h"
#include "tests/lib/test.h"

enum { MIB = 1 << 20 };

Test(init_cg, finds_the_number_of_a_whole_key)
{
	const char *text = "oom 3\noom_kill 12\noom_group_kill 1\n";

	cr_assert_eq(cg_parse(text, "oom"), 3);
	cr_assert_eq(cg_parse(text, "oom_kill"), 12);
	cr_assert_eq(cg_parse(text, "oom_k"), 0);
	cr_assert_eq(cg_parse("", "oom"), 0);
	cr_assert_eq(cg_parse("4096\n", ""), 4096);
	cr_assert_eq(cg_parse("", ""), 0);
}

Test(init_cg, leaves_init_and_every_other_execution_a_share)
{
	for (uint64_t ram = 32; ram <= 65536; ram *= 2) {
		uint64_t free = (ram - 8) * MIB;
		struct cg_plan p = cg_plan(ram * MIB, free, ram * MIB / 32);

		cr_assert_lt(p.box.memory_max_bytes, free);
		cr_assert_gt(p.box.memory_max_bytes, free / 2);
		cr_assert_geq(p.box.memory_max_bytes - p.each.memory_max_bytes, 3 * MIB);
		cr_assert_gt(p.each.memory_max_bytes, p.box.memory_max_bytes / 2);
		cr_assert_leq(2 * p.each.pids_max, p.box.pids_max);
		cr_assert_geq(p.each.pids_max, 64);
	}
}

Test(init_cg, sums_add_times_and_keep_the_highest_peaks)
{
	struct cg_usage sum = {.user_us = 5, .memory_peak_bytes = 10, .pids_peak = 2};
	const struct cg_usage u = {
		.user_us = 7, .memory_peak_bytes = 4, .pids_peak = 3, .oom_kills = 1};

	cg_usage_add(&sum, &u);
	cr_assert_eq(sum.user_us, 12);
	cr_assert_eq(sum.memory_peak_bytes, 10);
	cr_assert_eq(sum.pids_peak, 3);
	cr_assert_eq(sum.oom_kills, 1);
}

/* A group whose files are plain ones, made by hand; only the peak of processes is there. */
static struct cg *group_with_pids_peak(char *dir, const char *peak)
{
	struct cg *c = calloc(1, sizeof(*c));
	const struct cg_limits none = {0};
	char path[64];

	cr_assert(c && mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/pids.peak", dir);
	FILE *f = fopen(path, "w");
	cr_assert(f && fputs(peak, f) >= 0 && fclose(f) == 0);
	cg_init(c, -1, &none);
	c->n_made = 1;
	c->group[0].dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memset(c->group[0].fd, -1, sizeof(c->group[0].fd));
	return c;
}

static void remove_group_dir(const char *dir)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/pids.peak", dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

Test(init_cg, a_group_whose_peak_can_be_reset_is_as_new_after_company)
{
	char dir[] = "/tmp/conker-cg-XXXXXX";
	struct cg *c = group_with_pids_peak(dir, "3\n");

	(void)!cg_left_behind(c, 0);
	cr_assert(c->group[0].was_shared);
	cg_put(c, 0);
	cr_assert_eq(c->n_free, 0, "what need not be done at once waits");
	cg_tidy(c);
	cr_assert_eq(c->n_free, 1);
	cr_assert_not(c->group[0].was_shared);
	remove_group_dir(dir);
	free(c);
}

Test(init_cg, a_group_without_a_peak_stays_shared)
{
	char dir[] = "/tmp/conker-cg-XXXXXX";
	struct cg *c = group_with_pids_peak(dir, "3\n");

	remove_group_dir(dir);
	(void)!cg_left_behind(c, 0);
	cg_put(c, 0);
	cg_tidy(c);
	cr_assert_eq(c->n_free, 1);
	cr_assert(c->group[0].was_shared);
	free(c);
}
