/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - any files as kernel and initramfs, any bytes as command line: loaded into guest memory, or refused with a
 * message. The files' pages are mapped into the guest, so that one which were mapped beside it would show as a crash.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/x86/boot.h"

enum { MIB = 1 << 20, CMDLINE_BYTES = 256, DTB_BYTES = 64, GUARD_BYTES = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct head { /* of the input; what follows it is the kernel, then the initramfs */
	uint8_t memory_mib, has_initrd, kernel_pages,
		initrd_pages; /* pages of zeros behind the bytes */
	uint16_t kernel_bytes;
	uint8_t cmdline_bytes;
};

static int file_of(const uint8_t *p, size_t len, unsigned pages)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	assert(ftruncate(fd, (off_t)(len + pages * 4096)) == 0);
	return fd;
}

/* Nothing is between the regions' end and inaccessible memory. */
static uint8_t *guest_memory(struct guest_mem *m, size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + 2 * GUARD_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(p != MAP_FAILED);
	assert(mprotect(p + GUARD_BYTES, bytes, PROT_READ | PROT_WRITE) == 0);
	*m = (struct guest_mem){.nregions = 1};
	m->region[0] = (struct mem_region){.gpa = 0, .size_bytes = bytes, .host = p + GUARD_BYTES};
	return p;
}

/* A mapping beside the guest would have taken the guards away. */
static void check_guards(const uint8_t *p, size_t bytes)
{
	int fd = memfd_create("taken", MFD_CLOEXEC);

	assert(write(fd, p + GUARD_BYTES - 1, 1) < 0 && errno == EFAULT);
	assert(write(fd, p + GUARD_BYTES + bytes, 1) < 0 && errno == EFAULT);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t dtb[DTB_BYTES] = {0xd0, 0x0d, 0xfe, 0xed};
	char cmdline[CMDLINE_BYTES + 1];
	struct guest_mem m;
	struct head h;
	struct err e = {0};
	uint64_t entry = 0;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	len -= sizeof(h);
	size_t words = min_((size_t)h.cmdline_bytes, len);
	memcpy(cmdline, data, words);
	cmdline[words] = 0;
	data += words;
	len -= words;
	size_t kernel = min_((size_t)h.kernel_bytes, len);
	size_t bytes = (size_t)(h.memory_mib % 64 + 1) * MIB;

	uint8_t *p = guest_memory(&m, bytes);
	struct boot_source s = {
		.kernel_fd = file_of(data, kernel, h.kernel_pages),
		.initrd_fd = h.has_initrd & 1 ? file_of(data + kernel, len - kernel, h.initrd_pages)
					      : -1,
		.cmdline = cmdline,
		.dtb = dtb,
		.dtb_len = sizeof(dtb),
	};
	if (boot_load(&m, &s, &entry, &e) < 0)
		assert(e.code && e.msg[0]);
	else
		assert(entry < bytes);
	check_guards(p, bytes);
	munmap(p, bytes + 2 * GUARD_BYTES);
	close(s.kernel_fd);
	if (s.initrd_fd >= 0)
		close(s.initrd_fd);
	return 0;
}
