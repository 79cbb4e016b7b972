/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h. */
#include "image/tree.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/limits.h"
#include "util/cleanup.h"
#include "util/erofs.h"

#define WHITEOUT ".wh."
#define AUFS     ".wh..wh."
#define OPAQUE   ".wh..wh..opq"

enum { IMPLICIT_MODE = 0755 };

static int node_is_dir(const struct node *n)
{
	return S_ISDIR(n->inode->mode);
}

/* ---- names in a directory ---------------------------------------------------------------------------- */

static int name_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct node *dir_child(const struct node *dir, const char *name)
{
	void *found = tfind(name, &dir->children, name_order);

	return found ? container_of(*(char **)found, struct node, name) : NULL;
}

static struct node *child_add(struct node *dir, const char *name, struct inode *i)
{
	size_t len = strlen(name) + 1;
	struct node *n = calloc(1, sizeof(*n) + len);

	if (!n)
		return NULL;
	memcpy(n->name, name, len);
	if (!tsearch(n->name, &dir->children, name_order)) {
		free(n);
		return NULL;
	}
	n->parent = dir;
	n->depth = (uint16_t)(dir->depth + 1);
	n->inode = i;
	i->names++;
	dir->n_children++;
	dir->n_dirs += S_ISDIR(i->mode);
	return n;
}

static void inode_free(struct inode *i)
{
	free(i->extents);
	free(i->xattrs);
	free(i->target);
	free(i);
}

static void name_gone(struct inode *i)
{
	if (--i->names == 0)
		inode_free(i);
}

struct gathered {
	struct node **nodes;
	size_t n;
};

static void dir_gather(const void *at, VISIT visit, void *arg)
{
	struct gathered *g = arg;

	if (visit == postorder || visit == leaf)
		g->nodes[g->n++] = container_of(*(char *const *)at, struct node, name);
}

struct node **tree_children(const struct node *dir)
{
	struct gathered g = {.nodes = calloc(dir->n_children + 1UL, sizeof(struct node *))};

	if (g.nodes)
		twalk_r(dir->children, dir_gather, &g);
	return g.nodes;
}

static void node_free(struct node *n);

static void key_free(void *key)
{
	node_free(container_of((char *)key, struct node, name));
}

/* A name with all that is below it. */
static void node_free(struct node *n)
{
	tdestroy(n->children, key_free);
	name_gone(n->inode);
	free(n);
}

static void node_remove(struct node *n)
{
	struct node *dir = n->parent;

	(void)tdelete(n->name, &dir->children, name_order);
	dir->n_children--;
	dir->n_dirs -= (uint32_t)node_is_dir(n);
	node_free(n);
}

/* ---- inodes ----------------------------------------------------------------------------------------- */

static uint32_t type_bits(enum tar_type t)
{
	static const uint32_t bits[] = {
		[TAR_FILE] = S_IFREG, [TAR_DIR] = S_IFDIR,  [TAR_SYMLINK] = S_IFLNK,
		[TAR_FIFO] = S_IFIFO, [TAR_CHAR] = S_IFCHR, [TAR_BLOCK] = S_IFBLK};

	return bits[t];
}

/* A copy of n bytes, which may be none. */
static int copy_of(const void *from, size_t n, void *ret)
{
	void *to = n ? malloc(n) : NULL;

	if (n && !to)
		return -ENOMEM;
	if (n)
		memcpy(to, from, n);
	*(void **)ret = to;
	return 0;
}

/* What a directory that is there takes from its entry, and any new inode. */
static int inode_set(struct inode *i, const struct layer_entry *en)
{
	uint8_t *xattrs;

	if (copy_of(en->xattrs, en->xattrs_bytes, &xattrs) < 0)
		return -ENOMEM;
	free(i->xattrs);
	i->xattrs = xattrs;
	i->xattrs_bytes = (uint32_t)en->xattrs_bytes;
	/* Linux knows one mode of a symbolic link, whatever archives say. */
	i->mode = type_bits(en->type) | (en->type == TAR_SYMLINK ? 0777 : en->mode & 07777);
	i->uid = en->uid;
	i->gid = en->gid;
	i->mtime_s = en->mtime_s;
	i->mtime_ns = en->mtime_ns;
	return 0;
}

