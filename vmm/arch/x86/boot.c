/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - see boot.h; protocol: Documentation/arch/x86/boot.rst of Linux, "64-bit Boot Protocol".
 *
 * At entry: long mode, paging on with all that is handed over identity-mapped, flat segments 0x10
 * and 0x18, interrupts off, RSI at boot_params. boot_params holds the memory map, the places of
 * command line and initramfs, and a list of setup_data nodes, of which we give two: random bytes
 * and the device tree.
 */
#include "vmm/arch/x86/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/arch/x86/image.h"
#include "vmm/arch/x86/layout.h"

enum {
	/* what a kernel takes behind its image before it can free anything: tables, page structs */
	BOOT_SLACK_BYTES = 4 << 20,

	SEED_BYTES = 32,         /* what the guest's generator takes at once */
	LOADER_UNDEFINED = 0xff, /* type_of_loader: no number of our own */
	BOOT_CS = 0x10,
	BOOT_DS = 0x18,
	PTE_PRESENT_WRITE = 0x3,
	PTE_2M = 0x80,
	PTES = 512,
	CR0_PE = 1 << 0,
	CR0_ET = 1 << 4,
	CR0_NE = 1 << 5,
	CR0_WP = 1 << 16,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
};
#define CR0_PG (1ULL << 31)

static unsigned long long mib_up(uint64_t bytes)
{
	return (bytes + 0xfffff) >> 20;
}

static int read_exactly(int fd, uint8_t *buf, size_t len, uint64_t off, struct err *e)
{
	ssize_t n = io_pread_all(fd, buf, len, off);

	if (n < 0)
		return err_set(e, (int)-n, "read: %s", strerror((int)-n));
	return (size_t)n == len ? 0 : err_set(e, EIO, "the file became shorter while it was read");
}

/* The bytes of a file into RAM at host: whole pages by mapping them, where the offsets allow it,
 * the ragged ends by reading. A page that is only partly the file's must stay anonymous: what lies
 * beside it belongs to another segment or must be zero. */
static int place(int fd, uint64_t off, uint8_t *host, uint64_t bytes, struct err *e)
{
	uint64_t mask = LAYOUT_PAGE_BYTES - 1;
	uint64_t head = min_(-(uintptr_t)host & mask, bytes);
	uint64_t body = (bytes - head) & ~mask;

	if (((off + head) & mask) != 0)
		return read_exactly(fd, host, bytes, off, e);
	if (body && mmap(host + head, body, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
			 (off_t)(off + head)) == MAP_FAILED)
		return err_errno(e, "map %llu bytes", (unsigned long long)body);

	int r = read_exactly(fd, host, head, off, e);
	return r < 0 ? r
		     : read_exactly(fd, host + head + body, bytes - head - body, off + head + body,
				    e);
}

static int load_kernel(const struct guest_mem *m, int fd, struct image *ret, struct err *e)
{
	uint8_t head[IMAGE_HEAD_BYTES];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "fstat");
	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return err_errno(e, "read");
	if (n == 0)
		return err_set(e, ENOEXEC, "the file is empty");
	int r = image_parse(head, (size_t)n, (uint64_t)st.st_size, ret, e);
	if (r < 0)
		return r;

	for (unsigned i = 0; i < ret->nsegs; i++) {
		const struct image_seg *s = &ret->seg[i];
		struct iovec v;

		if (mem_slice(m, (gpa_t){s->gpa}, s->mem_bytes, &v) < 0)
			return err_set(e, ENOMEM, "it needs %llu MiB, give the box more memory",
				       mib_up(ret->end + BOOT_SLACK_BYTES));
		r = place(fd, s->file_off, v.iov_base, s->file_bytes, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* At the top of the lower RAM, out of the way of a growing kernel. */
static int load_initrd(const struct guest_mem *m, int fd, const struct image *im,
		       struct boot_params *bp, struct err *e)
{
	uint64_t top = min_(m->region[0].size_bytes, im->initrd_end) & ~(LAYOUT_PAGE_BYTES - 1ULL);
	struct stat st;
	struct iovec v;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "fstat");
	if (st.st_size <= 0)
		return err_set(e, EINVAL, "the file is empty");

	uint64_t bytes = (uint64_t)st.st_size;
	uint64_t pages = (bytes + LAYOUT_PAGE_BYTES - 1) & ~(LAYOUT_PAGE_BYTES - 1ULL);
	uint64_t low = im->end + BOOT_SLACK_BYTES;
	if (low >= top || pages > top - low)
		return err_set(e, ENOMEM,
			       "%llu MiB do not fit beside the kernel: give the box at "
			       "least %llu MiB of memory",
			       mib_up(bytes), mib_up(low + 2 * pages));

	int r = mem_slice(m, (gpa_t){top - pages}, bytes, &v);
	if (r < 0)
		return err_set(e, -r, "outside memory");
	bp->hdr.ramdisk_image = (uint32_t)(top - pages);
	bp->hdr.ramdisk_size = (uint32_t)bytes;
	return place(fd, 0, v.iov_base, bytes, e);
}

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end)
{
	enum { E820_RAM = 1 };

	bp->e820_table[bp->e820_entries++] =
		(struct boot_e820_entry){.addr = start, .size = end - start, .type = E820_RAM};
}

