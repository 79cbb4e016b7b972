/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the tree of an image in memory, made by applying the entries of its layers one after the other.
 *
 * Nothing here knows the host: a path is a walk through this tree and ends in it, whatever it says.
 *
 * What an entry does, after the OCI image specification ("Layer Filesystem Changeset") and what engines make of its gaps:
 *
 *	a directory where one is		it takes the entry's owner, mode, time and attributes; what is in it stays
 *	anything else where something is	replaces it, with all that is in it; so does a directory that replaces a link
 *	a parent without an entry		is made (0755, root), or, if it is a link that leads to a directory, followed;
 *					one that is neither is replaced by a directory
 *	.wh.NAME			NAME of lower layers is gone, in whatever order the layer says so: each name remembers
 *					the layer that it came from, and nothing of this one goes
 *	.wh..wh..opq			likewise all that lower layers had in this directory
 *	other names with .wh..wh.	are notes of aufs and left out; a name below .wh.NAME likewise
 *	a hard link			one more name of the inode, of this layer or a lower one; a link is not followed at its end
 *
 * Refused: names above 255 bytes, paths above LIMIT_DEPTH directories, a hard link to nothing or to a directory, more
 * than the limits of entries and of steps through links. Each directory is a balanced tree by name, so that no archive is slow by its order.
 */
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/tar.h"
#include "util/util.h"

struct extent { /* chunks of a file that has holes: these lie in the data from `block` on */
	uint32_t first, n, block;
};

struct layer_entry { /* of a layer */
	enum tar_type type;
	uint32_t mode, uid, gid, major, minor;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size;
	uint32_t block;        /* of a file without holes: where it lies in its layer's data */
	const char *path;      /* clean: tar_clean() */
	const char *link;      /* of a hard link clean, of a symbolic one as it is */
	const uint8_t *xattrs; /* as util/erofs.h has them */
	size_t xattrs_bytes;
	int holes; /* the extents are all the data there is */
	unsigned chunk_bits;
	size_t n_extents;
	const struct extent *extents;
};

struct inode {
	uint32_t mode; /* with its type */
	uint32_t uid, gid, names, device;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t block;
	uint64_t size, nid; /* nid: of whoever writes the tree; 0 at first */
	uint16_t layer;     /* that has the data */
	uint8_t holes, chunk_bits;
	uint32_t n_extents, xattrs_bytes;
	struct extent *extents;
	uint8_t *xattrs;
	char *target;
};

struct node {                /* a name */
	struct node *parent; /* of the root: itself */
	struct inode *inode;
	void *children; /* tsearch() of their names; of a directory */
	uint32_t n_children, n_dirs;
	uint32_t dir_blocks, dir_at; /* of whoever writes the tree */
	uint16_t given, touched,
		cleared; /* the last layer with this entry; with one below; that has hidden lower ones */
	uint16_t depth;
	char name[]; /* the key */
};

struct tree {
	struct node *root;
	uint16_t layer; /* being applied: 1 is the lowest */
	uint64_t entries, entries_max;
	uint64_t chunks, steps, steps_max;
	uint64_t left_out; /* entries that are not of the image */
};

must_check int tree_init(struct tree *t, uint64_t entries_max, struct err *e);
void tree_free(struct tree *t);
/* From here on entries are of the next layer. */
void tree_next_layer(struct tree *t);
/* 0, or an error that names the entry. */
must_check int tree_apply(struct tree *t, const struct layer_entry *en, struct err *e);
/* Children in the order of strcmp(), n_children of them; NULL: no memory. The caller's to free. */
must_check struct node **tree_children(const struct node *dir);
/* What a path leads to, with links followed but at its end. NULL: nothing. */
must_check struct node *tree_find(struct tree *t, const char *path);

#endif
