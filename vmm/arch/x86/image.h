/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - what a kernel file asks to be loaded where: ELF vmlinux and bzImage. Pure. */
#ifndef VMM_ARCH_X86_IMAGE_H
#define VMM_ARCH_X86_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/util.h"

enum {
	IMAGE_HEAD_BYTES = 4096, /* of the file; all headers must lie in it */
	IMAGE_SEGS = 8,
	IMAGE_SETUP_OFF = 0x1f1, /* of the setup header, in a bzImage and in boot_params alike */
	IMAGE_SETUP_BYTES = 0x7f,
};

struct image_seg {
	uint64_t file_off, file_bytes;
	uint64_t gpa, mem_bytes; /* the memory behind file_bytes is zero */
};

struct image {
	uint64_t entry; /* guest-physical, to be jumped to in 64-bit mode */
	uint64_t end; /* first byte behind all that the image uses before it reads the memory map */
	uint64_t initrd_end; /* the initramfs must end at or below */
	uint32_t
		cmdline_bytes; /* it reads no more of the command line, the final NUL not counted */
	unsigned nsegs;
	struct image_seg seg[IMAGE_SEGS];
	unsigned setup_bytes; /* of a bzImage's setup header; 0: an ELF file has none */
	uint8_t setup[IMAGE_SETUP_BYTES];
};

/* head: the first head_len bytes (all, or at least IMAGE_HEAD_BYTES of them) of a file of
 * file_bytes. On success every segment lies inside the file, at or above 1 MiB, without wrapping, and
 * entry lies inside one of them; whether they fit into the guest's memory is the caller's to check.
 * 0, or -ENOEXEC with the reason. */
must_check int image_parse(const void *head, size_t head_len, uint64_t file_bytes,
			   struct image *ret, struct err *e);

#endif
