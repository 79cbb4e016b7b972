/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - see image.h.
 *
 * vmlinux: 64-bit little-endian ELF for x86-64. PT_LOAD segments go to their physical addresses; the
 * entry point is physical already in Linux, and virtual in some other kernels: both are accepted.
 *
 * bzImage (Documentation/arch/x86/boot.rst of Linux): a boot sector with the setup header, further
 * setup sectors that only a BIOS needs, then the payload with its 64-bit entry point at 0x200. The
 * payload unpacks itself, in the init_size bytes from where it was loaded.
 */
#include "vmm/arch/x86/image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/x86/layout.h"

enum {
	ELF_PHDRS_MAX = 64,
	SECTOR_BYTES = 512,
	ENTRY_64_OFF = 0x200,

	/* offsets in the boot sector */
	BZ_SETUP_SECTS = 0x1f1,
	BZ_BOOT_FLAG = 0x1fe,
	BZ_JUMP_LEN = 0x201, /* the setup header ends at 0x202 plus this byte */
	BZ_MAGIC = 0x202,
	BZ_VERSION = 0x206,
	BZ_INITRD_MAX = 0x22c,
	BZ_XLOADFLAGS = 0x236,
	BZ_CMDLINE_SIZE = 0x238,
	BZ_PREF_ADDRESS = 0x258,
	BZ_INIT_SIZE = 0x260,
	BZ_HEAD_BYTES = 0x270,

	BZ_BOOT_FLAG_VALUE = 0xaa55,
	BZ_VERSION_64 = 0x20c, /* the first with a 64-bit entry point */
	BZ_XLF_KERNEL_64 = 1 << 0,
	BZ_SETUP_SECTS_DEFAULT = 4,
};

#define IMAGE_TOP (1ULL << 52) /* no x86 has more physical address bits */

static int bad(struct err *e, const char *why)
{
	return err_set(e, ENOEXEC, "not a kernel that can be started: %s", why);
}

static uint64_t load(const uint8_t *head, size_t off, size_t bytes)
{
	uint64_t val = 0;

	memcpy(&val, head + off, bytes);
	return val;
}

static int add_seg(struct image *im, const struct image_seg *s, uint64_t file_bytes, struct err *e)
{
	if (s->file_off > file_bytes || s->file_bytes > file_bytes - s->file_off)
		return bad(e, "the file is truncated");
	if (s->mem_bytes < s->file_bytes)
		return bad(e, "a segment is larger in the file than in memory");
	if (s->gpa < LAYOUT_HIGH_START || s->gpa >= IMAGE_TOP || s->mem_bytes > IMAGE_TOP - s->gpa)
		return bad(e, "a segment lies at an impossible address");
	if (im->nsegs == IMAGE_SEGS)
		return bad(e, "too many segments");
	im->seg[im->nsegs++] = *s;
	if (s->gpa + s->mem_bytes > im->end)
		im->end = s->gpa + s->mem_bytes;
	return 0;
}

static int elf_check(const Elf64_Ehdr *h, size_t head_len, struct err *e)
{
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return bad(e, "the ELF file is not for x86-64");
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return bad(e, "the ELF file is not an executable");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > ELF_PHDRS_MAX)
		return bad(e, "the ELF program headers make no sense");
	if (h->e_phoff > head_len || h->e_phnum * sizeof(Elf64_Phdr) > head_len - h->e_phoff)
		return bad(e, "the ELF program headers are not at the start of the file");
	return 0;
}

/* The physical entry point, or 0. */
static uint64_t elf_entry(const Elf64_Phdr *ph, unsigned n, uint64_t entry)
{
	for (unsigned i = 0; i < n; i++)
		if (ph[i].p_type == PT_LOAD && entry - ph[i].p_paddr < ph[i].p_filesz)
			return entry;
	for (unsigned i = 0; i < n; i++)
		if (ph[i].p_type == PT_LOAD && entry - ph[i].p_vaddr < ph[i].p_filesz)
			return entry - ph[i].p_vaddr + ph[i].p_paddr;
	return 0;
}

