/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - what a VMM is started with. */
#ifndef LIB_HOST_LAUNCH_H
#define LIB_HOST_LAUNCH_H

#include "lib/host/boxdir.h"

/* ---- cmdline.c, artefact.c, launch.c: starting a VMM ---------------------------------------------- */

/* Uses of o: idle_timeout_ms, idle_suspend_ms, max_life_ms, cmdline_append. */
must_check int cmdline_compose(char *ret, size_t size, const char *hostname,
			       const conker_box_opts *o, struct err *e);

enum {
	DISKS_MAX = 15, /* beside the image */
	PARTS_MAX = 512 /* files of the image behind the first */
};

struct artefacts {          /* the files that a VMM gets; -1: not this one */
	int kernel, initrd; /* of a box that boots ... */
	int state, memory;  /* ... and of one that goes on from a snapshot */
	int suspend[2];     /* state and memory of a box that suspends itself */
	int ndisks;
	int disk[DISKS_MAX + 1], ro[DISKS_MAX + 1]; /* disk[0] is the image's first file ... */
	int nparts, parts[PARTS_MAX]; /* ... and these are its others, in the order of the disk */
	char vmm[4096];
};

/* Comes first: nothing is open yet. Ends with artefacts_close(), also on failure. */
must_check int artefacts_init(struct artefacts *a, struct err *e);
/* The first disk: the descriptors of an image, in the order of the disk, become a's own. */
void artefacts_take_image(struct artefacts *a, int *image, int nfds);
/* Opens everything else that a box with these options needs to boot. */
must_check int artefacts_open(struct artefacts *a, const conker_box_opts *o, struct err *e);
void artefacts_close(struct artefacts *a);

struct launched {
	int pidfd, owner,
		stderr_fd; /* the child, our end of the owner socket, what it complained */
};

must_check int launch(const struct artefacts *a, const conker_box_opts *o, const struct meta *m,
		      int dir, struct launched *ret, struct err *e);

#endif