static int inode_set_data(struct inode *i, const struct layer_entry *en)
{
	if (en->type == TAR_SYMLINK) {
		i->size = strlen(en->link);
		return copy_of(en->link, i->size + 1, &i->target);
	}
	if ((en->type == TAR_CHAR || en->type == TAR_BLOCK) &&
	    erofs_device(en->major, en->minor, &i->device) < 0)
		return -ERANGE; /* cannot be: check_entry() */
	i->size = en->type == TAR_FILE ? en->size : 0;
	i->block = en->block;
	i->holes = en->type == TAR_FILE && en->holes;
	i->chunk_bits = (uint8_t)en->chunk_bits;
	if (!i->holes)
		return 0;
	i->n_extents = (uint32_t)en->n_extents;
	return copy_of(en->extents, en->n_extents * sizeof(*en->extents), &i->extents);
}

/* Without a name. */
static struct inode *inode_new(const struct tree *t, const struct layer_entry *en)
{
	struct inode *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->layer = t->layer;
	if (inode_set(i, en) == 0 && inode_set_data(i, en) == 0)
		return i;
	inode_free(i);
	return NULL;
}

static int no_memory(const struct layer_entry *en, struct err *e)
{
	return err_set(e, ENOMEM, "'%.250s': no memory for the tree of the image", en->path);
}

/* Gives an inode a name. NULL: no memory, and an inode without another one is gone. */
static struct node *name_give(struct node *dir, const char *name, struct inode *i, uint16_t layer)
{
	struct node *n = child_add(dir, name, i);

	if (n)
		n->given = layer;
	else if (i->names == 0)
		inode_free(i);
	return n;
}

/* ---- walking ---------------------------------------------------------------------------------------- */

static struct node *walk(struct tree *t, struct node *dir, const char *path, int *links);

static struct node *link_follow(struct tree *t, struct node *link, int *links)
{
	const char *to = link->inode->target;

	if (*links == 0 || t->steps > t->steps_max)
		return NULL;
	--*links;
	return walk(t, *to == '/' ? t->root : link->parent, to, links);
}

/* One step. NULL: there is nothing. */
static struct node *walk_step(struct tree *t, struct node *dir, const char *name, int *links)
{
	if (!node_is_dir(dir))
		return NULL;
	if (strcmp(name, "..") == 0)
		return dir->parent; /* of the root: itself */
	struct node *n = dir_child(dir, name);
	return n && S_ISLNK(n->inode->mode) ? link_follow(t, n, links) : n;
}

/* With all links followed, which is bounded by their number. */
static struct node *walk(struct tree *t, struct node *dir, const char *path, int *links)
{
	char buf[TAR_NAME_BYTES], *rest = buf, *name;

	memcpy(buf, path, strlen(path) + 1);
	for (; dir && (name = strsep(&rest, "/")); t->steps++)
		if (*name && strcmp(name, ".") != 0)
			dir = walk_step(t, dir, name, links);
	return dir;
}

static const struct layer_entry implicit_dir = {
	.type = TAR_DIR, .mode = IMPLICIT_MODE, .path = "."};

static struct node *make_dir(struct tree *t, struct node *dir, const char *name)
{
	struct inode *i = inode_new(t, &implicit_dir);

	return i ? name_give(dir, name, i, t->layer) : NULL;
}

/* The directory `name` in dir, made if there is none. NULL: no memory. */
static struct node *dir_enter(struct tree *t, struct node *dir, const char *name, int *links)
{
	struct node *n = dir_child(dir, name), *to = n;

	if (n && S_ISLNK(n->inode->mode))
		to = link_follow(t, n, links);
	if (to && node_is_dir(to))
		return to;
	if (n)
		node_remove(n);
	return make_dir(t, dir, name);
}

static void dir_touch(struct node *dir, uint16_t layer)
{
	for (; dir->touched != layer; dir = dir->parent)
		dir->touched = layer;
}

/* The directory that a path lies in, made if need be. */
static int enter_parents(struct tree *t, char *parents, const struct layer_entry *en,
			 struct node **ret, struct err *e)
{
	struct node *dir = t->root;
	int links = LIMIT_LINKS;
	char *name;

	while ((name = strsep(&parents, "/"))) {
		if (*name && dir->depth >= LIMIT_DEPTH)
			return err_set(e, ENAMETOOLONG, "'%.250s': deeper than %d directories",
				       en->path, LIMIT_DEPTH);
		if (*name && !(dir = dir_enter(t, dir, name, &links)))
			return no_memory(en, e);
	}
	dir_touch(dir, t->layer);
	*ret = dir;
	return 0;
}

