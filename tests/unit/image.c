/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/x86/image.h"

enum { FILE_BYTES = 1 << 20, BASE = 16 << 20 };

/* The head of a vmlinux with two segments, right in every respect: each test breaks one thing. */
struct vmlinux {
	Elf64_Ehdr h;
	Elf64_Phdr ph[2];
	uint8_t rest[IMAGE_HEAD_BYTES - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
};

static struct vmlinux v;
static struct image im;
static struct err e;

static void make_vmlinux(void)
{
	v = (struct vmlinux){
		.h = {.e_type = ET_EXEC,
		      .e_machine = EM_X86_64,
		      .e_entry = BASE + 0x100,
		      .e_phoff = sizeof(Elf64_Ehdr),
		      .e_phentsize = sizeof(Elf64_Phdr),
		      .e_phnum = 2},
		.ph = {{.p_type = PT_LOAD,
			.p_offset = 0x1000,
			.p_vaddr = 0xffffffff81000000,
			.p_paddr = BASE,
			.p_filesz = 0x2000,
			.p_memsz = 0x2000},
		       {.p_type = PT_LOAD,
			.p_offset = 0x3000,
			.p_vaddr = 0xffffffff81002000,
			.p_paddr = BASE + 0x2000,
			.p_filesz = 0x1000,
			.p_memsz = 0x5000}},
	};
	memcpy(v.h.e_ident, ELFMAG, SELFMAG);
	v.h.e_ident[EI_CLASS] = ELFCLASS64;
	v.h.e_ident[EI_DATA] = ELFDATA2LSB;
	e = (struct err){0};
}

TestSuite(image, .init = make_vmlinux);

static int parse(void)
{
	return image_parse(&v, sizeof(v), FILE_BYTES, &im, &e);
}

Test(image, vmlinux_segments_go_to_their_physical_addresses)
{
	cr_assert_eq(parse(), 0, "%s", e.msg);
	cr_assert_eq(im.entry, BASE + 0x100);
	cr_assert_eq(im.nsegs, 2);
	cr_assert_eq(im.seg[1].gpa, BASE + 0x2000);
	cr_assert_eq(im.seg[1].file_off, 0x3000);
	cr_assert_eq(im.seg[1].file_bytes, 0x1000);
	cr_assert_eq(im.seg[1].mem_bytes, 0x5000);
	cr_assert_eq(im.end, BASE + 0x7000);
	cr_assert_eq(im.setup_bytes, 0);
}

Test(image, virtual_entry_point_is_translated)
{
	v.h.e_entry = 0xffffffff81002040;
	cr_assert_eq(parse(), 0, "%s", e.msg);
	cr_assert_eq(im.entry, BASE + 0x2040);
}

Test(image, entry_point_must_be_loaded)
{
	v.h.e_entry = BASE + 0x3000; /* zeroes behind the second segment's bytes */
	cr_assert_eq(parse(), -ENOEXEC);
	v.h.e_entry = 0;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, segment_must_lie_in_the_file)
{
	v.ph[0].p_offset = FILE_BYTES - 0x2000;
	cr_assert_eq(parse(), 0);
	v.ph[0].p_offset++;
	cr_assert_eq(parse(), -ENOEXEC);
	cr_assert(strstr(e.msg, "truncated"));
	v.ph[0].p_offset = UINT64_MAX; /* offset + size wraps */
	cr_assert_eq(parse(), -ENOEXEC);
	make_vmlinux();
	v.ph[0].p_filesz = v.ph[0].p_memsz = UINT64_MAX - 0xfff;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, segment_must_not_touch_the_boot_data_nor_wrap)
{
	v.ph[1].p_paddr = 0x100000;
	cr_assert_eq(parse(), 0);
	v.ph[1].p_paddr = 0xfffff;
	cr_assert_eq(parse(), -ENOEXEC);
	v.ph[1].p_paddr = UINT64_MAX - 0xfff;
	cr_assert_eq(parse(), -ENOEXEC);
	make_vmlinux();
	v.ph[1].p_memsz = UINT64_MAX - BASE;
	cr_assert_eq(parse(), -ENOEXEC);
	v.ph[1].p_memsz = v.ph[1].p_filesz - 1;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, program_headers_must_lie_in_the_head)
{
	v.h.e_phoff = IMAGE_HEAD_BYTES - 2 * sizeof(Elf64_Phdr);
	memcpy((uint8_t *)&v + v.h.e_phoff, v.ph, sizeof(v.ph));
	cr_assert_eq(parse(), 0, "%s", e.msg);
	v.h.e_phoff++;
	cr_assert_eq(parse(), -ENOEXEC);
	v.h.e_phoff = UINT64_MAX;
	cr_assert_eq(parse(), -ENOEXEC);
	make_vmlinux();
	v.h.e_phnum = 0;
	cr_assert_eq(parse(), -ENOEXEC);
	v.h.e_phnum = UINT16_MAX;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, segments_are_counted)
{
	Elf64_Phdr *ph = (Elf64_Phdr *)((uint8_t *)&v + v.h.e_phoff);

	for (int i = 0; i < IMAGE_SEGS + 1; i++)
		ph[i] = ph[0];
	v.h.e_phnum = IMAGE_SEGS;
	cr_assert_eq(parse(), 0);
	v.h.e_phnum = IMAGE_SEGS + 1;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, other_machines_are_refused)
{
	v.h.e_machine = EM_AARCH64;
	cr_assert_eq(parse(), -ENOEXEC);
	make_vmlinux();
	v.h.e_ident[EI_CLASS] = ELFCLASS32;
	cr_assert_eq(parse(), -ENOEXEC);
	make_vmlinux();
	v.h.e_type = ET_REL;
	cr_assert_eq(parse(), -ENOEXEC);
}

Test(image, short_and_foreign_files_are_refused)
{
	for (size_t n = 0; n < sizeof(v.h) + sizeof(v.ph); n++)
		cr_assert_eq(image_parse(&v, n, n, &im, &e), -ENOEXEC, "%zu bytes", n);
	memset(&v, 0, sizeof(v));
	cr_assert_eq(parse(), -ENOEXEC);
	memcpy(&v, "#!/bin/sh\n", 10);
	cr_assert_eq(parse(), -ENOEXEC);
	cr_assert(strstr(e.msg, "neither ELF nor bzImage"));
}

/* --- bzImage ------------------------------------------------------------------------------------- */

static uint8_t bz[IMAGE_HEAD_BYTES];

static void put(size_t off, uint64_t val, size_t bytes)
{
	memcpy(bz + off, &val, bytes);
}

static void make_bzimage(void)
{
	memset(bz, 0, sizeof(bz));
	put(0x1f1, 3, 1);              /* setup sectors */
	put(0x1fe, 0xaa55, 2);         /* boot flag */
	put(0x201, 0x6a, 1);           /* the header ends at 0x26c */
	memcpy(bz + 0x202, "HdrS", 4); /* magic */
	put(0x206, 0x20f, 2);          /* version */
	put(0x22c, 0x7fffffff, 4);     /* initrd_addr_max */
	put(0x236, 1, 2);              /* 64-bit entry point */
	put(0x238, 2047, 4);           /* cmdline_size */
	put(0x258, BASE, 8);           /* pref_address */
	put(0x260, 8 << 20, 4);        /* init_size */
}

static int parse_bz(void)
{
	return image_parse(bz, sizeof(bz), FILE_BYTES, &im, &e);
}

Test(image, bzimage_payload_goes_to_its_preferred_address, .init = make_bzimage)
{
	cr_assert_eq(parse_bz(), 0, "%s", e.msg);
	cr_assert_eq(im.nsegs, 1);
	cr_assert_eq(im.seg[0].file_off, 4 * 512);
	cr_assert_eq(im.seg[0].file_bytes, FILE_BYTES - 4 * 512);
	cr_assert_eq(im.seg[0].gpa, BASE);
	cr_assert_eq(im.end, BASE + (8 << 20));
	cr_assert_eq(im.entry, BASE + 0x200);
	cr_assert_eq(im.initrd_end, 0x80000000);
	cr_assert_eq(im.cmdline_bytes, 2047);
	cr_assert_eq(im.setup_bytes, 0x26c - 0x1f1);
	cr_assert_eq(memcmp(im.setup, bz + 0x1f1, im.setup_bytes), 0);
}

Test(image, zero_setup_sectors_mean_four, .init = make_bzimage)
{
	put(0x1f1, 0, 1);
	cr_assert_eq(parse_bz(), 0);
	cr_assert_eq(im.seg[0].file_off, 5 * 512);
}

Test(image, bzimage_without_64_bit_entry_is_refused, .init = make_bzimage)
{
	put(0x236, 0, 2);
	cr_assert_eq(parse_bz(), -ENOEXEC);
	make_bzimage();
	put(0x206, 0x20b, 2);
	cr_assert_eq(parse_bz(), -ENOEXEC);
}

Test(image, bzimage_without_payload_is_refused, .init = make_bzimage)
{
	cr_assert_eq(image_parse(bz, sizeof(bz), 4 * 512 + 0x201, &im, &e), 0);
	cr_assert_eq(image_parse(bz, sizeof(bz), 4 * 512 + 0x200, &im, &e), -ENOEXEC);
	cr_assert_eq(image_parse(bz, 0x26f, FILE_BYTES, &im, &e), -ENOEXEC);
}

Test(image, bzimage_numbers_are_bounded, .init = make_bzimage)
{
	put(0x201, 0xff, 1); /* a setup header longer than we know */
	cr_assert_eq(parse_bz(), 0);
	cr_assert_eq(im.setup_bytes, IMAGE_SETUP_BYTES);
	put(0x258, 0x1000, 8); /* on top of our boot data */
	cr_assert_eq(parse_bz(), -ENOEXEC);
	put(0x258, UINT64_MAX, 8);
	cr_assert_eq(parse_bz(), -ENOEXEC);
	make_bzimage();
	put(0x22c, UINT32_MAX, 4); /* initrd anywhere: still below the hole */
	cr_assert_eq(parse_bz(), 0);
	cr_assert_eq(im.initrd_end, 0xc0000000);
	put(0x260, 0, 4); /* init_size below the payload's own */
	cr_assert_eq(parse_bz(), 0);
	cr_assert_eq(im.seg[0].mem_bytes, im.seg[0].file_bytes);
}
