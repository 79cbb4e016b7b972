/* SPDX-License-Identifier: Apache-2.0 */
/* artefact.c - the files that a box is made of: found, opened and looked at before anything starts.
 *
 * The VMM gets descriptors, never paths. An image is checked to be whole here because a truncated one
 * would otherwise show as I/O errors in the guest, seconds later and far from the cause.
 */
#include "lib/host/host.h"
#include "lib/host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/le.h"

#define BUILT_IN_IMAGE "base"

int erofs_check(int fd, const char *what, struct err *e)
{
	/* fs/erofs/erofs_fs.h, struct erofs_super_block */
	enum {
		SUPER_AT = 1024,
		SUPER_BYTES = 128,
		MAGIC_AT = 0,
		BLKSZBITS_AT = 12,
		BLOCKS_AT = 36
	};
	static const uint32_t magic = 0xE0F5E1E2;
	uint8_t sb[SUPER_BYTES];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "%s", what);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s is not a regular file", what);
	ssize_t n = pread(fd, sb, sizeof(sb), SUPER_AT);
	if (n < 0)
		return err_errno(e, "read %s", what);
	if (n != (ssize_t)sizeof(sb) || le_get(sb + MAGIC_AT, 4) != magic)
		return err_set(e, EINVAL, "%s is not an EROFS file system; import it again", what);
	if (sb[BLKSZBITS_AT] < 9 || sb[BLKSZBITS_AT] > 16)
		return err_set(e, EINVAL, "%s has an impossible block size; import it again", what);

	uint64_t want = le_get(sb + BLOCKS_AT, 4) << sb[BLKSZBITS_AT];
	if ((uint64_t)st.st_size < want)
		return err_set(e, EINVAL, "%s is truncated: %llu of %llu bytes; import it again",
			       what, (unsigned long long)st.st_size, (unsigned long long)want);
	return 0;
}

static int open_image_file(const char *name, struct err *e)
{
	char file[NAME_BYTES + 8];
	auto_close int dir = place_images(e);

	if (dir < 0)
		return dir;
	(void)snprintf(file, sizeof(file), "%s.erofs", name);
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return err_errno(e, "image '%s'", name);
	if (strcmp(name, BUILT_IN_IMAGE) == 0)
		return place_guest("base.erofs", e);
	return err_set(e, ENOENT,
		       "no image named '%s'; `conker image ls` lists them, "
		       "`conker image import` makes one",
		       name);
}

int image_open(const char *name, char ret_name[NAME_BYTES], struct err *e)
{
	char what[NAME_BYTES + 16];
	int r;

	if (name) {
		r = name_check("image", name, e);
		if (r < 0)
			return r;
	}
	(void)snprintf(ret_name, NAME_BYTES, "%s", name ? name : BUILT_IN_IMAGE);
	auto_close int fd = name ? open_image_file(name, e) : place_guest("base.erofs", e);
	if (fd < 0)
		return fd;
	(void)snprintf(what, sizeof(what), "image '%s'", ret_name);
	r = erofs_check(fd, what, e);
	return r < 0 ? r : take_fd(fd);
}

static int open_kernel(const conker_box_opts *o, struct err *e)
{
	if (!o->kernel)
		return place_guest(o->cpus > 1 ? "vmlinux-smp" : "vmlinux", e);

	int fd = open(o->kernel, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_errno(e, "kernel '%s'", o->kernel) : fd;
}

/* "FILE" or "FILE:ro". */
static int open_disk(struct artefacts *a, const char *spec, struct err *e)
{
	char path[4096];
	size_t n = strlen(spec);
	int ro = n > 3 && strcmp(spec + n - 3, ":ro") == 0;

	if (a->ndisks > DISKS_MAX)
		return err_set(e, EINVAL, "more than %d disks", DISKS_MAX);
	n -= ro ? 3 : 0;
	if (n == 0 || n >= sizeof(path))
		return err_set(e, EINVAL, "disk '%.80s': not a path", spec);
	memcpy(path, spec, n);
	path[n] = 0;

	int fd = open(path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "disk '%s'", path);
	a->disk[a->ndisks] = fd;
	a->ro[a->ndisks++] = ro;
	return 0;
}

int artefacts_init(struct artefacts *a, struct err *e)
{
	*a = (struct artefacts){
		.kernel = -1, .initrd = -1, .state = -1, .memory = -1, .suspend = {-1, -1}};
	return place_vmm(a->vmm, sizeof(a->vmm), e);
}

int artefacts_open(struct artefacts *a, const conker_box_opts *o, char ret_image[NAME_BYTES],
		   struct err *e)
{
	int r = 0;

	a->kernel = open_kernel(o, e);
	if (a->kernel < 0)
		return a->kernel;
	a->initrd = place_guest("initrd.cpio", e);
	if (a->initrd < 0)
		return a->initrd;
	r = image_open(o->image, ret_image, e);
	if (r < 0)
		return r;
	a->disk[0] = r;
	a->ro[0] = 1;
	a->ndisks = 1;
	r = 0;
	for (const char *const *d = o->disks; r == 0 && d && *d; d++)
		r = open_disk(a, *d, e);
	return r;
}

void artefacts_close(struct artefacts *a)
{
	int *one[] = {&a->kernel, &a->initrd,     &a->state,
		      &a->memory, &a->suspend[0], &a->suspend[1]};

	for (size_t i = 0; i < countof(one); i++)
		if (*one[i] >= 0)
			close(take_fd(*one[i]));
	for (int i = 0; i < a->ndisks; i++)
		if (a->disk[i] >= 0)
			close(a->disk[i]);
	a->ndisks = 0;
}
