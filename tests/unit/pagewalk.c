/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"
#include "vmm/arch/x86/pagewalk.h"

/* Guest-physical places of the tables, one per level; the page mapped lies at PAGE. */
enum { PML5 = 0x1000, PML4 = 0x2000, PDPT = 0x3000, PD = 0x4000, PT = 0x5000, PAGE = 0x9000 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
enum { KERNEL = 0, USER = 3 };

#define NX (1ULL << 63)

static const uint64_t LIN = 0x0000123456789abc;

static struct guest_mem mem;
static struct pagewalk w;

static uint64_t *entry(uint64_t table, unsigned level)
{
	return (uint64_t *)(mem.region[0].host + table + 8 * (LIN >> (12 + 9 * (level - 1)) & 511));
}

static void map(uint64_t leaf)
{
	*entry(PML4, 4) = PDPT | P | W | U;
	*entry(PDPT, 3) = PD | P | W | U;
	*entry(PD, 2) = PT | P | W | U;
	*entry(PT, 1) = leaf;
}

static void init(void)
{
	cr_assert_eq(mem_init(&mem, 4 << 20, -1, NULL), 0);
	w = (struct pagewalk){.mem = &mem, .cr0 = CR0_WP, .cr3 = PML4, .efer = EFER_LMA | EFER_NXE};
	map(PAGE | P | W | U);
}

static void fini(void)
{
	mem_fini(&mem);
}

TestSuite(pagewalk, .init = init, .fini = fini);

/* The error code of the fault, or -1 when the access is allowed. */
static int fault_of(unsigned cpl, unsigned access)
{
	uint32_t error = 0;
	gpa_t gpa;
	int r;

	w.cpl = cpl;
	r = pagewalk(&w, LIN, access, &gpa, &error);
	if (r == -EACCES)
		return (int)error;
	cr_assert_eq(r, 0);
	return -1;
}

Test(pagewalk, finds_the_page_and_keeps_the_offset)
{
	uint32_t error;
	gpa_t gpa;

	cr_assert_eq(pagewalk(&w, LIN, 0, &gpa, &error), 0);
	cr_expect_eq(gpa.raw, PAGE + 0xabc);
}

Test(pagewalk, large_pages_of_both_sizes)
{
	uint32_t error;
	gpa_t gpa;

	*entry(PD, 2) = 0x40200000 | P | PS;
	cr_assert_eq(pagewalk(&w, LIN, 0, &gpa, &error), 0);
	cr_expect_eq(gpa.raw, 0x40200000 + (LIN & 0x1fffff));
	*entry(PDPT, 3) = 0x80001000 | P | PS; /* bit 12 is a memory type, not an address */
	cr_assert_eq(pagewalk(&w, LIN, 0, &gpa, &error), 0);
	cr_expect_eq(gpa.raw, 0x80000000 + (LIN & 0x3fffffff));
}

Test(pagewalk, five_levels)
{
	uint32_t error;
	gpa_t gpa;

	w.cr4 = CR4_LA57;
	w.cr3 = PML5;
	*entry(PML5, 5) = PML4 | P | U;
	cr_assert_eq(pagewalk(&w, LIN, 0, &gpa, &error), 0);
	cr_expect_eq(gpa.raw, PAGE + 0xabc);
}

Test(pagewalk, any_level_may_be_absent)
{
	*entry(PT, 1) = PAGE | W | U;
	cr_expect_eq(fault_of(KERNEL, 0), 0);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), PF_WRITE);
	cr_expect_eq(fault_of(USER, PF_WRITE), PF_WRITE | PF_USER);
	*entry(PD, 2) = 0;
	cr_expect_eq(fault_of(KERNEL, 0), 0);
	*entry(PDPT, 3) = 0;
	cr_expect_eq(fault_of(KERNEL, 0), 0);
	*entry(PML4, 4) = 0;
	cr_expect_eq(fault_of(USER, PF_FETCH), PF_USER | PF_FETCH);
}

Test(pagewalk, users_reach_only_user_pages)
{
	cr_expect_eq(fault_of(USER, 0), -1);
	map(PAGE | P | W);
	cr_expect_eq(fault_of(KERNEL, 0), -1);
	cr_expect_eq(fault_of(USER, 0), PF_PRESENT | PF_USER);
	map(PAGE | P | W | U);
	*entry(PDPT, 3) &= ~(uint64_t)U; /* every level must allow it */
	cr_expect_eq(fault_of(USER, 0), PF_PRESENT | PF_USER);
}

