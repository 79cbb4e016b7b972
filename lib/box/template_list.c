/* SPDX-License-Identifier: Apache-2.0 */
/* template_list.c - the templates there are: listed, removed, and bounded.
 *
 * A template fits as long as a box like the one that it was made for would begin with it: this host and release can go on
 * with it, and its kernel, init and image are the files that they were. One that does not never will again, but where two
 * builds take turns in one place.
 *
 * Who removes one holds its lock, and takes the lock's file along; so who gets a lock looks whether that is still there.
 * Boxes that began with it have its memory mapped, and go on.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	KEPT_MAX = 16,      /* in all */
	KEPT_UNFIT_MAX = 2, /* of those that no longer fit */
	LEFTOVER_S =
		24 * 3600, /* what makers that were killed have left is not being made any more */
};

#define LEFTOVER ".conker-snapshot-"

int template_is_usable(const char *path)
{
	conker_box_opts o = {.size = sizeof(o), .from = path};
	struct origin a;
	int r = origin_init(&a, NULL);

	if (r == 0)
		r = restore_open(&a, &o, NULL);
	origin_close(&a);
	return r == 0;
}

int template_lock(int dir, const char *key, int how)
{
	char name[TEMPLATE_KEY_BYTES + 8];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s.lock", key);
	for (;;) {
		auto_close int lock =
			openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (lock < 0 || flock(lock, how) < 0 || fstat(lock, &st) < 0)
			return -errno;
		if (st.st_nlink > 0)
			return take_fd(lock);
	}
}

static int is_key(const char *name)
{
	return strlen(name) == TEMPLATE_KEY_BYTES - 1 &&
	       strspn(name, "0123456789abcdef") == TEMPLATE_KEY_BYTES - 1;
}

/* -EBUSY: it is being made. */
static int remove_one(int dir, const char *key)
{
	char name[TEMPLATE_KEY_BYTES + 8];
	auto_close int lock = template_lock(dir, key, LOCK_EX | LOCK_NB);

	if (lock < 0)
		return lock == -EWOULDBLOCK ? -EBUSY : lock;
	int r = tree_remove(dir, key);
	(void)snprintf(name, sizeof(name), "%s.lock", key);
	(void)unlinkat(dir, name, 0);
	return r;
}

/* ---- what there is ---------------------------------------------------------------------------------------- */

static int is_same_file(const struct layer *l)
{
	auto_close int fd = l->path ? open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct identity is;

	return fd >= 0 && identity_of(fd, &is) == 0 && identity_same(&is, &l->is);
}

static void look_inside(int sub, const char *path, conker_template_info *ret)
{
	auto_free struct manifest *m = malloc(sizeof(*m));
	auto_free char *text = NULL;

	if (!m || manifest_load(sub, "manifest", m, &text, NULL) < 0)
		return;
	(void)snprintf(ret->image, sizeof(ret->image), "%s", m->image);
	ret->memory_mib = (uint32_t)m->memory_mib;
	ret->cpus = (uint32_t)m->cpus;
	ret->created_s = (int64_t)m->taken_s;
	ret->fits = is_same_file(&m->kernel) && is_same_file(&m->initrd) &&
		    is_same_file(&m->disk[0]) && template_is_usable(path);
}

/* 0: it is gone. What is damaged has no figures but its size. */
static int look(int dir, const char *all, const char *key, conker_template_info *ret)
{
	static const char *const files[] = {"manifest", "state", "memory", NULL};
	char path[PATH_MAX];
	struct stat st;
	auto_close int sub = openat(dir, key, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*ret = (conker_template_info){.size = sizeof(*ret)};
	if (sub < 0 || fstat(sub, &st) < 0)
		return 0;
	(void)snprintf(ret->name, sizeof(ret->name), "%.*s", TEMPLATE_KEY_BYTES - 1, key);
	(void)snprintf(path, sizeof(path), "%.*s/%.*s", PATH_MAX - TEMPLATE_KEY_BYTES - 1, all,
		       TEMPLATE_KEY_BYTES - 1, key);
	ret->used_s = st.st_mtime;
	ret->bytes = dir_disk_bytes(sub, files, NULL);
	look_inside(sub, path, ret);
	return 1;
}

struct list {
	conker_template_info *v;
	size_t n;
};

static void list_free(const struct list *l)
{
	free(l->v);
}

static int by_use(const void *a, const void *b)
{
	const conker_template_info *x = a, *y = b;

	if (x->used_s != y->used_s)
		return x->used_s < y->used_s ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int add(struct list *l, int dir, const char *all, const char *key)
{
	conker_template_info *v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	l->n += (size_t)look(dir, all, key, &v[l->n]);
	return 0;
}

/* Those used last come first. dir: of all. */
static int list_all(int dir, struct list *ret)
{
	char all[PATH_MAX];
	auto_dir *d = dir_stream(dir, ".");
	struct dirent *de;
	int r = 0;

	*ret = (struct list){0};
	if (!d)
		return -errno;
	(void)fd_path(dir, all, sizeof(all));
	while (r == 0 && (de = readdir(d)))
		r = is_key(de->d_name) ? add(ret, dir, all, de->d_name) : 0;
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_use);
	return r;
}

/* ---- what goes ------------------------------------------------------------------------------------------- */

static void remove_leftovers(int dir)
{
	auto_dir *d = dir_stream(dir, ".");
	struct dirent *de;
	struct stat st;

	while (d && (de = readdir(d)))
		if (strncmp(de->d_name, LEFTOVER, sizeof(LEFTOVER) - 1) == 0 &&
		    fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime + LEFTOVER_S < time(NULL))
			(void)tree_remove(dir, de->d_name);
}

void template_prune(int dir, const char *key)
{
	cleanup_(list_free) struct list l = {0};
	int unfit = 0, kept = 1; /* the one with that key */

	remove_leftovers(dir);
	if (list_all(dir, &l) < 0)
		return;
	for (size_t i = 0; i < l.n; i++) {
		if (strcmp(l.v[i].name, key) == 0)
			continue;
		unfit += !l.v[i].fits;
		if ((!l.v[i].fits && unfit > KEPT_UNFIT_MAX) || kept == KEPT_MAX)
			(void)!remove_one(dir, l.v[i].name); /* another time */
		else
			kept++;
	}
}

/* ---- the public calls ------------------------------------------------------------------------------------ */

int conker_template_list(int (*fn)(const conker_template_info *info, void *user), void *user)
{
	struct err *e = api_enter();
	cleanup_(list_free) struct list l = {0};

	if (!fn)
		return err_set(e, EINVAL, "no function given");
	auto_close int dir = place_cache("templates", e);
	if (dir < 0)
		return dir;
	int r = list_all(dir, &l);
	if (r < 0)
		return err_set(e, -r, "read the directory of templates: %s", strerror(-r));
	for (size_t i = 0; i < l.n && r == 0; i++)
		r = fn(&l.v[i], user);
	return r;
}

int conker_template_remove(const char *name)
{
	struct err *e = api_enter();
	struct stat st;

	if (!name || !is_key(name))
		return err_set(e, EINVAL, "'%.40s' is no name of a template: 32 hex digits",
			       name ? name : "");
	auto_close int dir = place_cache("templates", e);
	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? err_set(e, ENOENT, "no template '%s'", name)
				       : err_errno(e, "template '%s'", name);
	int r = remove_one(dir, name);
	return r < 0 ? err_set(e, -r, "remove template '%s': %s", name,
			       r == -EBUSY ? "it is being made" : strerror(-r))
		     : 0;
}
