/* SPDX-License-Identifier: Apache-2.0 */
/* artefact.c - the files that a box is made of: found, opened and looked at before anything starts.
 *
 * The VMM gets descriptors, never paths.
 */
#include "lib/host/host.h"
#include "lib/host/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

int artefacts_open(struct artefacts *a, const conker_box_opts *o, int *image, int nfds,
		   struct err *e)
{
	int r = 0;

	assert(nfds >= 1 && nfds <= PARTS_MAX + 1);
	a->disk[0] = take_fd(image[0]);
	a->ro[0] = 1;
	a->ndisks = 1;
	while (a->nparts < nfds - 1) {
		a->parts[a->nparts] = take_fd(image[a->nparts + 1]);
		a->nparts++;
	}
	a->kernel = open_kernel(o, e);
	if (a->kernel < 0)
		return a->kernel;
	a->initrd = place_guest("initrd.cpio", e);
	if (a->initrd < 0)
		return a->initrd;
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
	for (int i = 0; i < a->nparts; i++)
		close(a->parts[i]);
	a->ndisks = a->nparts = 0;
}