Test(pagewalk, read_only_binds_the_kernel_with_cr0_wp)
{
	map(PAGE | P | U);
	cr_expect_eq(fault_of(USER, PF_WRITE), PF_PRESENT | PF_WRITE | PF_USER);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), PF_PRESENT | PF_WRITE);
	w.cr0 = 0;
	cr_expect_eq(fault_of(USER, PF_WRITE), PF_PRESENT | PF_WRITE | PF_USER);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), -1);
}

Test(pagewalk, no_execute)
{
	map(PAGE | P | U | NX);
	cr_expect_eq(fault_of(USER, 0), -1);
	cr_expect_eq(fault_of(USER, PF_FETCH), PF_PRESENT | PF_USER | PF_FETCH);
	cr_expect_eq(fault_of(KERNEL, PF_FETCH), PF_PRESENT | PF_FETCH);
	w.efer = EFER_LMA; /* then the bit is reserved */
	cr_expect_eq(fault_of(USER, 0), PF_PRESENT | PF_USER | PF_RSVD);
}

Test(pagewalk, smap_lifts_with_ac)
{
	w.cr4 = CR4_SMAP;
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), PF_PRESENT | PF_WRITE);
	cr_expect_eq(fault_of(USER, PF_WRITE), -1);
	w.rflags = RFLAGS_AC;
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), -1);
}

Test(pagewalk, smep_stops_the_kernel_from_running_user_pages)
{
	cr_expect_eq(fault_of(KERNEL, PF_FETCH), -1);
	w.cr4 = CR4_SMEP;
	cr_expect_eq(fault_of(KERNEL, PF_FETCH), PF_PRESENT | PF_FETCH);
}

Test(pagewalk, protection_keys)
{
	map(PAGE | P | W | U | 5ULL << 59);
	w.pkru = 1 << 10; /* key 5: no access */
	cr_expect_eq(fault_of(USER, 0), -1, "without CR4.PKE they do not count");
	w.cr4 = CR4_PKE;
	cr_expect_eq(fault_of(USER, 0), PF_PRESENT | PF_USER | PF_PKEY);
	cr_expect_eq(fault_of(USER, PF_FETCH), -1);
	w.pkru = 2 << 10; /* no write */
	cr_expect_eq(fault_of(USER, 0), -1);
	cr_expect_eq(fault_of(USER, PF_WRITE), PF_PRESENT | PF_WRITE | PF_USER | PF_PKEY);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), PF_PRESENT | PF_WRITE | PF_PKEY);
	w.cr0 = 0;
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), -1);
}

Test(pagewalk, page_size_bit_above_level_three_is_reserved)
{
	*entry(PML4, 4) |= PS;
	cr_expect_eq(fault_of(KERNEL, 0), PF_PRESENT | PF_RSVD);
}

Test(pagewalk, marks_accessed_at_every_level_and_dirty_on_a_write)
{
	cr_expect_eq(fault_of(KERNEL, 0), -1);
	cr_expect_eq(*entry(PML4, 4) & (A | D), A);
	cr_expect_eq(*entry(PD, 2) & (A | D), A);
	cr_expect_eq(*entry(PT, 1) & (A | D), A);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), -1);
	cr_expect_eq(*entry(PD, 2) & (A | D), A);
	cr_expect_eq(*entry(PT, 1) & (A | D), A | D);
}

Test(pagewalk, a_denied_access_leaves_the_leaf_unmarked)
{
	map(PAGE | P | U);
	cr_expect_eq(fault_of(KERNEL, PF_WRITE), PF_PRESENT | PF_WRITE);
	cr_expect_eq(*entry(PT, 1) & (A | D), 0);
}

Test(pagewalk, tables_outside_memory_are_not_followed)
{
	uint32_t error;
	gpa_t gpa;

	*entry(PDPT, 3) = 0x000ffffffffff000 | P | W | U;
	cr_expect_eq(pagewalk(&w, LIN, 0, &gpa, &error), -EFAULT);
	w.cr3 = 0x7ffffffff000;
	cr_expect_eq(pagewalk(&w, LIN, 0, &gpa, &error), -EFAULT);
}
