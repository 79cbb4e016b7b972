/* SPDX-License-Identifier: Apache-2.0 */
/* boximage.c - the image of a box.
 *
 * disk[0] of a manifest is the image: its one file, or of an image of several the file made/ID/manifest. That names all others by their
 * checksums, so its own is the image's: a snapshot on an image that was replaced is noticed, whatever the name means by then.
 *
 * Whoever has a manifest that others may go on with (a box, a snapshot) is noted as a user of the image before that is
 * complete; the note ends with the directory.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST "/manifest"
#define LINK \
	"image" /* of a box: a symbolic link to made/ID, whose configuration its commands get */

/* The path of made/ID; 0: it is one file. */
static int made_of(const struct layer *l, char ret[LAYER_PATH_BYTES])
{
	size_t n = l->path ? strlen(l->path) : 0, tail = strlen(MANIFEST);

	if (n <= tail || n >= LAYER_PATH_BYTES || strcmp(l->path + n - tail, MANIFEST) != 0)
		return 0;
	memcpy(ret, l->path, n - tail);
	ret[n - tail] = 0;
	return 1;
}

int boximage_note(const struct opened_image *i, int fd, char *path, struct layer *ret)
{
	if (!*i->id) {
		int r = fd_path(fd, path, LAYER_PATH_BYTES);
		return r < 0 ? r : layer_of(fd, path, 1, ret);
	}
	int n = snprintf(path, LAYER_PATH_BYTES, "%s" MANIFEST, i->path);
	if (n < 0 || n >= LAYER_PATH_BYTES)
		return -ENAMETOOLONG;
	auto_close int manifest = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return manifest < 0 ? -errno : layer_of(manifest, path, 1, ret);
}

int boximage_take(struct artefacts *a, const struct layer *l, int fd, struct err *e)
{
	char path[LAYER_PATH_BYTES];

	if (!made_of(l, path)) {
		artefacts_take_image(a, &fd, 1);
		return 0;
	}
	close(fd);
	struct opened_image i;
	int r = image_open_made(path, &i, e);
	if (r < 0)
		return r == -ENOENT ? err_wrap(e, -ESTALE, "its image") : r;
	artefacts_take_image(a, i.fd, i.nfds);
	image_close(&i);
	return 0;
}

int boximage_used(const struct layer *l, int dir, struct err *e)
{
	char user[LAYER_PATH_BYTES];
	struct opened_image i = {0};

	if (!made_of(l, i.path))
		return 0;
	(void)snprintf(i.id, sizeof(i.id), "%s", strrchr(i.path, '/') + 1);
	int r = fd_path(dir, user, sizeof(user));
	return r < 0 ? err_set(e, -r, "note who uses its image: %s", strerror(-r))
		     : image_used_by(&i, user, e);
}

int boximage_is(const struct manifest *m, const char *name, struct err *e)
{
	char path[LAYER_PATH_BYTES];

	if (strcmp(name, m->image) == 0)
		return 1;
	struct opened_image i;
	int r = image_open(name, &i, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* none that is here */
	const char *its = made_of(&m->disk[0], path) ? path : m->disk[0].path;
	int same = strcmp(i.path, its) == 0;
	image_close(&i);
	return same;
}

/* ---- of a box that runs -------------------------------------------------------------------------------- */

int boximage_link(const struct layer *l, int dir, struct err *e)
{
	char path[LAYER_PATH_BYTES];

	if (!made_of(l, path) || symlinkat(path, dir, LINK) == 0 || errno == EEXIST)
		return 0;
	return err_errno(e, "note its image");
}

int boximage_load(struct box *b, struct err *e)
{
	auto_close int dir = openat(b->dir, LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : err_errno(e, "box '%s': its image", b->meta.name);
	if (b->handle.image) /* looked at again */
		return 0;
	int r = image_config_at(dir, b->meta.image, &b->image, e);
	if (r == 0)
		b->handle.image = &b->image;
	return r;
}