static void fill_params(const struct guest_mem *m, const struct image *im, struct boot_params *bp)
{
	memcpy((uint8_t *)bp + IMAGE_SETUP_OFF, im->setup, im->setup_bytes);
	bp->hdr.boot_flag = 0xaa55;
	bp->hdr.header = 0x53726448; /* "HdrS" */
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.loadflags |= LOADED_HIGH;
	bp->hdr.cmd_line_ptr = LAYOUT_CMDLINE;
	bp->hdr.setup_data = LAYOUT_SETUP_DATA;

	add_e820(bp, 0, LAYOUT_LOW_END);
	add_e820(bp, LAYOUT_HIGH_START, m->region[0].size_bytes);
	for (unsigned i = 1; i < m->nregions; i++)
		add_e820(bp, m->region[i].gpa, m->region[i].gpa + m->region[i].size_bytes);
}

static int boot_put(const struct guest_mem *m, uint64_t gpa, const void *buf, size_t len,
		    struct err *e)
{
	int r = mem_write(m, (gpa_t){gpa}, buf, len);

	return r < 0 ? err_set(e, -r, "guest memory ends below %#llx",
			       (unsigned long long)gpa + len)
		     : 0;
}

static int put_node(const struct guest_mem *m, uint64_t gpa, const struct setup_data *head,
		    const void *data, struct err *e)
{
	int r = boot_put(m, gpa, head, sizeof(*head), e);

	return r < 0 ? r : boot_put(m, gpa + sizeof(*head), data, head->len, e);
}

/* Random bytes, without which the guest's generator would wait for noise, and the device tree; back
 * to back, as each gap would split the guest's memory map once more. */
static int put_setup_data(const struct guest_mem *m, const struct boot_source *s, struct err *e)
{
	uint8_t seed[SEED_BYTES];
	uint64_t second = LAYOUT_SETUP_DATA + sizeof(struct setup_data) + sizeof(seed);
	struct setup_data rng = {.next = second, .type = SETUP_RNG_SEED, .len = sizeof(seed)};
	struct setup_data tree = {.type = SETUP_DTB, .len = (uint32_t)s->dtb_len};

	if (s->dtb_len > LAYOUT_SETUP_DATA + LAYOUT_SETUP_DATA_BYTES - second - sizeof(tree))
		return err_set(e, E2BIG, "the device tree is too large");
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed)) /* so few bytes come whole or not */
		return err_errno(e, "getrandom");
	int r = put_node(m, LAYOUT_SETUP_DATA, &rng, seed, e);
	explicit_bzero(seed, sizeof(seed));
	return r < 0 ? r : put_node(m, second, &tree, s->dtb, e);
}

int boot_generation(const struct guest_mem *m, struct err *e)
{
	uint8_t generation[LAYOUT_GENERATION_BYTES];

	if (getrandom(generation, sizeof(generation), 0) != sizeof(generation))
		return err_errno(e, "getrandom");
	return boot_put(m, LAYOUT_GENERATION, generation, sizeof(generation), e);
}

