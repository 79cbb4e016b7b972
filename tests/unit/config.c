/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config.h"

enum { ARGS = 80, VALUE_BYTES = 8 * (VMM_PARTS_MAX + 2) };

static struct config c;
static struct err e;

/* Parses "conker-vmm", then the words given. */
static int parse(const char *const *words)
{
	char *argv[ARGS] = {(char *)"conker-vmm"};
	int argc = 1;

	while (words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	e = (struct err){0};
	return config_parse(argc, argv, &c, &e);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})
#define MINIMUM    "--memory-mib", "128", "--cpus", "1", "--kernel-fd", "3", "--cmdline", "x"

Test(config, minimum_leaves_the_rest_absent)
{
	cr_assert_eq(PARSE(MINIMUM), 0, "%s", e.msg);
	cr_assert_eq(c.memory_mib, 128);
	cr_assert_eq(c.cpus, 1);
	cr_assert_eq(c.fd[VMM_FD_KERNEL], 3);
	cr_assert_str_eq(c.cmdline, "x");
	cr_assert_eq(c.fd[VMM_FD_INITRD], -1);
	cr_assert_eq(c.fd[VMM_FD_CONSOLE], -1);
	cr_assert_eq(c.fd[VMM_FD_STATE], -1);
	cr_assert_eq(c.fd[VMM_FD_LOCK], -1);
	cr_assert_eq(c.fd[VMM_FD_OWNER], -1);
	cr_assert_eq(c.ndisks, 0);
	cr_assert_eq(c.nlisteners, 0);
	cr_assert(!c.detach && !c.verbose);
}

Test(config, a_question_needs_no_machine)
{
	cr_assert_eq(PARSE("--jail-check"), 0, "%s", e.msg);
	cr_assert(c.jail_check);
	cr_assert_eq(PARSE("--help"), 0, "%s", e.msg);
	cr_assert(c.help);
	cr_assert_eq(PARSE("--detach"), -EINVAL);
}

Test(config, the_jail_is_on_unless_said_otherwise)
{
	cr_assert_eq(PARSE(MINIMUM), 0);
	cr_assert_eq(c.jail, JAIL_ON);
	cr_assert_eq(PARSE(MINIMUM, "--jail", "required"), 0);
	cr_assert_eq(c.jail, JAIL_REQUIRED);
	cr_assert_eq(PARSE(MINIMUM, "--jail", "off"), 0);
	cr_assert_eq(c.jail, JAIL_OFF);
	cr_assert_eq(PARSE(MINIMUM, "--jail", "no"), -EINVAL);
	cr_assert(strstr(e.msg, "--jail"), "%s", e.msg);
}

Test(config, all_options_arrive)
{
	cr_assert_eq(PARSE(MINIMUM, "--initrd-fd", "4", "--disk", "5:ro", "--disk", "6",
			   "--vsock-listen", "7:1", "--console-fd", "8", "--state-fd", "9",
			   "--lock-fd", "10", "--owner-fd", "11", "--detach", "--verbose"),
		     0, "%s", e.msg);
	cr_assert_eq(c.fd[VMM_FD_INITRD], 4);
	cr_assert_eq(c.ndisks, 2);
	cr_assert(c.fd[VMM_FD_DISK] == 5 && c.disk_is_ro[0]);
	cr_assert(c.fd[VMM_FD_DISK + 1] == 6 && !c.disk_is_ro[1]);
	cr_assert_eq(c.nlisteners, 1);
	cr_assert(c.fd[VMM_FD_LISTEN] == 7 && c.listener_port[0] == 1);
	cr_assert_eq(c.fd[VMM_FD_CONSOLE], 8);
	cr_assert_eq(c.fd[VMM_FD_STATE], 9);
	cr_assert_eq(c.fd[VMM_FD_LOCK], 10);
	cr_assert_eq(c.fd[VMM_FD_OWNER], 11);
	cr_assert(c.detach && c.verbose);
}

static int is_restore(int i)
{
	return i == VMM_FD_RESTORE_STATE || i == VMM_FD_RESTORE_MEMORY;
}

