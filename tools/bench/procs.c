/* SPDX-License-Identifier: Apache-2.0 */
/* procs.c - see procs.h.
 *
 * The guest's memory is what adds up to its size exactly: adjacent mappings, private and writable, in which the
 * kernel image and the initramfs may lie as mapped files. Page tables and what the kernel keeps for KVM are in no
 * mapping and not counted.
 */
#include "tools/bench/procs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/num.h"

enum { MAPS_MAX = 512, GENERATIONS = 16 };

struct map {
	uint64_t start, end, rss, pss, private_;
	int guest;
};

void procs_adopt(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static FILE *open_proc(pid_t pid, const char *file)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return fopen(path, "re");
}

/* ---- which processes ----------------------------------------------------------------------------------- */

/* "PID (NAME) S PARENT ...", where the name may hold anything. */
static pid_t parent_of(pid_t pid)
{
	FILE *f = open_proc(pid, "stat");
	char line[512] = "";
	pid_t parent = 0;

	if (f && fgets(line, sizeof(line), f)) {
		const char *p = strrchr(line, ')');

		if (p && strlen(p) > strlen(") S "))
			parent = (pid_t)num_at(p + strlen(") S "));
	}
	if (f)
		(void)fclose(f);
	return parent;
}

static int descends_from_us(pid_t pid)
{
	for (int i = 0; i < GENERATIONS && pid > 1; i++) {
		pid = parent_of(pid);
		if (pid == getpid())
			return 1;
	}
	return 0;
}

void procs_list(struct procs *ret)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;

	DIR *d = opendir("/proc");
	struct dirent *de;

	ret->n = 0;
	while (d && (de = readdir(d)) && ret->n < PROCS_MAX) {
		pid_t pid = (pid_t)num_at(de->d_name);

		if (pid > 0 && descends_from_us(pid))
			ret->pid[ret->n++] = pid;
	}
	if (d)
		(void)closedir(d);
}

static int lists(const struct procs *p, pid_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->pid[i] == pid)
			return 1;
	return 0;
}

/* ---- one process --------------------------------------------------------------------------------------- */

/* "START-END PERMS ...": 1 and the mapping. */
static int read_head(const char *line, struct map *ret)
{
	const char *at = line;

	*ret = (struct map){0};
	if (num_take(&at, NULL, 16, UINT64_MAX, &ret->start) < 0 || *at++ != '-' ||
	    num_take(&at, NULL, 16, UINT64_MAX, &ret->end) < 0)
		return 0;
	ret->guest = strncmp(at, " rw-p ", 6) == 0;
	return *at == ' ';
}

/* "NAME: N kB": N in bytes if that is the name, else 0. */
static uint64_t field(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 ? num_at(line + n) << 10 : 0;
}

static size_t read_maps(pid_t pid, struct map *m)
{
	FILE *f = open_proc(pid, "smaps");
	struct map head;
	char line[512];
	size_t n = 0;

	while (f && n < MAPS_MAX && fgets(line, sizeof(line), f)) {
		if (read_head(line, &head)) {
			m[n++] = head;
		} else if (n) {
			m[n - 1].rss += field(line, "Rss:");
			m[n - 1].pss += field(line, "Pss:");
			m[n - 1].private_ +=
				field(line, "Private_Clean:") + field(line, "Private_Dirty:");
		}
	}
	if (f)
		(void)fclose(f);
	return n;
}

/* Marks the mappings of the guest's memory, and no others. 1: there is one. */
static int find_guest(struct map *m, size_t n, uint64_t size)
{
	size_t first = n, last = 0;

	for (size_t i = 0; i < n && first == n; i++)
		for (size_t j = i; j < n && m[j].guest && (j == i || m[j].start == m[j - 1].end);
		     j++)
			if (m[j].end - m[i].start == size) {
				first = i;
				last = j;
			}
	for (size_t i = 0; i < n; i++)
		m[i].guest = i >= first && i <= last;
	return first < n;
}

static void add_process(pid_t pid, uint64_t guest_bytes, struct map *m, struct footprint *ret)
{
	size_t n = read_maps(pid, m);

	ret->processes++;
	ret->guests += (unsigned)find_guest(m, n, guest_bytes);
	for (size_t i = 0; i < n; i++) {
		*(m[i].guest ? &ret->guest_rss : &ret->own_rss) += m[i].rss;
		*(m[i].guest ? &ret->guest_pss : &ret->own_pss) += m[i].pss;
		*(m[i].guest ? &ret->guest_private : &ret->own_private) += m[i].private_;
	}
}

void procs_measure(const struct procs *before, uint64_t guest_bytes, struct footprint *ret)
{
	struct map *maps = calloc(MAPS_MAX, sizeof(*maps));
	struct procs now;

	*ret = (struct footprint){0};
	procs_list(&now);
	for (size_t i = 0; i < now.n && maps; i++)
		if (!lists(before, now.pid[i]))
			add_process(now.pid[i], guest_bytes, maps, ret);
	free(maps);
}

uint64_t procs_rss(pid_t pid)
{
	struct map *maps = calloc(MAPS_MAX, sizeof(*maps));
	struct footprint f = {0};

	if (maps)
		add_process(pid, 0, maps, &f);
	free(maps);
	return f.own_rss;
}