/* The first GiB, in pages of 2 MiB; the kernel maps the rest itself. */
static int put_page_tables(const struct guest_mem *m, struct err *e)
{
	uint64_t pml4e = LAYOUT_PDPT | PTE_PRESENT_WRITE, pdpte = LAYOUT_PD | PTE_PRESENT_WRITE;
	uint64_t pd[PTES];

	for (uint64_t i = 0; i < PTES; i++)
		pd[i] = i << 21 | PTE_2M | PTE_PRESENT_WRITE;
	int r = boot_put(m, LAYOUT_PML4, &pml4e, sizeof(pml4e), e);
	if (r == 0)
		r = boot_put(m, LAYOUT_PDPT, &pdpte, sizeof(pdpte), e);
	return r < 0 ? r : boot_put(m, LAYOUT_PD, pd, sizeof(pd), e);
}

static int put_gdt(const struct guest_mem *m, struct err *e)
{
	static const uint64_t gdt[] = {0, 0, 0x00af9b000000ffff /* BOOT_CS: code, 64-bit */,
				       0x00cf93000000ffff /* BOOT_DS: data, 4 GiB */};

	return boot_put(m, LAYOUT_GDT, gdt, sizeof(gdt), e);
}

static int put_cmdline(const struct guest_mem *m, const struct boot_source *s,
		       const struct image *im, struct err *e)
{
	size_t len = strlen(s->cmdline);

	if (len > im->cmdline_bytes)
		return err_set(e, E2BIG, "this kernel takes %u bytes of command line, not %zu",
			       im->cmdline_bytes, len);
	return boot_put(m, LAYOUT_CMDLINE, s->cmdline, len + 1, e);
}

int boot_load(const struct guest_mem *m, const struct boot_source *s, uint64_t *ret_entry,
	      struct err *e)
{
	struct boot_params bp = {0};
	struct image im = {0};

	int r = load_kernel(m, s->kernel_fd, &im, e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	if (im.entry >= LAYOUT_BOOT_MAPPED)
		return err_set(e, ENOEXEC, "kernel: its entry point lies above 1 GiB");
	fill_params(m, &im, &bp);
	if (s->initrd_fd >= 0)
		r = load_initrd(m, s->initrd_fd, &im, &bp, e);
	if (r < 0)
		return err_wrap(e, r, "initrd");
	r = put_cmdline(m, s, &im, e);
	if (r == 0)
		r = put_setup_data(m, s, e);
	if (r == 0)
		r = put_page_tables(m, e);
	if (r == 0)
		r = put_gdt(m, e);
	if (r == 0)
		r = boot_generation(m, e);
	if (r == 0)
		r = boot_put(m, LAYOUT_BOOT_PARAMS, &bp, sizeof(bp), e);
	*ret_entry = im.entry;
	return r;
}

int boot_enter(int vcpu_fd, uint64_t entry, struct err *e)
{
	const struct kvm_segment code = {.limit = UINT32_MAX,
					 .selector = BOOT_CS,
					 .type = 11 /* execute, read, accessed */,
					 .present = 1,
					 .s = 1,
					 .l = 1,
					 .g = 1};
	const struct kvm_segment data = {.limit = UINT32_MAX,
					 .selector = BOOT_DS,
					 .type = 3 /* read, write, accessed */,
					 .present = 1,
					 .s = 1,
					 .db = 1,
					 .g = 1};
	struct kvm_regs r = {.rip = entry,
			     .rsi = LAYOUT_BOOT_PARAMS,
			     .rsp = LAYOUT_BOOT_STACK,
			     .rflags = 2 /* the bit that is always set */};
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) <
	    0) /* keeps what reset set: the APIC base, TR, LDT */
		return err_errno(e, "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = LAYOUT_GDT;
	s.gdt.limit = 4 * sizeof(uint64_t) - 1;
	s.cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE;
	s.cr3 = LAYOUT_PML4;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0)
		return err_errno(e, "KVM_SET_SREGS");
	return ioctl(vcpu_fd, KVM_SET_REGS, &r) < 0 ? err_errno(e, "KVM_SET_REGS") : 0;
}