/* N+N...:ro of n files: the first disk's own, and those of the table from the first part on, or all fd. */
static void joined(char ret[VALUE_BYTES], int first, unsigned n, int fd)
{
	size_t used = (size_t)snprintf(ret, VALUE_BYTES, "%d", first);

	for (unsigned i = 0; i + 1 < n; i++)
		used += (size_t)snprintf(ret + used, VALUE_BYTES - used, "+%d",
					 fd < 0 ? 100 + VMM_FD_PART + (int)i : fd);
	(void)snprintf(ret + used, VALUE_BYTES - used, ":ro");
}

/* What its option says of the i-th descriptor: its number is 100 + i. False: another says it. */
static bool value_of(int i, char ret[VALUE_BYTES])
{
	bool one_of_many = i >= VMM_FD_LISTEN && i <= VMM_FD_DISK_LAST;

	if (i >= VMM_FD_PART && i <= VMM_FD_PART_LAST)
		return false;
	if (i == VMM_FD_DISK)
		joined(ret, 100 + i, VMM_PARTS_MAX + 1, -1);
	else if (i >= VMM_FD_LISTEN && i <= VMM_FD_LISTEN_LAST)
		(void)snprintf(ret, 32, "%d:1", 100 + i);
	else if (!one_of_many && vmm_fd_has_next(i))
		(void)snprintf(ret, 32, "%d:%d", 100 + i, 101 + i);
	else
		(void)snprintf(ret, 32, "%d", 100 + i);
	return one_of_many || i == 0 || !vmm_fd_has_next(i - 1);
}

/* All of the table but those that exclude the others, or the other way round. */
static void all_arrive(const char **words, unsigned n, int restore)
{
	static char value[VMM_FDS][VALUE_BYTES];

	for (int i = 0; i < VMM_FDS; i++)
		if (vmm_fd_option[i] && is_restore(i) == restore && value_of(i, value[i])) {
			words[n++] = vmm_fd_option[i];
			words[n++] = value[i];
		}
	cr_assert_eq(parse(words), 0, "%s", e.msg);
	for (int i = 0; i < VMM_FDS; i++)
		cr_expect_eq(c.fd[i], vmm_fd_option[i] && is_restore(i) == restore ? 100 + i : -1,
			     "%d", i);
}

Test(config, each_descriptor_of_the_table_arrives_by_its_option)
{
	const char *some[ARGS] = {"--memory-mib", "128", "--cpus", "1", "--cmdline", "x"};
	const char *others[ARGS] = {"--memory-mib", "128", "--cpus", "1"};

	all_arrive(some, 6, 0);
	all_arrive(others, 4, 1);
}

Test(config, numbers_are_digits_only)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x3", "3fd", "2147483648", "99999999999999999999"};

	for (size_t i = 0; i < countof(bad); i++) {
		cr_expect_eq(PARSE(MINIMUM, "--initrd-fd", bad[i]), -EINVAL, "'%s'", bad[i]);
		cr_expect_eq(PARSE(MINIMUM, "--cpus", bad[i]), -EINVAL, "'%s'", bad[i]);
		cr_expect_eq(PARSE(MINIMUM, "--disk", bad[i]), -EINVAL, "'%s'", bad[i]);
		cr_expect_eq(PARSE(MINIMUM, "--vsock-listen", bad[i]), -EINVAL, "'%s'", bad[i]);
	}
	cr_assert_eq(PARSE(MINIMUM, "--initrd-fd", "2147483647"), 0);
}

Test(config, composed_values_are_complete)
{
	static const char *const disks[] = {"5:",       "5:rw",      "5:ro ",   ":ro",
					    "ro",       "5+",        "5+:ro",   "+5:ro",
					    "5+6+:ro",  "5++6:ro",   "5+6:",    "5+6:rw",
					    "5+6:ro+7", "5:ro+6:ro", "5 +6:ro", "5+-1:ro"};
	static const char *const listeners[] = {"5", "5:", ":1", "5:1:2", "5:4294967295", "5:-1"};

	for (size_t i = 0; i < countof(disks); i++)
		cr_expect_eq(PARSE(MINIMUM, "--disk", disks[i]), -EINVAL, "'%s'", disks[i]);
	for (size_t i = 0; i < countof(listeners); i++)
		cr_expect_eq(PARSE(MINIMUM, "--vsock-listen", listeners[i]), -EINVAL, "'%s'",
			     listeners[i]);
	cr_assert_eq(PARSE(MINIMUM, "--vsock-listen", "5:4294967294"), 0);
}

