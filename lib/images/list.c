/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - what images there are, and what they say of themselves. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/images/store.h"

typedef int image_fn(const conker_image *i, void *user);

/* One image, with the memory behind it. */
struct entry {
	conker_image i;
	struct image_config config;
	char name[IMAGE_BYTES], id[IMAGE_ID_BYTES], digest[SHA256_TEXT_BYTES], platform[72];
};

static const char *text_of(const char *s)
{
	return s ? s : "";
}

/* What its strings are now is where they are now. */
static void entry_point(struct entry *x)
{
	static const char *const none[] = {NULL};
	const struct image_config *c = &x->config;
	conker_image *i = &x->i;
	const struct {
		const char *const **to;
		char *const *from;
	} lists[] = {
		{&i->entrypoint, c->entrypoint}, {&i->cmd, c->cmd},       {&i->env, c->env},
		{&i->ports, c->ports},           {&i->labels, c->labels}, {&i->ignored, c->ignored},
	};

	for (size_t k = 0; k < countof(lists); k++)
		*lists[k].to = lists[k].from ? (const char *const *)lists[k].from : none;
	i->size = sizeof(*i);
	i->name = x->name;
	i->id = x->id;
	i->digest = x->digest;
	i->platform = x->platform;
	i->workdir = text_of(c->workdir);
	i->user = text_of(c->user);
	i->stop_signal = text_of(c->stop_signal_name);
}

static void entry_of_file(struct entry *x, const char *name, uint64_t bytes, int64_t created_s)
{
	*x = (struct entry){.i = {.bytes = bytes, .created_s = created_s, .layers = 1, .names = 1}};
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	entry_point(x);
}

/* Without its configuration if that is damaged. */
static void entry_of_image(struct entry *x, int store, const struct survey *s, const char *name,
			   const struct store_image *i)
{
	char path[MADE_PATH_BYTES];

	*x = (struct entry){.i = {.created_s = i->created_s,
				  .layers = i->in_all,
				  .names = i->names,
				  .users = i->users}};
	survey_bytes(s, i, &x->i.bytes, &x->i.shared_bytes);
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	memcpy(x->id, i->id, sizeof(x->id));
	memcpy(x->digest, i->digest, sizeof(x->digest));
	memcpy(x->platform, i->platform, sizeof(x->platform));
	made_path(i->id, path);
	auto_close int dir = store_sub_there(store, path);
	if (dir >= 0 && image_config_at(dir, name, &x->config, NULL) < 0)
		image_config_free(&x->config);
	entry_point(x);
}

static void entry_free(struct entry *x)
{
	image_config_free(&x->config);
}

/* The base image that came with us: 0, it is there. */
static int entry_built_in(struct entry *x)
{
	char path[PATH_MAX];
	struct stat st;

	if (place_guest_path("base.erofs", path, sizeof(path), NULL) < 0 || stat(path, &st) < 0)
		return -ENOENT;
	entry_of_file(x, "base", (uint64_t)st.st_blocks * 512, st.st_mtime);
	return 0;
}

/* ---- all ----------------------------------------------------------------------------------------------- */

static int tell(int store, const struct survey *s, const char *name, const struct store_image *i,
		image_fn *fn, void *user)
{
	struct entry x;

	entry_of_image(&x, store, s, name, i);
	int r = fn(&x.i, user);
	entry_free(&x);
	return r;
}

static int tell_name(int store, const struct survey *s, const struct store_name *n, image_fn *fn,
		     void *user)
{
	const struct store_image *i = survey_image(s, n->id);
	struct entry x;

	if (*n->id)
		return i ? tell(store, s, n->name, i, fn, user) : 0;
	entry_of_file(&x, n->name, n->bytes, n->created_s);
	return fn(&x.i, user);
}

/* Unless one of that name hides it. */
static int tell_built_in(const struct survey *s, image_fn *fn, void *user)
{
	struct entry x;

	for (size_t i = 0; i < s->nnames; i++)
		if (strcmp(s->name[i].name, "base") == 0)
			return 0;
	return entry_built_in(&x) < 0 ? 0 : fn(&x.i, user);
}

