/* launch.h - what a VMM is started with. */
#ifndef LIB_HOST_LAUNCH_H
#define LIB_HOST_LAUNCH_H

#include "lib/host/boxdir.h"

/* ---- cmdline.c, artefact.c, launch.c: starting a VMM ---------------------------------------------- */

/* Uses of o: idle_timeout_ms, idle_suspend_ms, max_life_ms, cmdline_append. */
must_check int cmdline_compose(char *ret, size_t size, const char *hostname,
			       const conker_box_opts *o, struct err *e);

enum { DISKS_MAX = 15 }; /* beside the image */

struct manifest;

struct artefacts {
	int kernel, initrd; /* of a box that boots ... */
	int state, memory;  /* ... and of one that goes on from a snapshot; the others are -1 */
	int suspended;      /* the box's own, it was suspended; else it is a new one */
	int suspend[2];     /* state and memory of a box that suspends itself, or -1 */
	int ndisks;
	int disk[DISKS_MAX + 1], ro[DISKS_MAX + 1]; /* disk[0] is the image */
	char vmm[4096], from[256];                  /* from: the snapshot, for people */
	int snapshot;                               /* its directory, or -1 */
	uint64_t template_us;                       /* of the template that had to be made, or 0 */
	struct manifest *m; /* what all this is (snapshot.h); its strings lie in text */
	char *text, *paths; /* paths: of a clone's own disks */
};

/* Comes first: nothing is open yet, *m is empty. Ends with artefacts_close(), also on failure. */
must_check int artefacts_init(struct artefacts *a, struct err *e);
/* Opens everything that a box with these options needs to boot. */
must_check int artefacts_open(struct artefacts *a, const conker_box_opts *o, struct err *e);
void artefacts_close(struct artefacts *a);
/* disk.c: no other box writes its disks, or reads one that it writes, for as long as any process has these
 * descriptors. -EBUSY, with who it is; -EINVAL: two of them are one. */
must_check int disks_lock(const struct artefacts *a, struct err *e);
/* An image's file, checked to be a whole EROFS. */
must_check int image_open(const char *name, char ret_name[NAME_BYTES], struct err *e);
must_check int erofs_check(int fd, const char *what, struct err *e);

struct launched {
	int pidfd, owner,
		stderr_fd; /* the child, our end of the owner socket, what it complained */
};

must_check int launch(const struct artefacts *a, const conker_box_opts *o, const struct meta *m,
		      int dir, struct launched *ret, struct err *e);
void launched_close(struct launched *l);

#endif