static int elf_parse(const uint8_t *head, size_t head_len, uint64_t file_bytes, struct image *im,
		     struct err *e)
{
	Elf64_Ehdr h;
	Elf64_Phdr ph[ELF_PHDRS_MAX];

	if (head_len < sizeof(h))
		return bad(e, "the file is truncated");
	memcpy(&h, head, sizeof(h));
	int r = elf_check(&h, head_len, e);
	if (r < 0)
		return r;
	memcpy(ph, head + h.e_phoff, h.e_phnum * sizeof(ph[0]));

	for (unsigned i = 0; i < h.e_phnum; i++) {
		struct image_seg s = {.file_off = ph[i].p_offset,
				      .file_bytes = ph[i].p_filesz,
				      .gpa = ph[i].p_paddr,
				      .mem_bytes = ph[i].p_memsz};

		if (ph[i].p_type != PT_LOAD || !(ph[i].p_memsz | ph[i].p_filesz))
			continue;
		r = add_seg(im, &s, file_bytes, e);
		if (r < 0)
			return r;
	}
	im->entry = elf_entry(ph, h.e_phnum, h.e_entry);
	if (!im->entry)
		return bad(e, "its entry point lies outside what it loads");
	im->initrd_end = LAYOUT_HOLE_START;
	im->cmdline_bytes = UINT32_MAX;
	return 0;
}

static int bz_parse(const uint8_t *head, uint64_t file_bytes, struct image *im, struct err *e)
{
	uint64_t sects = load(head, BZ_SETUP_SECTS, 1) ?: BZ_SETUP_SECTS_DEFAULT;
	uint64_t payload = (sects + 1) * SECTOR_BYTES;

	if (load(head, BZ_VERSION, 2) < BZ_VERSION_64 ||
	    !(load(head, BZ_XLOADFLAGS, 2) & BZ_XLF_KERNEL_64))
		return bad(e, "the bzImage has no 64-bit entry point");
	if (payload + ENTRY_64_OFF >= file_bytes)
		return bad(e, "the file is truncated");

	struct image_seg s = {.file_off = payload,
			      .file_bytes = file_bytes - payload,
			      .gpa = load(head, BZ_PREF_ADDRESS, 8),
			      .mem_bytes = load(head, BZ_INIT_SIZE, 4)};
	if (s.mem_bytes < s.file_bytes)
		s.mem_bytes = s.file_bytes;
	int r = add_seg(im, &s, file_bytes, e);
	if (r < 0)
		return r;
	im->entry = s.gpa + ENTRY_64_OFF;
	im->initrd_end = min_(load(head, BZ_INITRD_MAX, 4) + 1, (uint64_t)LAYOUT_HOLE_START);
	im->cmdline_bytes = (uint32_t)load(head, BZ_CMDLINE_SIZE, 4);
	im->setup_bytes = min_(BZ_MAGIC + (unsigned)head[BZ_JUMP_LEN] - IMAGE_SETUP_OFF,
			       (unsigned)IMAGE_SETUP_BYTES);
	memcpy(im->setup, head + IMAGE_SETUP_OFF, im->setup_bytes);
	return 0;
}

int image_parse(const void *head, size_t head_len, uint64_t file_bytes, struct image *ret,
		struct err *e)
{
	const uint8_t *h = head;
	struct image im = {0};
	int r;

	if (head_len >= SELFMAG && memcmp(h, ELFMAG, SELFMAG) == 0)
		r = elf_parse(h, head_len, file_bytes, &im, e);
	else if (head_len >= BZ_HEAD_BYTES && load(h, BZ_BOOT_FLAG, 2) == BZ_BOOT_FLAG_VALUE &&
		 memcmp(h + BZ_MAGIC, "HdrS", 4) == 0)
		r = bz_parse(h, file_bytes, &im, e);
	else
		r = bad(e, "neither ELF nor bzImage");
	if (r == 0)
		*ret = im;
	return r;
}
