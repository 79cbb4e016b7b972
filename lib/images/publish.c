/* SPDX-License-Identifier: Apache-2.0 */
/* publish.c - what conker-image made becomes an image of a name.
 *
 *	files are synced		before the lock: it takes as long as the disk does
 *	layers/ID.data, .index		those that are there stay: they are in use
 *	made/ID				by one rename; one that is there and whole stays
 *	names/NAME			by one rename: now it is visible
 *
 * Whoever is killed in between leaves layers that nobody needs, or an image without a name: the next prune takes them.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_IMAGE "image"
#define WORK_LINK  "link"

static const char *const image_files[] = {"meta.erofs", "config", "manifest", NULL};

static void layer_files(const char *id, char ret_data[SHA256_TEXT_BYTES + 8],
			char ret_index[SHA256_TEXT_BYTES + 8])
{
	(void)snprintf(ret_data, SHA256_TEXT_BYTES + 8, "%.64s.data", id);
	(void)snprintf(ret_index, SHA256_TEXT_BYTES + 8, "%.64s.index", id);
}

/* -ENOENT: it is not there, or no file. */
static int64_t file_bytes(int dir, const char *file)
{
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? st.st_size : -ENOENT;
}

/* ---- to disk ------------------------------------------------------------------------------------------- */

static int file_sync(int dir, const char *file, void *arg)
{
	auto_close int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	(void)arg;
	return fd < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int out_sync(const struct image_work *w, struct err *e)
{
	int r = store_walk(w->fd, WORK_OUT, file_sync, NULL);

	return r < 0 ? err_set(e, -r, "write the image to disk: %s", strerror(-r)) : 0;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

/* One that a cancelled call left was not synced: that can take longer than a user waits who has cancelled it. */
static int layers_sync(const struct image_work *w, const struct made *m, struct err *e)
{
	char data[SHA256_TEXT_BYTES + 8], index[SHA256_TEXT_BYTES + 8];
	auto_close int layers = store_sub(w->store, "layers", e);
	int r = min_(layers, 0);

	for (uint32_t i = 0; i < m->ndata && r == 0; i++) {
		layer_files(m->data[i].diff_id, data, index);
		if (file_bytes(layers, data) >= 0)
			r = file_sync(layers, data, NULL);
		if (file_bytes(layers, index) >= 0 && r == 0)
			r = file_sync(layers, index, NULL);
		if (r == -ENOENT)
			r = 0; /* removed meanwhile: it will be missed */
	}
	return r < 0 && layers >= 0 ? err_set(e, -r, "write the layers to disk: %s", strerror(-r))
				    : r;
}

/* bytes of its data; -1: whatever they are. 1, 0, or -errno: it cannot be told. */
static int layer_is_in(int dir, const char *id, int64_t bytes)
{
	char data[SHA256_TEXT_BYTES + 8], index[SHA256_TEXT_BYTES + 8];

	layer_files(id, data, index);
	int64_t is = file_bytes(dir, data), other = file_bytes(dir, index);
	int64_t r = is < 0 ? is : min_(other, (int64_t)0);
	if (r < 0)
		return r == -ENOENT ? 0 : (int)r;
	return bytes < 0 || is == bytes;
}

/* The data first: who finds an index finds what it is of. */
static int layer_move(int out, int layers, const char *id)
{
	char data[SHA256_TEXT_BYTES + 8], index[SHA256_TEXT_BYTES + 8];

	layer_files(id, data, index);
	return fchmodat(out, data, 0644, 0) < 0 || fchmodat(out, index, 0644, 0) < 0 ||
			       renameat(out, data, layers, data) < 0 ||
			       renameat(out, index, layers, index) < 0
		       ? -errno
		       : 0;
}

static int layer_place(const struct image_work *w, int out, int layers, const struct made_data *d)
{
	int r = layer_is_in(layers, d->diff_id, (int64_t)d->bytes);

	if (r != 0)
		return min_(r, 0);
	(void)layer_drop(w->store, d->diff_id); /* half of it, or another size */
	r = layer_is_in(out, d->diff_id, (int64_t)d->bytes);
	if (r < 0)
		return r;
	return r ? layer_move(out, layers, d->diff_id) : -ERESTART;
}

static int layers_place(const struct image_work *w, int out, const struct made *m, struct err *e)
{
	int r = 0;
	auto_close int layers = store_sub(w->store, "layers", e);

	if (layers < 0)
		return layers;
	for (uint32_t i = 0; r == 0 && i < m->ndata; i++)
		r = layer_place(w, out, layers, &m->data[i]);
	if (r == -ERESTART)
		return r;
	if (r == 0 && fsync(layers) < 0)
		r = -errno;
	return r < 0 ? err_set(e, -r, "put the layers in their place: %s", strerror(-r)) : 0;
}

/* ---- the image ----------------------------------------------------------------------------------------- */

static int is_whole_image(int dir, const char *id, const struct made *m)
{
	auto_free struct made *there = malloc(sizeof(*there));

	return there && made_load(dir, id, there, NULL) == 0 &&
	       file_bytes(dir, "meta.erofs") == (int64_t)m->meta_bytes &&
	       file_bytes(dir, "config") >= 0;
}

/* A directory with the files of the image alone. */
static int image_gather(const struct image_work *w, int out)
{
	if (mkdirat(w->fd, WORK_IMAGE, 0755) < 0)
		return -errno;
	auto_close int dir = store_sub_there(w->fd, WORK_IMAGE);
	if (dir < 0)
		return dir;
	for (const char *const *f = image_files; *f; f++)
		if (renameat(out, *f, dir, *f) < 0)
			return -errno;
	return fchmod(dir, 0755) < 0 || fsync(dir) < 0 ? -errno : 0;
}

/* 1: it is there, and whole; it is as new. */
static int image_is_there(int made, const struct made *m)
{
	auto_close int dir = store_sub_there(made, m->id);

	return dir >= 0 && is_whole_image(dir, m->id, m) && futimens(dir, NULL) == 0;
}

static int image_place(const struct image_work *w, int out, const struct made *m, struct err *e)
{
	auto_close int made = store_sub(w->store, "made", e);

	if (made < 0)
		return made;
	if (image_is_there(made, m))
		return 0;
	(void)tree_remove(made, m->id); /* what is left of one that was removed, or cut off */
	int r = image_gather(w, out);
	if (r == 0 && (renameat(w->fd, WORK_IMAGE, made, m->id) < 0 || fsync(made) < 0))
		r = -errno;
	return r < 0 ? err_set(e, -r, "put the image in its place: %s", strerror(-r)) : 0;
}

/* ---- its name ------------------------------------------------------------------------------------------ */

static int link_replace(const struct image_work *w, const char *name, const char *id)
{
	char path[LINK_PATH_BYTES], text[LINK_TEXT_BYTES];

	link_text(id, text);
	if (link_path(name, path) < 0)
		return -ENAMETOOLONG;
	(void)unlinkat(w->fd, WORK_LINK, 0);
	return symlinkat(text, w->fd, WORK_LINK) < 0 ||
			       renameat(w->fd, WORK_LINK, w->store, path) < 0
		       ? -errno
		       : 0;
}

int name_bind(const struct image_work *w, const char *name, const char *id, struct err *e)
{
	char former[FORMER_BYTES], was[IMAGE_ID_BYTES] = "";
	auto_close int names = store_sub(w->store, "names", e);

	if (names < 0)
		return names;
	int r = link_target(w->store, name, was);
	if (r == 0 || r == -ENOENT)
		r = link_replace(w, name, id);
	if (r == 0 && fsync(names) < 0)
		r = -errno;
	if (r < 0)
		return err_set(e, -r, "give the image its name: %s", strerror(-r));
	/* Now the link hides it. */
	if (former_file(name, former) == 0)
		(void)unlinkat(w->store, former, 0);
	if (*was && strcmp(was, id) != 0)
		(void)!image_collect(w->store, was, NULL); /* else a prune will */
	return 0;
}

static int publish_locked(const struct image_work *w, int out, const char *name,
			  const struct made *m, struct err *e)
{
	auto_close int locked = dir_lock(w->store, e);
	int r = locked < 0 ? locked : layers_place(w, out, m, e);

	if (r == 0)
		r = image_place(w, out, m, e);
	return r < 0 ? r : name_bind(w, name, m->id, e);
}

/* Whether it is an image at all: its manifest, which is *ret then. */
static int out_check(int out, struct made *ret, struct err *e)
{
	int64_t meta = file_bytes(out, "meta.erofs");
	int r = made_load(out, NULL, ret, e);

	if (r < 0)
		return r;
	if (meta < 0)
		return err_set(e, (int)-meta, "meta.erofs: %s", strerror((int)-meta));
	if (meta != (int64_t)ret->meta_bytes)
		return err_set(e, EPROTO, "what was made is not what its manifest says");
	return ret->inodes <= 1 ? err_set(e, EINVAL, "there is no file in it") : 0;
}

int publish(const struct image_work *w, const char *name, struct err *e)
{
	auto_close int out = store_sub_there(w->fd, WORK_OUT);

	if (out < 0)
		return err_set(e, -out, "open what was made: %s", strerror(-out));
	auto_free struct made *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ENOMEM, "no memory for an image");
	int r = out_check(out, m, e);
	if (r == 0)
		r = out_sync(w, e);
	if (r == 0)
		r = layers_sync(w, m, e);
	return r < 0 ? r : publish_locked(w, out, name, m, e);
}

/* ---- what is whole of what is not ----------------------------------------------------------------------- */

struct keeping {
	int layers;
};

static int layer_keep(int out, const char *file, void *arg)
{
	const struct keeping *k = arg;

	if (sha256_is_at(file) && strcmp(file + SHA256_TEXT_BYTES - 1, ".index") == 0 &&
	    layer_is_in(out, file, -1) == 1 && layer_is_in(k->layers, file, -1) == 0)
		(void)layer_move(out, k->layers, file);
	return 0;
}

void publish_layers(const struct image_work *w)
{
	auto_close int locked = dir_lock(w->store, NULL);
	struct keeping k = {.layers = locked < 0 ? locked : store_sub(w->store, "layers", NULL)};

	if (k.layers < 0)
		return;
	(void)!store_walk(w->fd, WORK_OUT, layer_keep, &k);
	(void)close(k.layers);
}