Test(config, limits_hold_at_the_limit_and_one_past_it)
{
	cr_expect_eq(PARSE(MINIMUM, "--memory-mib", "32"), 0);
	cr_expect_eq(PARSE(MINIMUM, "--memory-mib", "31"), -EINVAL);
	cr_expect_eq(PARSE(MINIMUM, "--memory-mib", "16777216"), 0);
	cr_expect_eq(PARSE(MINIMUM, "--memory-mib", "16777217"), -EINVAL);
	cr_expect_eq(PARSE(MINIMUM, "--cpus", "32"), 0);
	cr_expect_eq(PARSE(MINIMUM, "--cpus", "33"), -EINVAL);
	cr_expect_eq(PARSE(MINIMUM, "--cpus", "0"), -EINVAL);
}

Test(config, disks_and_listeners_are_counted)
{
	const char *words[ARGS] = {MINIMUM};
	unsigned n = 8;

	for (int i = 0; i < VMM_DISKS_MAX; i++) {
		words[n++] = "--disk";
		words[n++] = "5";
	}
	cr_assert_eq(parse(words), 0, "%s", e.msg);
	cr_assert_eq(c.ndisks, VMM_DISKS_MAX);
	words[n++] = "--disk";
	words[n++] = "5";
	cr_assert_eq(parse(words), -EINVAL);

	n = 8;
	memset(&words[n], 0, sizeof(words) - n * sizeof(words[0]));
	for (int i = 0; i < VMM_LISTENERS_MAX + 1; i++) {
		words[n++] = "--vsock-listen";
		words[n++] = "5:6";
	}
	cr_assert_eq(parse(words), -EINVAL);
	words[n - 2] = NULL;
	cr_assert_eq(parse(words), 0, "%s", e.msg);
}

Test(config, a_joined_disk_is_only_read)
{
	cr_assert_eq(PARSE(MINIMUM, "--disk", "5+6"), -EINVAL);
	cr_assert(strstr(e.msg, "--disk") && strstr(e.msg, "':ro'"), "%s", e.msg);
	cr_assert_eq(PARSE(MINIMUM, "--disk", "5+6:ro"), 0, "%s", e.msg);
	cr_assert(c.disk_is_ro[0] && c.disk_parts[0] == 1 && c.fd[VMM_FD_PART] == 6);
}

Test(config, the_files_of_joined_disks_are_one_after_the_other)
{
	cr_assert_eq(PARSE(MINIMUM, "--disk", "5+6+7:ro", "--disk", "8", "--disk", "9+10+6:ro"), 0,
		     "%s", e.msg);
	cr_assert_eq(c.ndisks, 3);
	cr_assert(c.fd[VMM_FD_DISK] == 5 && c.fd[VMM_FD_DISK + 1] == 8 &&
		  c.fd[VMM_FD_DISK + 2] == 9);
	cr_assert(c.disk_parts[0] == 2 && c.disk_parts[1] == 0 && c.disk_parts[2] == 2);
	cr_assert(c.disk_is_ro[0] && !c.disk_is_ro[1] && c.disk_is_ro[2]);
	cr_assert(c.fd[VMM_FD_PART] == 6 && c.fd[VMM_FD_PART + 1] == 7 &&
		  c.fd[VMM_FD_PART + 2] == 10 && c.fd[VMM_FD_PART + 3] == 6);
	cr_assert_eq(c.fd[VMM_FD_PART + 4], -1);
}

Test(config, files_of_disks_are_counted)
{
	static char most[VALUE_BYTES];

	joined(most, 5, VMM_PARTS_MAX + 1, 6);
	cr_assert_eq(PARSE(MINIMUM, "--disk", most), 0, "%s", e.msg);
	cr_assert_eq(c.nparts, VMM_PARTS_MAX);
	cr_assert_eq(PARSE(MINIMUM, "--disk", most, "--disk", "7:ro"), 0, "%s", e.msg);
	cr_assert_eq(PARSE(MINIMUM, "--disk", most, "--disk", "7+8:ro"), -EINVAL);
	cr_assert(strstr(e.msg, "513") && strstr(e.msg, "512"), "%s", e.msg);
	joined(most, 5, VMM_PARTS_MAX + 2, 6);
	cr_assert_eq(PARSE(MINIMUM, "--disk", most), -EINVAL);
	cr_assert(strstr(e.msg, "513"), "%s", e.msg);
}

