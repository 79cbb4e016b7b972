/* SPDX-License-Identifier: Apache-2.0 */
/* isolation.c - the half of `conker doctor` that is about walls: which layers hold a VMM on this host, which are
 * missing and why, and what of the host lets one box learn about another.
 *
 * The layers are not guessed from settings. conker-vmm --jail-check enters the jail without a machine and tells what
 * it could not have (vmm/jail_check.h).
 */
#include "lib/host/host.h"
#include "lib/host/boxdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REPORT_BYTES = 4096, FOUND_BYTES = 512 };

/* ---- the jail ------------------------------------------------------------------------------------------ */

/* What `conker-vmm --jail-check` says. */
static int ask_vmm(char *report, size_t size, struct err *e)
{
	static char *const no_env[] = {NULL};
	char path[4096];
	char *argv[] = {path, (char *)"--jail-check", NULL};
	int pidfd;
	auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	auto_close int out = spawn_stderr();
	int fds[] = {null, out, out};
	struct spawn s = {.path = path,
			  .argv = argv,
			  .env = no_env,
			  .fds = fds,
			  .nfds = countof(fds),
			  .flags = SPAWN_TOOL,
			  .dir = -1,
			  .cgroup = -1};

	int r = place_vmm(path, sizeof(path), e);
	if (r < 0)
		return r;
	if (null < 0 || out < 0)
		return err_set(e, EIO, "make a memory file for its answer");
	r = spawn_start(&s, &pidfd);
	if (r < 0)
		return err_set(e, -r, "start '%s': %s", path, strerror(-r));
	(void)spawn_reap(pidfd);
	close(pidfd);
	ssize_t n = pread(out, report, size - 1, 0);
	report[n > 0 ? n : 0] = 0;
	return 0;
}

int isolation_find(const char *report, const char *key, char *ret, size_t size)
{
	size_t len = strlen(key);

	for (const char *p = report; *p; p += strcspn(p, "\n"), p += *p != 0) {
		if (strncmp(p, key, len) != 0 || (p[len] && !strchr(" \n", p[len])))
			continue;
		p += len + (p[len] == ' ');
		(void)snprintf(ret, size, "%.*s", (int)strcspn(p, "\n"), p);
		clean_text(ret);
		return 1;
	}
	return 0;
}

static const char no_namespace[] =
	"the kernel lacks it or a container forbids it: see "
	"/proc/sys/user/max_*_namespaces and the container's seccomp profile";

static void check_namespaces(struct doctor *d, const char *report)
{
	static const char *const kinds[] = {"user", "mount", "pid", "net", "ipc", "uts", "cgroup"};
	static const char no_user[] =
		"sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 "
		"kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)";

	for (size_t i = 0; i < countof(kinds); i++) {
		char key[32], what[32], found[128] = "not tried";

		(void)snprintf(key, sizeof(key), "namespace %s", kinds[i]);
		(void)snprintf(what, sizeof(what), "jail: %s namespace", kinds[i]);
		(void)isolation_find(report, key, found, sizeof(found));
		int ok = strcmp(found, "ok") == 0;
		doctor_say(d, ok ? CONKER_CHECK_OK : CONKER_CHECK_WEAK, what,
			   ok ? "can be made" : found, i == 0 ? no_user : no_namespace);
	}
}

static const struct layer {
	const char *name, *what, *holds, *advice;
} layers[] = {
	{"namespaces", "jail: all namespaces", "entered", no_namespace},
	{"empty-root", "jail: empty root", "entered (pivot_root)",
	 "a container or security module forbids mounting; the VMM sees the host's files"},
	{"user-id", "jail: user id", "one that owns nothing",
	 "as root in a container that maps no other user, the VMM stays that root"},
	{"user-namespace", "jail: own user ns", "entered",
	 "the VMM stays in the caller's user namespace"},
	{"capability-bounds", "jail: bounding set", "empty",
	 "capabilities may be regained by exec only"},
	{"capabilities", "jail: capabilities", "none", "the VMM keeps the caller's"},
	{"no-new-privs", "jail: no_new_privs", "set", "the kernel is too old"},
	{"limits", "jail: resource limits", "set", "limits of the caller hold instead"},
	{"seccomp", "jail: system calls", "filtered, for each kind of thread",
	 "the kernel needs CONFIG_SECCOMP_FILTER"},
};

static void check_layers(struct doctor *d, const char *report)
{
	char failed[FOUND_BYTES] = "no answer from conker-vmm";
	int jailed = isolation_find(report, "jailed", failed, sizeof(failed));

	if (!jailed) {
		(void)isolation_find(report, "failed", failed, sizeof(failed));
		doctor_say(d, CONKER_CHECK_WEAK, "jail", failed,
			   "the VMM cannot be jailed at all here");
		return;
	}
	for (size_t i = 0; i < countof(layers); i++) {
		char key[48], reason[128];

		(void)snprintf(key, sizeof(key), "unjailed %s", layers[i].name);
		int lacks = isolation_find(report, key, reason, sizeof(reason));
		doctor_say(d, lacks ? CONKER_CHECK_WEAK : CONKER_CHECK_OK, layers[i].what,
			   lacks ? reason : layers[i].holds, layers[i].advice);
	}
}

