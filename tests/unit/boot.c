/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/bootparam.h>
#include <elf.h>
#include <sys/mman.h>

#include "tests/lib/raw_guest.h"
#include "tests/lib/test.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/layout.h"

enum { MIB = 1 << 20, BASE = 16 * MIB, OFF = 0x1000, PAGE = 4096 };

static struct guest_mem m;
static struct err e;
static uint64_t entry;
static int initrd_fd = -1;

static void set_up(void)
{
	cr_assert_eq(mem_init(&m, 32 * MIB, -1, NULL), 0);
}

static void tear_down(void)
{
	mem_fini(&m);
}

TestSuite(boot, .init = set_up, .fini = tear_down);

static int file_of(size_t bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	uint8_t *buf = malloc(bytes);

	for (size_t i = 0; i < bytes; i++)
		buf[i] = (uint8_t)(i / 251 + i);
	cr_assert_eq(write(fd, buf, bytes), (ssize_t)bytes);
	free(buf);
	return fd;
}

static uint8_t file_byte(size_t i)
{
	return (uint8_t)(i / 251 + i);
}

/* A kernel of one segment: file bytes from file_off on go to gpa. */
static int kernel_of(uint64_t file_off, uint64_t gpa, uint64_t file_bytes, uint64_t mem_bytes)
{
	struct raw_headers k = raw_headers(file_off, gpa, file_bytes, mem_bytes);
	int fd = file_of(file_off + file_bytes + PAGE);

	cr_assert_eq(pwrite(fd, &k, sizeof(k), 0), (ssize_t)sizeof(k));
	return fd;
}

static int load(int kernel_fd, const char *cmdline)
{
	struct boot_source s = {.kernel_fd = kernel_fd,
				.initrd_fd = initrd_fd,
				.cmdline = cmdline,
				.dtb = "tree",
				.dtb_len = 5};

	e = (struct err){0};
	return boot_load(&m, &s, &entry, &e);
}

static const uint8_t *at(uint64_t gpa)
{
	return m.region[0].host + gpa;
}

static const struct boot_params *params(void)
{
	return (const struct boot_params *)at(LAYOUT_BOOT_PARAMS);
}

static void expect_file_at(uint64_t gpa, uint64_t off, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++)
		cr_assert_eq(at(gpa)[i], file_byte(off + i), "byte %lu", i);
}

Test(boot, segment_arrives_whole_and_what_follows_is_zero)
{
	cr_assert_eq(load(kernel_of(OFF, BASE, 3 * PAGE + 17, 5 * PAGE), "x"), 0, "%s", e.msg);
	cr_assert_eq(entry, BASE);
	expect_file_at(BASE, OFF, 3 * PAGE + 17);
	for (uint64_t i = 3 * PAGE + 17; i < 5 * PAGE; i++)
		cr_assert_eq(at(BASE)[i], 0, "the file's next bytes are not the segment's");
}

Test(boot, segment_that_starts_inside_a_page_spares_the_bytes_before_it)
{
	cr_assert_eq(load(kernel_of(OFF + 0x123, BASE + 0x123, 2 * PAGE, 2 * PAGE), "x"), 0);
	expect_file_at(BASE + 0x123, OFF + 0x123, 2 * PAGE);
	for (int i = 0; i < 0x123; i++)
		cr_assert_eq(at(BASE)[i], 0);
}

Test(boot, segment_that_cannot_be_mapped_is_read)
{
	cr_assert_eq(load(kernel_of(OFF + 8, BASE, 2 * PAGE + 5, 3 * PAGE), "x"), 0);
	expect_file_at(BASE, OFF + 8, 2 * PAGE + 5);
}

Test(boot, guest_writes_do_not_reach_the_kernel_file)
{
	int fd = kernel_of(OFF, BASE, 2 * PAGE, 2 * PAGE);
	uint8_t byte;

	cr_assert_eq(load(fd, "x"), 0);
	m.region[0].host[BASE + 5] ^= 0xff;
	cr_assert_eq(pread(fd, &byte, 1, OFF + 5), 1);
	cr_assert_eq(byte, file_byte(OFF + 5));
}

Test(boot, params_say_where_things_are)
{
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "console=hvc0 quiet"), 0);
	cr_assert_str_eq((const char *)at(params()->hdr.cmd_line_ptr), "console=hvc0 quiet");
	cr_assert_eq(params()->hdr.header, 0x53726448);
	cr_assert_eq(params()->hdr.type_of_loader, 0xff);
	cr_assert_eq(params()->hdr.ramdisk_size, 0);
}