static int tell_all(int store, const struct survey *s, image_fn *fn, void *user)
{
	int r = tell_built_in(s, fn, user);

	for (size_t i = 0; i < s->nnames && r == 0; i++)
		r = tell_name(store, s, &s->name[i], fn, user);
	for (size_t i = 0; i < s->nimages && r == 0; i++)
		if (!s->image[i].names && s->image[i].users)
			r = tell(store, s, "", &s->image[i], fn, user);
	return r;
}

/* Locked for as long as it takes to look: fn may import. */
static int look(int store, struct survey *s, struct err *e)
{
	auto_close int locked = dir_lock(store, e);

	*s = (struct survey){0};
	if (locked < 0)
		return locked;
	works_sweep(store);
	return survey_load(store, s, e);
}

int conker_image_list(image_fn *fn, void *user)
{
	struct err *e = api_enter();
	struct survey s;

	if (!fn)
		return err_set(e, EINVAL, "no function given");
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	int r = look(store, &s, e);
	if (r == 0)
		r = tell_all(store, &s, fn, user);
	survey_free(&s);
	return r;
}

int conker_image_usage_get(conker_image_usage *ret)
{
	struct err *e = api_enter();
	conker_image_usage u = {.size = sizeof(u)}, check;
	struct survey s;

	int r = ret ? opts_in(&check, sizeof(check), ret, NULL) : -EINVAL;
	if (r == -EINVAL)
		return err_set(e, EINVAL, "no structure given, or without its size");
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	r = look(store, &s, e);
	for (size_t i = 0; i < s.nimages; i++) {
		int used = s.image[i].names || s.image[i].users;

		u.images += (uint64_t)used;
		*(used ? &u.images_bytes : &u.unused_bytes) += s.image[i].bytes;
	}
	for (size_t i = 0; i < s.nlayers; i++)
		*(s.layer[i].needed ? &u.images_bytes : &u.unused_bytes) += s.layer[i].bytes;
	for (size_t i = 0; i < s.nnames; i++)
		if (!*s.name[i].id) {
			u.images++;
			u.images_bytes += s.name[i].bytes;
		}
	survey_free(&s);
	if (r == 0 && blobs_prune(store, INT64_MAX, 0, &u.blobs_bytes) < 0)
		u.blobs_bytes = 0;
	if (r == 0)
		opts_out(ret, &u, sizeof(u));
	return r;
}

/* ---- one ----------------------------------------------------------------------------------------------- */

static int entry_find(struct entry *x, int store, const struct survey *s, const char *image,
		      struct err *e)
{
	char name[IMAGE_BYTES], id[IMAGE_ID_BYTES];
	int r = image_find(store, image, name, id, e);

	if (r < 0)
		return r;
	const struct store_image *i = survey_image(s, id);
	if (i) {
		entry_of_image(x, store, s, name, i);
		return 0;
	}
	for (size_t k = 0; k < s->nnames; k++)
		if (strcmp(s->name[k].name, name) == 0) {
			entry_of_file(x, name, s->name[k].bytes, s->name[k].created_s);
			return 0;
		}
	if (!*id && entry_built_in(x) == 0)
		return 0;
	return err_set(e, ENOENT, "nothing is behind image '%s'; import or pull it again", name);
}

int conker_image_inspect(const char *image, conker_image **ret)
{
	struct err *e = api_enter();
	struct survey s;
	struct entry *x;

	if (!image || !ret)
		return err_set(e, EINVAL, "no image, or no place for the result given");
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, ENOMEM, "no memory for an image");
	int r = look(store, &s, e);
	if (r == 0)
		r = entry_find(x, store, &s, image, e);
	survey_free(&s);
	if (r < 0) {
		free(x);
		return r;
	}
	entry_point(x); /* where it is */
	*ret = &x->i;
	return 0;
}

conker_image *conker_image_free(conker_image *i)
{
	struct entry *x = i ? container_of(i, struct entry, i) : NULL;

	if (x) {
		entry_free(x);
		free(x);
	}
	return NULL;
}
