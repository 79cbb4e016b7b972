/* SPDX-License-Identifier: Apache-2.0 */
/* memfile.c - see memfile.h.
 *
 * Which pages to write: those that the kernel says we have (present or swapped out), and, of a machine that was restored
 * itself, those of the file below. mincore() would not do: it calls a page that was swapped out absent.
 *
 * #syscalls loop: pread64? pwrite64? ftruncate? lseek?
 */
#include "vmm/snap/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/box.h"
#include "util/io.h"

enum {
	PAGE = 4096,
	BATCH = 512, /* pages looked at together */
	BATCH_BYTES = BATCH * PAGE,
};

_Static_assert((int)MEMORY_TAIL_BYTES == (int)PAGE, "one page says whose it is");

#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAPPED (1ULL << 62)

static const char magic[8] = "cnkrmem";

struct trailer { /* the last page begins with it */
	char magic[8];
	struct memfile_id id;
	uint64_t size_bytes;
};

uint64_t memfile_bytes(const struct guest_mem *m)
{
	return mem_bytes(m) + PAGE;
}

int memfile_pagemap(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

struct writer {
	int fd, base_fd, pagemap_fd;
	uint64_t data,
		hole; /* the stretch of data in base_fd at or after where we are: [data, hole) */
	uint64_t written_bytes;
	struct err *e;
};

static int write_pages(struct writer *w, const void *p, size_t len, uint64_t off)
{
	int r = io_pwrite_all(w->fd, p, len, off);

	w->written_bytes += len;
	return r < 0 ? err_set(w->e, -r, "write the memory file: %s", strerror(-r)) : 0;
}

/* Whether the file below has data at off; called with rising offsets. */
static bool base_has(struct writer *w, uint64_t off)
{
	if (w->base_fd < 0)
		return false;
	if (off >= w->hole) {
		off_t data = lseek(w->base_fd, (off_t)off, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(w->base_fd, data, SEEK_HOLE);

		w->data = data < 0 ? UINT64_MAX : (uint64_t)data;
		w->hole = hole < 0 ? UINT64_MAX : (uint64_t)hole;
	}
	return off >= w->data && off < w->hole;
}

/* Reading a page that nobody has would make one. */
static void look(const struct writer *w, const uint8_t *host, uint64_t *map, size_t n)
{
	size_t len = n * sizeof(*map);

	if (w->pagemap_fd >= 0 &&
	    pread(w->pagemap_fd, map, len, (off_t)((uintptr_t)host / PAGE * sizeof(*map))) ==
		    (ssize_t)len)
		return;
	memset(map, 0xff, len);
}

/* One batch: runs of pages worth keeping. */
static int write_batch(struct writer *w, const uint8_t *host, size_t n, uint64_t off)
{
	uint64_t map[BATCH];
	size_t from = 0;

	look(w, host, map, n);
	for (size_t i = 0; i <= n; i++) {
		bool keep = i < n &&
			    ((map[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) ||
			     base_has(w, off + i * PAGE)) &&
			    !io_is_zero(host + i * PAGE, PAGE);
		if (keep)
			continue;
		int r = i > from ? write_pages(w, host + from * PAGE, (i - from) * PAGE,
					       off + from * PAGE)
				 : 0;
		if (r < 0)
			return r;
		from = i + 1;
	}
	return 0;
}

static int write_trailer(struct writer *w, const struct memfile_id *id, uint64_t size_bytes)
{
	struct trailer t = {.id = *id, .size_bytes = size_bytes};

	memcpy(t.magic, magic, sizeof(magic));
	return write_pages(w, &t, sizeof(t), size_bytes);
}

int memfile_write(const struct guest_mem *m, int fd, int base_fd, int pagemap_fd,
		  const struct memfile_id *id, uint64_t *ret_bytes, struct err *e)
{
	struct writer w = {.fd = fd, .base_fd = base_fd, .pagemap_fd = pagemap_fd, .e = e};
	uint64_t off = 0, size = mem_bytes(m);

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)memfile_bytes(m)) < 0)
		return err_errno(e, "make the memory file");
	for (unsigned i = 0; i < m->nregions; i++) {
		const struct mem_region *r = &m->region[i];

		for (uint64_t at = 0; at < r->size_bytes; at += BATCH_BYTES) {
			size_t n = min_(r->size_bytes - at, (uint64_t)BATCH_BYTES) / PAGE;
			int ret = write_batch(&w, r->host + at, n, off + at);

			if (ret < 0)
				return ret;
		}
		off += r->size_bytes;
	}
	*ret_bytes = w.written_bytes;
	return write_trailer(&w, id, size);
}

int memfile_check(int fd, uint64_t size_bytes, const struct memfile_id *id, struct err *e)
{
	struct stat st;
	struct trailer t;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "the memory file");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size_bytes + PAGE)
		return err_set(
			e, EINVAL,
			"the memory file is %lld bytes instead of %llu: cut short, or not one",
			(long long)st.st_size, (unsigned long long)size_bytes + PAGE);
	ssize_t n = pread(fd, &t, sizeof(t), (off_t)size_bytes);
	if (n < 0)
		return err_errno(e, "read the memory file");
	if (n != (ssize_t)sizeof(t) || memcmp(t.magic, magic, sizeof(magic)) != 0 ||
	    t.size_bytes != size_bytes)
		return err_set(e, EINVAL, "the memory file is damaged, or is none");
	if (memcmp(&t.id, id, sizeof(*id)) != 0)
		return err_set(e, EINVAL, "the memory file belongs to another snapshot");
	return 0;
}