Test(boot, memory_map_is_what_there_is)
{
	mem_fini(&m);
	cr_assert_eq(mem_init(&m, 4096ULL * MIB, -1, NULL), 0);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), 0);
	const struct boot_e820_entry *t = params()->e820_table;
	cr_assert_eq(params()->e820_entries, 3);
	cr_assert(t[0].addr == 0 && t[0].size == LAYOUT_LOW_END && t[0].type == 1);
	cr_assert(t[1].addr == MIB && t[1].addr + t[1].size == LAYOUT_HOLE_START);
	cr_assert(t[2].addr == LAYOUT_HOLE_END && t[2].size == 1024ULL * MIB);
}

Test(boot, the_generation_is_outside_the_memory_map_and_another_one_each_time)
{
	uint8_t before[LAYOUT_GENERATION_BYTES];

	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), 0);
	const struct boot_e820_entry *t = params()->e820_table;
	for (int i = 0; i < params()->e820_entries; i++)
		cr_assert(t[i].addr >= LAYOUT_GENERATION + PAGE ||
			  t[i].addr + t[i].size <= LAYOUT_GENERATION);
	memcpy(before, at(LAYOUT_GENERATION), sizeof(before));
	cr_assert_neq(memcmp(before, (uint8_t[sizeof(before)]){0}, sizeof(before)), 0);
	cr_assert_eq(boot_generation(&m, &e), 0);
	cr_assert_neq(memcmp(before, at(LAYOUT_GENERATION), sizeof(before)), 0);
}

Test(boot, setup_data_is_a_seed_then_the_tree)
{
	const struct setup_data *d;

	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), 0);
	d = (const struct setup_data *)at(params()->hdr.setup_data);
	cr_assert_eq(d->type, SETUP_RNG_SEED);
	cr_assert_eq(d->len, 32);
	cr_assert_neq(memcmp(d->data, (uint8_t[32]){0}, 32), 0);
	d = (const struct setup_data *)at(d->next);
	cr_assert_eq(d->type, SETUP_DTB);
	cr_assert_eq(d->len, 5);
	cr_assert_str_eq((const char *)d->data, "tree");
	cr_assert_eq(d->next, 0);
	cr_assert_eq((uintptr_t)d->data % 8, 0, "a device tree is aligned");
}

Test(boot, initrd_lies_whole_at_the_top_of_memory)
{
	initrd_fd = file_of(3 * PAGE + 100);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), 0, "%s", e.msg);
	cr_assert_eq(params()->hdr.ramdisk_image, 32 * MIB - 4 * PAGE);
	cr_assert_eq(params()->hdr.ramdisk_size, 3 * PAGE + 100);
	expect_file_at(params()->hdr.ramdisk_image, 0, 3 * PAGE + 100);
}

Test(boot, initrd_must_fit_beside_the_kernel_and_the_message_says_how_much_it_takes)
{
	initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(initrd_fd, 12 * MIB - PAGE), 0);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), 0, "%s", e.msg);
	cr_assert_eq(ftruncate(initrd_fd, 12 * MIB), 0);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), -ENOMEM);
	cr_assert(strstr(e.msg, "at least"), "%s", e.msg);
}

Test(boot, kernel_must_fit_and_the_message_says_how_much_it_takes)
{
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, 16 * MIB), "x"), 0);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, 16 * MIB + 1), "x"), -ENOMEM);
	cr_assert(strstr(e.msg, "more memory"), "%s", e.msg);
}

Test(boot, files_that_are_none_are_refused)
{
	int p[2];

	cr_assert_eq(load(file_of(0), "x"), -ENOEXEC);
	cr_assert_eq(load(file_of(10000), "x"), -ENOEXEC);
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	cr_assert_eq(load(p[0], "x"), -ESPIPE);
	initrd_fd = file_of(0);
	cr_assert_eq(load(kernel_of(OFF, BASE, PAGE, PAGE), "x"), -EINVAL);
	cr_assert(strstr(e.msg, "initrd"), "%s", e.msg);
}

Test(boot, tree_must_fit_its_place)
{
	static uint8_t big[LAYOUT_SETUP_DATA_BYTES];
	struct boot_source s = {.kernel_fd = kernel_of(OFF, BASE, PAGE, PAGE),
				.initrd_fd = -1,
				.cmdline = "x",
				.dtb = big,
				.dtb_len = sizeof(big) - 64};

	cr_assert_eq(boot_load(&m, &s, &entry, &e), 0);
	s.dtb_len++;
	cr_assert_eq(boot_load(&m, &s, &entry, &e), -E2BIG);
}
