/* SPDX-License-Identifier: Apache-2.0 */
/* mem.c - see mem.h. */
#include "vmm/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/arch/x86/layout.h"

/* The next size_bytes of the file, or zeroes. */
static int add_region(struct guest_mem *m, uint64_t gpa, uint64_t size_bytes, int fd, struct err *e)
{
	off_t off = m->nregions ? (off_t)m->region[0].size_bytes : 0;
	int source = fd < 0 ? MAP_ANONYMOUS : 0;

	/* NORESERVE: a box is charged for the pages it touches, not for what it may. */
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_NORESERVE | source, fd, fd < 0 ? 0 : off);
	if (p == MAP_FAILED)
		return err_errno(e, "the host refuses %llu MiB of guest memory (use a smaller box)",
				 (unsigned long long)(size_bytes >> 20));
	m->region[m->nregions++] =
		(struct mem_region){.gpa = gpa, .size_bytes = size_bytes, .host = p};
	return 0;
}

int mem_init(struct guest_mem *m, uint64_t size_bytes, int fd, struct err *e)
{
	uint64_t low = min_(size_bytes, LAYOUT_HOLE_START);

	*m = (struct guest_mem){0};
	if (!size_bytes || size_bytes % LAYOUT_PAGE_BYTES)
		return err_set(e, EINVAL, "guest memory is not whole pages");
	int r = add_region(m, 0, low, fd, e);
	if (r == 0 && size_bytes > low)
		r = add_region(m, LAYOUT_HOLE_END, size_bytes - low, fd, e);
	return r;
}

void mem_fini(struct guest_mem *m)
{
	for (unsigned i = 0; i < m->nregions; i++)
		munmap(m->region[i].host, m->region[i].size_bytes);
	m->nregions = 0;
}

uint64_t mem_bytes(const struct guest_mem *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->nregions; i++)
		bytes += m->region[i].size_bytes;
	return bytes;
}

int mem_slice(const struct guest_mem *m, gpa_t gpa, size_t len, struct iovec *ret)
{
	for (unsigned i = 0; i < m->nregions && len; i++) {
		const struct mem_region *r = &m->region[i];
		uint64_t off = gpa.raw - r->gpa; /* wraps to something huge below the region */

		if (off >= r->size_bytes || len > r->size_bytes - off)
			continue;
		*ret = (struct iovec){.iov_base = r->host + off, .iov_len = len};
		return 0;
	}
	return -EFAULT;
}

int mem_write(const struct guest_mem *m, gpa_t gpa, const void *buf, size_t len)
{
	struct iovec v;
	int r = mem_slice(m, gpa, len, &v);

	if (r == 0)
		memcpy(v.iov_base, buf, len);
	return r;
}
