/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - one run of the benchmark.
 *
 *	run.c         what is needed, in which order, for how long
 *	plan.c        who is measured next, and when it is enough (pure)
 *	warm.c        executions, streams and a disk in one box that is up
 *	boot.c        cold boots, and the memory of the boxes
 *	peers.c       the same kernel in other VMMs
 *	setup.c       VMM set-up
 *	restore.c     boxes from a snapshot
 *	rate.c        boxes per second
 *	machine.c     VMMs started by hand
 *	boxes.c       commands in boxes
 *	procs.c       host memory of processes
 *	host.c jail.c the machine that figures are of
 *	stats.c       percentiles and intervals (pure)
 *	result.c result_json.c text.c          what was found, as a file (pure)
 *	table.c report.c report.html           what was found, for people (pure)
 *	compare.c compare.py                   two such files beside each other
 *	tiny.c        guests of a few instructions (pure)
 *	exec.c stream.c	programs of their own, see there
 *
 * One thread. Nothing is printed but by table.c and the caller.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "lib/conker.h"
#include "tools/bench/machine.h"
#include "tools/bench/plan.h"
#include "tools/bench/result.h"

enum { /* what can be asked for */
       BENCH_COLD = 1 << 0,
       BENCH_MEMORY = 1 << 1,
       BENCH_PEERS = 1 << 2,
       BENCH_RESTORE = 1 << 3,
       BENCH_EXEC = 1 << 4,
       BENCH_SETUP = 1 << 5,
       BENCH_STREAM = 1 << 6,
       BENCH_BLK = 1 << 7,
       BENCH_RATE = 1 << 8,
       BENCH_ALL = (1 << 9) - 1,
};

struct bench {
	struct result r;
	struct plan plan;
	struct parts parts;
	unsigned which;
	int quick;
	char dir[128];       /* files of the run; removed at its end */
	char initramfs[160]; /* of tiny.h, in there */
	char snapshot[160];  /* likewise; "": there is none yet */
	conker_box *box;     /* that is up, for what is measured in one */
};

/* The bit of a word of --series; 0: no such. */
unsigned bench_word(const char *word);
/* "cold,memory,..." */
extern const char bench_words[];

/* Measures what b->which asks for into b->r. 0; -EINTR: interrupted, b->r has what there is; another -errno with why:
 * nothing could be measured. b->plan has clock, end and interruption; result_fini(&b->r) is due. */
must_check int bench_run(struct bench *b, char *why, size_t size);

/* A series with its texts; or NULL. */
struct series *bench_series(struct bench *b, const char *id, const char *system, const char *title,
			    const char *measures, enum unit unit);

/* The parts of a run; each adds its series, runs its group with its weight, and cleans up. */
void warm_run(struct bench *b, unsigned weight);
void disk_run(struct bench *b, unsigned weight);
void boot_run(struct bench *b, unsigned weight);
void setup_run(struct bench *b, unsigned weight);
void restore_run(struct bench *b, unsigned weight);
void rate_run(struct bench *b, unsigned weight);

/* Makes b->snapshot unless it is there: of a box that is idle after some executions. 0, or a library error. By
 * restore.c. */
must_check int bench_snapshot(struct bench *b);

/* The file that warm boxes have as a second disk. */
enum { BENCH_DISK_MIB = 64 };

/* ---- peers.c: tasks for the group of boots -------------------------------------------------------- */

enum { PEERS_MAX = 4 };

struct peer {
	struct bench *b;
	const struct peer_kind *kind;
	struct series *console, *end;
	char program[512];
};

/* Fills tasks of those that can be tried here, says of the others why not; the number. */
size_t peers_tasks(struct bench *b, struct peer *peers, struct task *tasks);

/* ---- memory, by boot.c -------------------------------------------------------------------------------- */

/* Samples of what differs little and takes long. */
enum { MEMORY_MAX = 3 };

struct memory_series {
	struct series *all, *own;
};

/* of: how many live at once. */
void memory_series(struct bench *b, const char *system, unsigned of, struct memory_series *ret);
struct procs;
/* Of the boxes whose processes are not in before; one sample, of a box on average. */
void memory_sample(struct bench *b, const struct memory_series *m, const struct procs *before,
		   unsigned boxes);

#endif