static void check_jail(struct doctor *d)
{
	char report[REPORT_BYTES] = "";
	struct err e = {0};

	if (ask_vmm(report, sizeof(report), &e) < 0) {
		doctor_say(d, CONKER_CHECK_WEAK, "jail", e.msg, "it could not be tried");
		return;
	}
	check_namespaces(d, report);
	check_layers(d, report);
}

static void check_cgroup(struct doctor *d)
{
	char path[CGROUP_BYTES], on[128], found[CGROUP_BYTES + 160];
	struct err e = {0};
	auto_close int dir = cgroup_parent(path, &e);

	if (dir < 0) {
		doctor_say(d, CONKER_CHECK_WEAK, "cgroup v2", e.msg,
			   "a box's VMM is not held to limits of memory, threads and CPU by the "
			   "host: boot "
			   "with systemd.unified_cgroup_hierarchy=1; as a user, run under "
			   "`systemd-run --user "
			   "--scope`, or name a delegated cgroup with CONKER_CGROUP");
		return;
	}
	(void)snprintf(found, sizeof(found), "%s/cgroup.subtree_control", path);
	dir_slurp(AT_FDCWD, found, on, sizeof(on));
	(void)snprintf(found, sizeof(found), "%s (%s)", path, on);
	doctor_say(d, CONKER_CHECK_OK, "cgroup v2", found, "");
}

/* Boxes need no root where the device is somebody's group. */
static void check_rootless(struct doctor *d)
{
	char found[64];
	struct stat st;

	if (geteuid() != 0 || stat("/dev/kvm", &st) < 0)
		return;
	int open_to_group = (st.st_mode & 0060) == 0060 && st.st_gid != 0;
	int open_to_all = (st.st_mode & 0006) == 0006;
	(void)snprintf(found, sizeof(found), "mode %04o, group %u", (unsigned)(st.st_mode & 07777),
		       (unsigned)st.st_gid);
	doctor_say(d, open_to_group || open_to_all ? CONKER_CHECK_OK : CONKER_CHECK_WEAK,
		   "/dev/kvm without root", found,
		   "only root can make boxes: chgrp kvm /dev/kvm && chmod 660 /dev/kvm, and join "
		   "the group");
}

/* ---- between boxes --------------------------------------------------------------------------------------- */

static void check_smt(struct doctor *d)
{
	char on[8];

	dir_slurp(AT_FDCWD, "/sys/devices/system/cpu/smt/active", on, sizeof(on));
	doctor_say(d, *on == '1' ? CONKER_CHECK_WEAK : CONKER_CHECK_OK, "hyper-threads",
		   *on == '1' ? "on" : "off",
		   "boxes on two threads of a core can watch each other's timing: boot with nosmt "
		   "if they must "
		   "not");
}

static void check_ksm(struct doctor *d)
{
	char run[8];

	dir_slurp(AT_FDCWD, "/sys/kernel/mm/ksm/run", run, sizeof(run));
	doctor_say(d, *run == '1' ? CONKER_CHECK_WEAK : CONKER_CHECK_OK, "merging of equal pages",
		   *run == '1' ? "on" : "off",
		   "conker does not offer its memory for it, but a service with MemoryKSM= would, "
		   "and a guest "
		   "can then find out what others hold: echo 2 >/sys/kernel/mm/ksm/run");
}

static void check_swap(struct doctor *d)
{
	char swaps[512];

	dir_slurp(AT_FDCWD, "/proc/swaps", swaps, sizeof(swaps));
	int on = strchr(swaps, '\n') != NULL; /* behind the heading */
	doctor_say(d, on ? CONKER_CHECK_WEAK : CONKER_CHECK_OK, "swap", on ? "on" : "off",
		   "what a guest holds in memory may end on disk: swapoff -a, or encrypt it");
}

static void check_flaws(struct doctor *d)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	char names[FOUND_BYTES] = "", path[512], state[128];
	DIR *stream = opendir(dir);
	struct dirent *de;
	size_t at = 0;

	while (stream && (de = readdir(stream))) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		dir_slurp(AT_FDCWD, path, state, sizeof(state));
		if (strncmp(state, "Vulnerable", 10) == 0 &&
		    at + strlen(de->d_name) + 2 < sizeof(names))
			at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
					       at ? " " : "", de->d_name);
	}
	doctor_say(d, at ? CONKER_CHECK_WEAK : CONKER_CHECK_OK, "flaws of the CPU",
		   at       ? names
		   : stream ? "none without a remedy"
			    : "the kernel does not tell",
		   "a guest may read what it should not: install microcode and kernel updates, and "
		   "do not boot "
		   "with mitigations=off");
	if (stream)
		(void)closedir(stream);
}

void isolation_check(struct doctor *d)
{
	check_rootless(d);
	check_jail(d);
	check_cgroup(d);
	check_smt(d);
	check_ksm(d);
	check_swap(d);
	check_flaws(d);
}