/* Cuts a clean path at its last name. */
static char *last_name(char *path, char **ret_parents)
{
	char *slash = strrchr(path, '/');

	*ret_parents = slash ? path : path + strlen(path);
	if (slash)
		*slash = 0;
	return slash ? slash + 1 : path;
}

struct node *tree_find(struct tree *t, const char *path)
{
	char buf[TAR_NAME_BYTES], *parents;
	int links = LIMIT_LINKS;

	memcpy(buf, path, strlen(path) + 1);
	char *name = last_name(buf, &parents);
	struct node *dir = walk(t, t->root, parents, &links);
	if (!*name)
		return dir;
	return dir && node_is_dir(dir) ? dir_child(dir, name) : NULL;
}

/* ---- what is gone ------------------------------------------------------------------------------------ */

static int dir_hide(struct tree *t, struct node *dir);

/* A name that a lower layer may have given: what of it is this layer's stays. */
static int node_hide(struct tree *t, struct node *n)
{
	int ours = n->given == t->layer;

	if (!ours && !(node_is_dir(n) && n->touched == t->layer)) {
		node_remove(n);
		return 0;
	}
	if (!node_is_dir(n))
		return 0;
	if (!ours && inode_set(n->inode, &implicit_dir) < 0)
		return -ENOMEM;
	n->given = t->layer;
	return dir_hide(t, n);
}

/* Once per layer is enough: what comes later is this layer's. */
static int dir_hide(struct tree *t, struct node *dir)
{
	uint32_t n = dir->n_children;
	int r = 0;

	if (dir->cleared == t->layer)
		return 0;
	dir->cleared = t->layer;
	auto_free struct node **children = tree_children(dir);
	if (!children)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = node_hide(t, children[i]);
	return r;
}

enum effect { GIVES, HIDES, HIDES_ALL, LEFT_OUT };