Test(config, command_line_of_the_kernel_is_bounded)
{
	char line[CONFIG_CMDLINE_MAX + 2];

	memset(line, 'a', sizeof(line));
	line[CONFIG_CMDLINE_MAX] = '\0';
	cr_assert_eq(PARSE(MINIMUM, "--cmdline", line), 0);
	line[CONFIG_CMDLINE_MAX] = 'a';
	line[CONFIG_CMDLINE_MAX + 1] = '\0';
	cr_assert_eq(PARSE(MINIMUM, "--cmdline", line), -EINVAL);
}

Test(config, errors_name_the_culprit)
{
	cr_assert_eq(PARSE(MINIMUM, "--colour", "red"), -EINVAL);
	cr_assert(strstr(e.msg, "--colour"));
	cr_assert_eq(PARSE(MINIMUM, "--initrd-fd"), -EINVAL);
	cr_assert(strstr(e.msg, "--initrd-fd"));
	cr_assert_eq(PARSE(MINIMUM, "stray"), -EINVAL);
	cr_assert(strstr(e.msg, "stray"));
	cr_assert_eq(PARSE("--memory-mib", "128", "--cpus", "1", "--cmdline", "x"), -EINVAL);
	cr_assert(strstr(e.msg, "--kernel-fd"));
	cr_assert_eq(PARSE("--memory-mib", "128", "--cpus", "1", "--kernel-fd", "3"), -EINVAL);
	cr_assert(strstr(e.msg, "--cmdline"));
	cr_assert_eq(PARSE("--kernel-fd", "3", "--cmdline", "x", "--cpus", "1"), -EINVAL);
	cr_assert(strstr(e.msg, "--memory-mib"));
}

Test(config, help_needs_nothing_else)
{
	cr_assert_eq(PARSE("--help"), 0);
	cr_assert(c.help);
}

Test(config, failure_leaves_the_result_alone)
{
	c.cpus = 77;
	cr_assert_eq(PARSE(MINIMUM, "--cpus", "x"), -EINVAL);
	cr_assert_eq(c.cpus, 77);
}

Test(config, rates_have_defaults_that_are_finite)
{
	cr_assert_eq(PARSE(MINIMUM), 0);
	cr_assert(c.disk_rate.bytes_per_s && c.disk_rate.ops_per_s);
	cr_assert(c.vsock_rate.bytes_per_s && c.vsock_rate.ops_per_s);
	cr_assert(c.console_rate.bytes_per_s && c.console_rate.ops_per_s);
}

Test(config, a_rate_sets_what_it_names_and_nothing_else)
{
	cr_assert_eq(PARSE(MINIMUM, "--disk-rate", "1000:20", "--vsock-rate", "5000",
			   "--console-rate", ":7"),
		     0, "%s", e.msg);
	cr_assert(c.disk_rate.bytes_per_s == 1000 && c.disk_rate.ops_per_s == 20);
	cr_assert(c.vsock_rate.bytes_per_s == 5000);
	cr_assert_eq(c.vsock_rate.ops_per_s, CONFIG_VSOCK_OPS_PER_S);
	cr_assert_eq(c.console_rate.bytes_per_s, CONFIG_CONSOLE_BYTES_PER_S);
	cr_assert_eq(c.console_rate.ops_per_s, 7);
}

Test(config, a_rate_of_0_is_none_and_the_largest_fits_a_bucket)
{
	struct rate r;

	cr_assert_eq(PARSE(MINIMUM, "--disk-rate", "0:0", "--vsock-rate", "8589934592:8589934592"),
		     0, "%s", e.msg);
	rate_init(&r, &c.disk_rate, 0);
	cr_assert_not(rate_is_limited(&r));
	rate_init(&r, &c.vsock_rate, 0);
	cr_assert(rate_is_limited(&r));
}

Test(config, rates_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"",
		":",
		"1:",
		"1:2:3",
		"-1",
		"1K",
		"1:x",
		" 1",
		"::1",
		"8589934593",
		"1 :2",
		"1:0x2",
		"1:\n2",
		"99999999999999999999999:1",
		"1:8589934593",
	};

	for (size_t i = 0; i < countof(bad); i++) {
		cr_assert_lt(PARSE(MINIMUM, "--disk-rate", bad[i]), 0, "'%s'", bad[i]);
		cr_assert_not_null(strstr(e.msg, "--disk-rate"), "%s", e.msg);
	}
}
