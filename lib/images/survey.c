/* SPDX-License-Identifier: Apache-2.0 */
/* survey.c - what there is in the store: layers, images, names, who needs what, and what it takes on disk.
 *
 * All of it is looked at each time; nothing is counted in files, which could come to lie. What is not understood is not there.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/array.h"

static uint64_t disk_bytes(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(a, b); /* every structure here begins with its name */
}

/* ---- layers -------------------------------------------------------------------------------------------- */

/* HEX.data or HEX.index: one of the two for now. */
static int layer_add(int dir, const char *file, void *arg)
{
	struct survey *s = arg;
	const char *suffix = file + SHA256_TEXT_BYTES - 1;
	struct stat st;

	if (!sha256_is_at(file) ||
	    (strcmp(suffix, ".data") != 0 && strcmp(suffix, ".index") != 0) ||
	    fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	void *p = array_grow(s->layer, &s->room[0], s->nlayers, sizeof(*s->layer), 64);
	if (!p)
		return -ENOMEM;
	s->layer = p;
	struct store_layer *l = &s->layer[s->nlayers++];
	*l = (struct store_layer){.bytes = disk_bytes(&st), .changed_s = st.st_mtime};
	(void)snprintf(l->id, sizeof(l->id), "%.64s", file);
	return 0;
}

/* Sorted, the two files of a layer stand beside each other. */
static void layers_join(struct survey *s)
{
	size_t n = 0;

	if (s->nlayers > 0)
		qsort(s->layer, s->nlayers, sizeof(*s->layer), by_id);
	for (size_t i = 0; i < s->nlayers; i++) {
		struct store_layer *last = n > 0 ? &s->layer[n - 1] : NULL;

		if (!last || strcmp(last->id, s->layer[i].id) != 0) {
			s->layer[n++] = s->layer[i];
			continue;
		}
		last->bytes += s->layer[i].bytes;
		last->changed_s = max_(last->changed_s, s->layer[i].changed_s);
	}
	s->nlayers = n;
}

/* ---- images -------------------------------------------------------------------------------------------- */

static int image_add_layers(struct survey *s, struct store_image *i, const struct made *m)
{
	i->layer = calloc(m->ndata + 1, sizeof(*i->layer));
	if (!i->layer)
		return -ENOMEM;
	for (uint32_t k = 0; k < m->ndata && s->nlayers > 0; k++) {
		struct store_layer *l =
			bsearch(m->data[k].diff_id, s->layer, s->nlayers, sizeof(*s->layer), by_id);

		if (!l)
			continue;
		i->layer[i->nlayers++] = (uint32_t)(l - s->layer);
		l->images++;
	}
	return 0;
}

/* Of one without a manifest that can be read nothing is known but that it is there. */
static int image_describe(struct survey *s, struct store_image *i, int dir)
{
	auto_free struct made *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	if (made_load(dir, i->id, m, NULL) < 0)
		return 0;
	(void)snprintf(i->platform, sizeof(i->platform), "%s/%s", m->os, m->architecture);
	memcpy(i->digest, m->manifest, sizeof(i->digest));
	i->in_all = m->nlayers;
	return image_add_layers(s, i, m);
}

static int image_add(int made, const char *file, void *arg)
{
	static const char *const files[] = {"meta.erofs", "config", "manifest", NULL};
	struct survey *s = arg;
	struct stat st;

	if (!sha256_is_at(file) || strlen(file) != IMAGE_ID_BYTES - 1)
		return 0;
	auto_close int dir = store_sub_there(made, file);
	if (dir < 0 || fstat(dir, &st) < 0)
		return 0;
	void *p = array_grow(s->image, &s->room[1], s->nimages, sizeof(*s->image), 16);
	if (!p)
		return -ENOMEM;
	s->image = p;
	struct store_image *i = &s->image[s->nimages++];
	*i = (struct store_image){.bytes = dir_disk_bytes(dir, files, NULL) + disk_bytes(&st),
				  .created_s = st.st_mtime};
	(void)snprintf(i->id, sizeof(i->id), "%s", file);
	return image_describe(s, i, dir);
}

struct store_image *survey_image(const struct survey *s, const char *id)
{
	return s->nimages ? bsearch(id, s->image, s->nimages, sizeof(*s->image), by_id) : NULL;
}

/* ---- names and users ----------------------------------------------------------------------------------- */

static int name_add(struct survey *s, const struct store_name *n)
{
	void *p = array_grow(s->name, &s->room[2], s->nnames, sizeof(*s->name), 16);

	if (!p)
		return -ENOMEM;
	s->name = p;
	s->name[s->nnames++] = *n;
	return 0;
}

static int link_add(int names, const char *file, void *arg)
{
	struct survey *s = arg;
	struct store_name n = {0};
	struct store_image *i;

	if (link_read_name(file, n.name) < 0 || link_read(names, file, n.id) < 0)
		return 0;
	i = survey_image(s, n.id);
	if (!i)
		return 0;
	i->names++;
	return name_add(s, &n);
}

/* One that has a link, too, is hidden by it. */
static int former_add(int store, const char *file, void *arg)
{
	struct survey *s = arg;
	struct store_name n = {0};
	struct stat st;

	if (former_read_name(file, n.name) < 0 || link_target(store, n.name, n.id) == 0 ||
	    fstatat(store, file, &st, 0) < 0)
		return 0;
	n.id[0] = 0;
	n.bytes = disk_bytes(&st);
	n.created_s = st.st_mtime;
	return name_add(s, &n);
}

static void user_count(const char *id, void *arg)
{
	struct store_image *i = survey_image(arg, id);

	if (i)
		i->users++;
}

static void layers_count_needed(struct survey *s)
{
	for (size_t i = 0; i < s->nimages; i++)
		for (uint32_t k = 0; k < s->image[i].nlayers; k++)
			s->layer[s->image[i].layer[k]].needed +=
				s->image[i].names || s->image[i].users;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

int survey_load(int store, struct survey *ret, struct err *e)
{
	*ret = (struct survey){0};
	int r = store_walk(store, "layers", layer_add, ret);

	layers_join(ret);
	if (r == 0)
		r = store_walk(store, "made", image_add, ret);
	if (ret->nimages > 0)
		qsort(ret->image, ret->nimages, sizeof(*ret->image), by_id);
	if (r == 0)
		r = store_walk(store, "names", link_add, ret);
	if (r == 0)
		r = store_walk(store, ".", former_add, ret);
	if (ret->nnames > 0)
		qsort(ret->name, ret->nnames, sizeof(*ret->name), by_id);
	if (r == 0)
		r = users_tell(store, user_count, ret);
	layers_count_needed(ret);
	return r < 0 ? err_set(e, -r, "look through the images: %s", strerror(-r)) : 0;
}

void survey_free(struct survey *s)
{
	for (size_t i = 0; i < s->nimages; i++)
		free(s->image[i].layer);
	free(take_ptr(s->image));
	free(take_ptr(s->layer));
	free(take_ptr(s->name));
	*s = (struct survey){0};
}

void survey_bytes(const struct survey *s, const struct store_image *i, uint64_t *ret_bytes,
		  uint64_t *ret_shared)
{
	*ret_bytes = i->bytes;
	*ret_shared = 0;
	for (uint32_t k = 0; k < i->nlayers; k++) {
		const struct store_layer *l = &s->layer[i->layer[k]];

		*ret_bytes += l->bytes;
		*ret_shared += l->images > 1 ? l->bytes : 0;
	}
}