static int starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static enum effect effect_of(const char *path)
{
	const char *name = path;

	for (const char *slash; (slash = strchr(name, '/')); name = slash + 1)
		if (starts(name, WHITEOUT))
			return LEFT_OUT;
	if (!starts(name, WHITEOUT))
		return GIVES;
	if (strcmp(name, OPAQUE) == 0)
		return HIDES_ALL;
	name += strlen(WHITEOUT);
	if (starts(name, WHITEOUT) || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return LEFT_OUT;
	return HIDES;
}

static int apply_whiteout(struct tree *t, const struct layer_entry *en, enum effect effect,
			  struct err *e)
{
	char buf[TAR_NAME_BYTES], *parents;
	int links = LIMIT_LINKS, r = 0;

	memcpy(buf, en->path, strlen(en->path) + 1);
	char *name = last_name(buf, &parents);
	struct node *dir = walk(t, t->root, parents, &links);
	if (!dir || !node_is_dir(dir))
		return 0;
	struct node *n = effect == HIDES ? dir_child(dir, name + strlen(WHITEOUT)) : NULL;
	if (n)
		r = node_hide(t, n);
	if (effect == HIDES_ALL)
		r = dir_hide(t, dir);
	return r < 0 ? no_memory(en, e) : 0;
}

/* ---- what is there ----------------------------------------------------------------------------------- */

static int check_entry(struct tree *t, const struct layer_entry *en, struct err *e)
{
	uint32_t device;

	for (const char *p = en->path; *p; p += strcspn(p, "/"), p += *p == '/')
		if (strcspn(p, "/") > EROFS_NAME_MAX)
			return err_set(e, ENAMETOOLONG, "'%.250s': a name of more than %d bytes",
				       en->path, EROFS_NAME_MAX);
	if (erofs_device(en->major, en->minor, &device) < 0)
		return err_set(e, ERANGE,
			       "'%.250s': a device with numbers that Linux does not have",
			       en->path);
	if (en->holes)
		t->chunks += erofs_chunks(en->size, en->chunk_bits);
	if (t->chunks > LIMIT_CHUNKS_ALL)
		return err_set(e, E2BIG,
			       "'%.250s': files with holes have more than %d pieces in all",
			       en->path, LIMIT_CHUNKS_ALL);
	return 0;
}

/* The inode that a new name is to have; of a hard link one that is there. */
static int inode_for(struct tree *t, const struct layer_entry *en, struct inode **ret,
		     struct err *e)
{
	struct node *n;

	if (en->type != TAR_HARDLINK) {
		*ret = inode_new(t, en);
		return *ret ? 0 : no_memory(en, e);
	}
	n = tree_find(t, en->link);
	if (!n)
		return err_set(e, ENOENT, "'%.250s': a hard link to '%.250s', which is not there",
			       en->path, en->link);
	if (node_is_dir(n))
		return err_set(e, EPERM, "'%.250s': a hard link to the directory '%.250s'",
			       en->path, en->link);
	*ret = n->inode;
	return 0;
}

static int apply_name(struct tree *t, struct node *dir, const char *name,
		      const struct layer_entry *en, struct err *e)
{
	struct node *old = dir_child(dir, name);
	struct inode *i = NULL;
	int r;

	if (old && node_is_dir(old) && en->type == TAR_DIR) {
		old->given = t->layer;
		return inode_set(old->inode, en) < 0 ? no_memory(en, e) : 0;
	}
	if (en->type == TAR_DIR && dir->depth >= LIMIT_DEPTH)
		return err_set(e, ENAMETOOLONG, "'%.250s': deeper than %d directories", en->path,
			       LIMIT_DEPTH);
	r = inode_for(t, en, &i, e);
	if (r < 0)
		return r;
	if (old && old->inode == i) { /* a link to itself */
		old->given = t->layer;
		return 0;
	}
	assert(i);
	i->names++; /* it may be below what it replaces */
	if (old)
		node_remove(old);
	i->names--;
	return name_give(dir, name, i, t->layer) ? 0 : no_memory(en, e);
}

static int apply_root(struct tree *t, const struct layer_entry *en, struct err *e)
{
	if (en->type != TAR_DIR)
		return err_set(e, EINVAL, "the root of the image is not a directory");
	t->root->given = t->layer;
	return inode_set(t->root->inode, en) < 0 ? no_memory(en, e) : 0;
}

static int apply_below(struct tree *t, const struct layer_entry *en, struct err *e)
{
	char buf[TAR_NAME_BYTES], *parents;
	struct node *dir = t->root;
	int r = check_entry(t, en, e);

	if (r < 0)
		return r;
	memcpy(buf, en->path, strlen(en->path) + 1);
	char *name = last_name(buf, &parents);
	r = enter_parents(t, parents, en, &dir, e);
	return r < 0 ? r : apply_name(t, dir, name, en, e);
}

static int apply_by_effect(struct tree *t, const struct layer_entry *en, struct err *e)
{
	enum effect effect = effect_of(en->path);

	switch (effect) {
	case LEFT_OUT: t->left_out++; return 0;
	case GIVES: return *en->path ? apply_below(t, en, e) : apply_root(t, en, e);
	default: return apply_whiteout(t, en, effect, e);
	}
}

int tree_apply(struct tree *t, const struct layer_entry *en, struct err *e)
{
	if (++t->entries > t->entries_max)
		return err_set(e, E2BIG, "'%.250s': more than %llu entries", en->path,
			       (unsigned long long)t->entries_max);
	int r = apply_by_effect(t, en, e);
	/* Behind it: a way that was not gone to its end led nowhere. */
	if (t->steps > t->steps_max)
		return err_set(e, ELOOP, "'%.250s': more than %llu names on the ways through links",
			       en->path, (unsigned long long)t->steps_max);
	return r;
}

/* ---- its life ---------------------------------------------------------------------------------------- */

int tree_init(struct tree *t, uint64_t entries_max, struct err *e)
{
	*t = (struct tree){.entries_max = entries_max, .steps_max = LIMIT_STEPS};
	struct inode *i = inode_new(t, &implicit_dir);
	t->root = calloc(1, sizeof(*t->root) + 1);
	if (!i || !t->root) {
		free(i);
		free(t->root);
		t->root = NULL;
		return no_memory(&implicit_dir, e);
	}
	i->names = 1;
	t->root->inode = i;
	t->root->parent = t->root;
	return 0;
}

void tree_free(struct tree *t)
{
	if (t->root)
		node_free(t->root);
	t->root = NULL;
}

void tree_next_layer(struct tree *t)
{
	t->layer++;
}
