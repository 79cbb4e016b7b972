/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - see host.h. */
#include "tools/bench/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/conker.h"
#include "util/cleanup.h"
#include "util/num.h"

static const char *slurp(const char *path, char *buf, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return buf;
}

/* "name<spaces>: value" of /proc/cpuinfo and /proc/meminfo: the first one's value. */
static const char *field(const char *path, const char *name, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[4096];

	buf[0] = 0;
	while (f && !*buf && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, name, strlen(name)) != 0)
			continue;
		colon += strspn(colon, ": \t");
		colon[strcspn(colon, "\n")] = 0;
		(void)snprintf(buf, size, "%.*s", (int)size - 1, colon);
	}
	if (f)
		(void)fclose(f);
	return buf;
}

uint64_t host_available_bytes(void)
{
	char text[64];

	return num_at(field("/proc/meminfo", "MemAvailable", text, sizeof(text))) << 10;
}

unsigned host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

/* ---- what KVM it is, as `conker doctor` has it ------------------------------------------------------------- */

struct told {
	char kind[128], cgroup[256];
};

static void on_check(enum conker_check v, const char *what, const char *found, const char *advice,
		     void *user)
{
	struct told *t = user;

	(void)v;
	(void)advice;
	if (strcmp(what, "kind of host") == 0)
		(void)snprintf(t->kind, sizeof(t->kind), "%s", found);
	else if (strcmp(what, "cgroup v2") == 0)
		(void)snprintf(t->cgroup, sizeof(t->cgroup), "%s", found);
}

/* "pvm", "vmx", "svm", the latter two "nested" or not. */
static void kind_facts(struct result *r)
{
	struct told t = {"unknown", "unknown"};
	char kind[64];

	(void)conker_doctor(on_check, &t);
	const char *module = access("/sys/module/kvm_pvm", F_OK) == 0     ? "pvm"
			     : access("/sys/module/kvm_intel", F_OK) == 0 ? "vmx"
			     : access("/sys/module/kvm_amd", F_OK) == 0   ? "svm"
									  : "unknown";
	(void)snprintf(kind, sizeof(kind), "%s%s", module,
		       strstr(t.kind, "nested") ? ", nested" : "");
	result_fact(r, "kind", kind);
	result_fact(r, "kvm", t.kind);
	result_fact(r, "cgroup", t.cgroup);
}

static void setting(struct result *r, const char *key, const char *path)
{
	char text[128];

	if (*slurp(path, text, sizeof(text)))
		result_fact(r, key, text);
}

void host_facts(struct result *r)
{
	char text[320];
	struct utsname u;

	kind_facts(r);
	result_fact(r, "cpu", field("/proc/cpuinfo", "model name", text, sizeof(text)));
	(void)snprintf(text, sizeof(text), "%u", host_cpus());
	result_fact(r, "cpus", text);
	if (uname(&u) == 0)
		result_fact(r, "kernel", u.release);
	result_fact(r, "memory", field("/proc/meminfo", "MemTotal", text, sizeof(text)));
	result_fact(r, "load before", slurp("/proc/loadavg", text, sizeof(text)));
	setting(r, "transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled");
	setting(r, "nx_huge_pages", "/sys/module/kvm/parameters/nx_huge_pages");
	setting(r, "cpu governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	setting(r, "clock source",
		"/sys/devices/system/clocksource/clocksource0/current_clocksource");
}
