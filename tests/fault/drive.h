/* SPDX-License-Identifier: Apache-2.0 */
/* drive.h - runs a program again and again, each time with the next call failing.
 *
 * A driver is a plain program; it makes itself the reaper of all that its programs leave, so that a
 * process left behind is seen. Output: "ok NAME", or "not ok NAME" with the reason and the place.
 */
#ifndef TESTS_FAULT_DRIVE_H
#define TESTS_FAULT_DRIVE_H

#include <stddef.h>

#include "tests/fault/inject.h"

enum { DRIVE_TEXT = 2048, DRIVE_HANG_MS = 20000, DRIVE_FDS = 16 };

struct drive {
	struct fault_page *page;
	char dir[64]; /* of its own, with page and everything else in it */
	int verbose, failed;
	int every; /* 1: each call fails; n: every nth, for a short look */
	int first; /* 1, or the first that fails: short looks that differ see all together */
	int lasts; /* in this round the later ones fail too */
	enum fault_kind only;
};

struct program {
	const char *const *argv;
	const char *const *env; /* beside FAULT_PAGE; NULL ends it */
	int fds[DRIVE_FDS];     /* fds[i] becomes its descriptor i; those of -1 are made here */
	int nfds;               /* at least 3 */
};

struct ended {
	int status; /* exit status, 128 + signal, or -1: hung and killed */
	int left;   /* processes that lived on and were killed */
	char out[DRIVE_TEXT], err[DRIVE_TEXT];
};

/* argv: [-v] [-e EVERY] [-k KIND] OPERAND...; the index of the first operand, or -1. */
int drive_init(struct drive *d, int argc, char **argv);
/* The process is to be ended: removes the directory. The exit status. */
int drive_fini(struct drive *d);

const char *kind_name(enum fault_kind kind);
enum {
	DRIVE_LEAVE = 1, /* processes that it leaves are not our business */
};

/* Arms the page, runs the program to its end and disarms. kind FAULT_NONE: in peace. */
void drive_run(struct drive *d, const struct program *p, enum fault_kind kind, long at, int flags,
	       struct ended *ret);
/* How many processes live that the programs left; waits a while for them to be no more than expected. */
int drive_children(int expected);
/* Kills and reaps all that lives below us; how many there were. */
int drive_kill_all(void);

/* One round: with the at-th call of the kind failing. "" or why it was wrong, in ret of DRIVE_TEXT. */
typedef void drive_round(struct drive *d, void *user, enum fault_kind kind, long at, char *ret);
/* Rounds until one in which nothing was hit; a case of its own for each kind of the mask (bit 1 << kind; 0:
 * all). */
void drive_kinds(struct drive *d, const char *name, unsigned mask, drive_round *round, void *user);
__attribute__((format(printf, 2, 3))) void wrong(char *ret, const char *fmt, ...);
/* Whether a message tells what happened: the errno's text, or the same in other words. */
int tells(const char *message, const struct fault_page *page);

#endif
