/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - what nobody needs goes: images, layers, blobs.
 *
 * An image's manifest goes first: one that was killed half-way is no image, and goes at the next prune. Boxes that have its files
 * open keep them.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t layer_drop(int store, const char *id)
{
	char index[SHA256_TEXT_BYTES + 8], data[SHA256_TEXT_BYTES + 8];
	const char *const files[] = {index, data, NULL};
	auto_close int layers = store_sub_there(store, "layers");

	if (layers < 0)
		return 0;
	(void)snprintf(index, sizeof(index), "%.64s.index", id);
	(void)snprintf(data, sizeof(data), "%.64s.data", id);
	uint64_t bytes = dir_disk_bytes(layers, files, NULL);
	(void)dir_unlink(layers, files);
	return bytes;
}

/* With the layers that no other image has. */
static uint64_t image_drop(int store, struct survey *s, struct store_image *i)
{
	static const char *const manifest[] = {"manifest", NULL};
	uint64_t bytes = i->bytes;
	auto_close int made = store_sub_there(store, "made");
	auto_close int dir = made < 0 ? made : store_sub_there(made, i->id);

	if (dir < 0)
		return 0;
	(void)dir_unlink(dir, manifest);
	if (tree_remove(made, i->id) < 0)
		return 0;
	for (uint32_t k = 0; k < i->nlayers; k++)
		if (--s->layer[i->layer[k]].images == 0)
			bytes += layer_drop(store, s->layer[i->layer[k]].id);
	i->nlayers = 0;
	return bytes;
}

int image_collect(int store, const char *id, struct err *e)
{
	struct survey s;
	int r = survey_load(store, &s, e);
	struct store_image *i = r < 0 ? NULL : survey_image(&s, id);

	if (i && !i->names && i->users)
		r = 1;
	else if (i && !i->names)
		(void)image_drop(store, &s, i);
	survey_free(&s);
	return r;
}

/* ---- prune --------------------------------------------------------------------------------------------- */

/* A link of ours with nothing behind it: its image was removed by hand. */
static int link_prune(int names, const char *file, void *arg)
{
	char name[IMAGE_BYTES], id[IMAGE_ID_BYTES];

	if (link_read_name(file, name) == 0 && link_read(names, file, id) == 0 &&
	    !survey_image(arg, id))
		(void)unlinkat(names, file, 0);
	return 0;
}

static void names_drop(int store, const struct survey *s, struct store_image *i)
{
	char path[LINK_PATH_BYTES];

	for (size_t k = 0; k < s->nnames; k++)
		if (strcmp(s->name[k].id, i->id) == 0 && link_path(s->name[k].name, path) == 0 &&
		    unlinkat(store, path, 0) == 0)
			i->names--;
}

int images_prune(int store, int all, int64_t before_s, uint64_t *ret_bytes, struct err *e)
{
	struct survey s;
	int r = survey_load(store, &s, e);

	if (r == 0)
		r = store_walk(store, "names", link_prune, &s);
	for (size_t k = 0; k < s.nimages && r == 0; k++) {
		struct store_image *i = &s.image[k];

		if (i->users || i->created_s > before_s)
			continue;
		if (all)
			names_drop(store, &s, i);
		if (!i->names)
			*ret_bytes += image_drop(store, &s, i);
	}
	for (size_t k = 0; k < s.nlayers && r == 0; k++)
		if (s.layer[k].images == 0 && s.layer[k].changed_s <= before_s)
			*ret_bytes += layer_drop(store, s.layer[k].id);
	survey_free(&s);
	return r;
}

struct blob_prune {
	int64_t before_s;
	int remove;
	uint64_t bytes;
};

/* What has another name, too, is in somebody's layout and goes on to take its room. */
static int blob_prune(int dir, const char *file, void *arg)
{
	struct blob_prune *p = arg;
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_mtime > p->before_s)
		return 0;
	if (p->remove && unlinkat(dir, file, 0) < 0)
		return 0;
	p->bytes += st.st_nlink > 1 ? 0 : (uint64_t)st.st_blocks * 512;
	return 0;
}

int blobs_prune(int store, int64_t before_s, int remove, uint64_t *ret_bytes)
{
	struct blob_prune p = {.before_s = before_s, .remove = remove};
	auto_close int blobs = store_sub_there(store, "blobs");
	int r = blobs == -ENOENT ? 0
		: blobs < 0      ? blobs
				 : store_walk(blobs, "sha256", blob_prune, &p);

	*ret_bytes += p.bytes;
	return r;
}
