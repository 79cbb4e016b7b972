/* SPDX-License-Identifier: Apache-2.0 */
/* origin.c - what a box begins with: files that it boots from, or a snapshot (restore.c), and what all that is. */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"
#include "lib/images/images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MEMORY_DEFAULT_MIB = 128,
	MEMORY_MIN_MIB = 32, /* less does not hold kernel and init */
	MEMORY_MAX_MIB = 1 << 20,
	CPUS_MAX = 32,
};

int origin_init(struct origin *a, struct err *e)
{
	*a = (struct origin){.snapshot = -1};
	int r = artefacts_init(&a->files, e);
	if (r < 0)
		return r;
	a->m = calloc(1, sizeof(*a->m));
	return a->m ? 0 : err_set(e, ENOMEM, "no memory for what a box is made of");
}

void origin_close(struct origin *a)
{
	artefacts_close(&a->files);
	if (a->snapshot >= 0)
		close(take_fd(a->snapshot));
	free(take_ptr(a->text));
	free(take_ptr(a->paths));
	free(take_ptr(a->m));
}

/* The absolute path behind fd goes to the next piece of a->text. */
static int origin_note(int fd, int ro, char **text, struct layer *ret)
{
	char *path = *text;
	int r = fd_path(fd, path, LAYER_PATH_BYTES);

	*text += LAYER_PATH_BYTES;
	return r < 0 ? r : layer_of(fd, path, ro, ret);
}

/* What the box is made of, while the files are open: by name they may be others later. */
static int origin_describe(struct origin *a, const conker_box_opts *o,
			   const struct opened_image *image, struct err *e)
{
	struct manifest *m = a->m;
	char *text = malloc((size_t)(a->files.ndisks + 2) * LAYER_PATH_BYTES);
	int r;

	a->text = text;
	if (!text)
		return err_set(e, ENOMEM, "no memory for what a box is made of");
	r = host_identify(m);
	m->memory_mib = o->memory_mib;
	m->cpus = o->cpus;
	m->append = (char *)o->cmdline_append;
	if (r == 0)
		r = origin_note(a->files.kernel, 1, &text, &m->kernel);
	if (r == 0)
		r = origin_note(a->files.initrd, 1, &text, &m->initrd);
	if (r == 0)
		r = boximage_note(image, a->files.disk[0], text, &m->disk[0]);
	text += LAYER_PATH_BYTES;
	for (int i = 1; i < a->files.ndisks && r == 0; i++)
		r = origin_note(a->files.disk[i], a->files.ro[i], &text, &m->disk[i]);
	m->ndisks = (uint64_t)a->files.ndisks;
	return r < 0 ? err_set(e, -r, "look at the files of a box: %s", strerror(-r)) : 0;
}

int origin_open_cold(struct origin *a, conker_box_opts *o, struct err *e)
{
	o->memory_mib = o->memory_mib ? o->memory_mib : MEMORY_DEFAULT_MIB;
	o->cpus = o->cpus ? o->cpus : 1;
	if (o->memory_mib < MEMORY_MIN_MIB || o->memory_mib > MEMORY_MAX_MIB)
		return err_set(e, EINVAL, "memory: %u MiB; it takes %d to %d", o->memory_mib,
			       MEMORY_MIN_MIB, MEMORY_MAX_MIB);
	if (o->cpus > CPUS_MAX)
		return err_set(e, EINVAL, "cpus: %u is more than %d", o->cpus, CPUS_MAX);
	struct opened_image image;
	int r = image_open(o->image, &image, e);
	if (r < 0)
		return r;
	memcpy(a->m->image, image.name, sizeof(a->m->image));
	artefacts_take_image(&a->files, image.fd, image.nfds);
	r = artefacts_open(&a->files, o, e);
	image_close(&image);
	return r < 0 ? r : origin_describe(a, o, &image, e);
}
