/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - see bench.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/boxes.h"
#include "tools/bench/host.h"
#include "tools/bench/jail.h"
#include "tools/bench/procs.h"
#include "tools/bench/tiny.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { MEMORY_MIB = 128, CPUS = 1 };

static const struct {
	const char *word;
	unsigned bit;
} words[] = {
	{"cold", BENCH_COLD},       {"memory", BENCH_MEMORY}, {"peers", BENCH_PEERS},
	{"restore", BENCH_RESTORE}, {"exec", BENCH_EXEC},     {"setup", BENCH_SETUP},
	{"stream", BENCH_STREAM},   {"blk", BENCH_BLK},       {"rate", BENCH_RATE},
	{"all", BENCH_ALL},
};
const char bench_words[] = "cold,memory,peers,restore,exec,setup,stream,blk,rate";

unsigned bench_word(const char *word)
{
	for (size_t i = 0; i < countof(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].bit;
	return 0;
}

struct series *bench_series(struct bench *b, const char *id, const char *system, const char *title,
			    const char *measures, enum unit unit)
{
	struct series *s = result_series(&b->r, id, system);

	if (s) {
		text_ascii(s->title, sizeof(s->title), title);
		text_ascii(s->measures, sizeof(s->measures), measures);
		s->unit = unit;
	}
	return s;
}

/* ---- what is needed ------------------------------------------------------------------------------------- */

static int write_file(const char *path, const void *data, size_t len)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	return io_write_all(fd, data, len);
}

static int make_files(struct bench *b)
{
	const char *tmp = getenv("TMPDIR");
	unsigned char image[TINY_BYTES_MAX];

	(void)snprintf(b->dir, sizeof(b->dir), "%.100s/conker-bench.XXXXXX",
		       tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(b->dir)) {
		b->dir[0] = 0;
		return -errno;
	}
	(void)snprintf(b->initramfs, sizeof(b->initramfs), "%s/pid1.cpio", b->dir);
	return write_file(b->initramfs, image, tiny_initramfs(image));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	(void)remove(path);
	return 0;
}

static void remove_files(struct bench *b)
{
	enum { DESCRIPTORS = 8 };

	if (b->dir[0])
		(void)nftw(b->dir, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}

/* With real blocks: reading holes would be faster than any disk. */
static int make_disk(const char *path)
{
	enum { CHUNK_BYTES = 4096 };
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char chunk[CHUNK_BYTES];

	memset(chunk, 0x5a, sizeof(chunk));
	for (size_t done = 0; done < (size_t)BENCH_DISK_MIB << 20; done += sizeof(chunk))
		if (fd < 0 || write(fd, chunk, sizeof(chunk)) != (ssize_t)sizeof(chunk))
			return -1;
	return 0;
}

/* The kernel's command line as a box has it, without what is for guest-init. */
static int learn_words(struct bench *b)
{
	char *text = NULL, *save = NULL;
	size_t len, at = 0;

	if (conker_file_read(b->box, "/proc/cmdline", NULL, sizeof(b->parts.words), &text, &len) <
	    0)
		return -1;
	text[strcspn(text, "\n")] = 0;
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (strncmp(w, "CONKER_", 7) != 0 && at < sizeof(b->parts.words))
			at += (size_t)snprintf(b->parts.words + at, sizeof(b->parts.words) - at,
					       "%s%s", at ? " " : "", w);
	free(text);
	return 0;
}

static void learn_jail(struct bench *b)
{
	conker_box_info info = {.size = sizeof(info)};
	char jail[320] = "unknown";

	if (conker_box_info_get(b->box, &info) == 0) {
		jail_of(info.vmm_pid, jail, sizeof(jail));
		if (*info.unjailed)
			(void)snprintf(jail, sizeof(jail), "INCOMPLETE, lacks: %.256s",
				       info.unjailed);
	}
	result_fact(&b->r, "jail", jail);
}

/* The box in which the warm series are taken; what it tells of itself is needed by others. */
static int start_box(struct bench *b)
{
	char disk[160];
	const char *disks[] = {disk, NULL};
	conker_box_opts o = {.size = sizeof(o), .memory_mib = MEMORY_MIB, .cpus = CPUS};

	(void)snprintf(disk, sizeof(disk), "%s/disk", b->dir);
	if (b->which & BENCH_BLK) {
		if (make_disk(disk) == 0)
			o.disks = disks;
		else
			result_skip(&b->r, "blk", "no room for the disk's file in TMPDIR");
	}
	int r = conker_box_create(&o, &b->box);
	if (r == 0) {
		learn_jail(b);
		r = learn_words(b);
	}
	return r;
}

static void describe(struct bench *b)
{
	char text[64];
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(b->r.started, sizeof(b->r.started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	host_facts(&b->r);
	(void)snprintf(text, sizeof(text), "%u MiB, %u vCPU", b->parts.memory_mib, b->parts.cpus);
	result_fact(&b->r, "box", text);
}

/* ---- the whole ------------------------------------------------------------------------------------------- */

static const struct part {
	unsigned which;
	unsigned weight;
	void (*run)(struct bench *b, unsigned weight);
} order[] = {
	{BENCH_EXEC, 12, warm_run},
	{BENCH_STREAM | BENCH_BLK, 12, disk_run},
	{BENCH_SETUP, 8, setup_run},
	{BENCH_COLD | BENCH_MEMORY | BENCH_PEERS, 38, boot_run},
	{BENCH_RESTORE | BENCH_MEMORY, 15, restore_run},
	{BENCH_RATE, 15, rate_run},
};

static void run_parts(struct bench *b)
{
	for (size_t i = 0; i < countof(order); i++)
		if (b->which & order[i].which)
			b->plan.weight_left += order[i].weight;
	for (size_t i = 0; i < countof(order) && !b->plan.interrupted(); i++) {
		/* From here on nothing runs beside what is measured. */
		if (order[i].run == setup_run)
			b->box = conker_box_free(b->box);
		if (b->which & order[i].which)
			order[i].run(b, order[i].weight);
	}
	b->box = conker_box_free(b->box);
}

int bench_run(struct bench *b, char *why, size_t size)
{
	uint64_t start = b->plan.now_ns();

	procs_adopt();
	b->parts.memory_mib = MEMORY_MIB;
	b->parts.cpus = CPUS;
	machine_find_parts(&b->parts);
	describe(b);
	int r = make_files(b);
	if (r < 0)
		(void)snprintf(why, size, "directory in TMPDIR: %s", strerror(-r));
	if (r == 0) {
		r = start_box(b);
		if (r < 0)
			(void)snprintf(why, size, "%s", conker_errmsg());
	}
	if (r == 0)
		run_parts(b);
	b->box = conker_box_free(b->box);
	remove_files(b);
	result_drop_empty(&b->r);
	b->r.seconds = (b->plan.now_ns() - start) / 1000000000;
	return b->plan.interrupted() ? -EINTR : r;
}
