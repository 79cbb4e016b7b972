/* SPDX-License-Identifier: Apache-2.0 */
/* users.c - who uses an image: users/ID.KEY is a symbolic link to the absolute path of what does.
 *
 * KEY is 16 hex digits of the path's sum, so a path uses one image at most. A link whose path is gone counts for nothing and is
 * swept: whoever ends need not come by here. Only where the path leads is asked, nothing behind it is opened.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_CHARS = 16, USER_BYTES = IMAGE_ID_BYTES + 1 + KEY_CHARS };

/* The file name of a user: ID.KEY. */
static void user_name(const char *id, const char *path, char ret[USER_BYTES])
{
	char sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, path, strlen(path));
	sha256_end(&s, sum);
	(void)snprintf(ret, USER_BYTES, "%.64s.%.16s", id, sum);
}

static int is_user_name(const char *file)
{
	return strlen(file) == USER_BYTES - 1 && sha256_is_at(file) &&
	       file[IMAGE_ID_BYTES - 1] == '.' &&
	       strspn(file + IMAGE_ID_BYTES, "0123456789abcdef") == KEY_CHARS;
}

/* Whether the link's path is there; what cannot be told is. */
static int user_is_alive(int users, const char *file)
{
	char path[PATH_MAX], again[USER_BYTES];
	ssize_t n = readlinkat(users, file, path, sizeof(path) - 1);

	if (n <= 0 || path[0] != '/')
		return 0; /* no link of ours */
	path[n] = 0;
	user_name(file, path, again);
	if (strcmp(again, file) != 0)
		return 0;
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	       (errno != ENOENT && errno != ENOTDIR);
}

struct telling {
	user_fn *fn;
	void *arg;
};

static int user_tell(int users, const char *file, void *arg)
{
	const struct telling *t = arg;
	char id[IMAGE_ID_BYTES];

	if (!is_user_name(file))
		return 0;
	(void)snprintf(id, sizeof(id), "%.64s", file);
	if (user_is_alive(users, file))
		t->fn(id, t->arg);
	else
		(void)unlinkat(users, file, 0);
	return 0;
}

int users_tell(int store, user_fn *fn, void *arg)
{
	struct telling t = {fn, arg};

	return store_walk(store, "users", user_tell, &t);
}

/* ---- a new one ----------------------------------------------------------------------------------------- */

/* The path used another image before: a file that was replaced. */
static int rival_remove(int users, const char *file, void *arg)
{
	const char *mine = arg;

	if (is_user_name(file) && strcmp(file, mine) != 0 &&
	    strcmp(file + IMAGE_ID_BYTES, mine + IMAGE_ID_BYTES) == 0)
		(void)unlinkat(users, file, 0);
	return 0;
}

/* With the store locked. */
static int user_add(int store, const char *id, const char *path, struct err *e)
{
	char made[MADE_PATH_BYTES], file[USER_BYTES];

	made_path(id, made);
	if (faccessat(store, made, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(e, "image '%.12s' was removed meanwhile", id);
	auto_close int users = store_sub(store, "users", e);
	if (users < 0)
		return users;
	user_name(id, path, file);
	if (symlinkat(path, users, file) < 0 && errno != EEXIST)
		return err_errno(e, "note who uses an image");
	int r = store_walk(store, "users", rival_remove, file);
	return r < 0 ? err_set(e, -r, "note who uses an image: %s", strerror(-r)) : 0;
}

int image_used_by(const struct opened_image *i, const char *path, struct err *e)
{
	char store_path[PATH_MAX];
	size_t tail = sizeof("/made/") + IMAGE_ID_BYTES - 2;

	if (!*i->id)
		return 0;
	if (path[0] != '/' || faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(e, ENOENT, "'%s' is not there to use an image", path);
	/* Not the store of today's environment: the one that it was opened in. */
	(void)snprintf(store_path, sizeof(store_path), "%.*s", (int)(strlen(i->path) - tail),
		       i->path);
	auto_close int store = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store < 0)
		return err_errno(e, "image directory '%s'", store_path);
	auto_close int locked = dir_lock(store, e);
	return locked < 0 ? locked : user_add(store, i->id, path, e);
}
