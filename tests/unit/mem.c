/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/mem.h"

enum { MIB = 1 << 20 };

static struct guest_mem m;

static void one_mib(void)
{
	cr_assert_eq(mem_init(&m, MIB, -1, NULL), 0);
}

static void fini(void)
{
	mem_fini(&m);
}

TestSuite(mem, .fini = fini);

Test(mem, slice_names_the_host_bytes_of_the_address, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_slice(&m, (gpa_t){0x1234}, 16, &v), 0);
	cr_assert_eq(v.iov_base, m.region[0].host + 0x1234);
	cr_assert_eq(v.iov_len, 16);
}

Test(mem, slice_accepts_the_last_byte_and_refuses_the_next, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_slice(&m, (gpa_t){MIB - 1}, 1, &v), 0);
	cr_assert_eq(mem_slice(&m, (gpa_t){MIB - 1}, 2, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){MIB}, 1, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){0}, MIB, &v), 0);
	cr_assert_eq(mem_slice(&m, (gpa_t){0}, MIB + 1, &v), -EFAULT);
}

Test(mem, slice_refuses_length_zero, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_slice(&m, (gpa_t){0}, 0, &v), -EFAULT);
}

Test(mem, slice_refuses_sums_that_wrap, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_slice(&m, (gpa_t){16}, SIZE_MAX, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){UINT64_MAX}, 2, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){UINT64_MAX - 7}, 16, &v), -EFAULT);
}

Test(mem, large_memory_leaves_the_hole_free)
{
	struct iovec v;

	cr_assert_eq(mem_init(&m, 4096ULL * MIB, -1, NULL), 0);
	cr_assert_eq(m.nregions, 2);
	cr_assert_eq(m.region[0].size_bytes, LAYOUT_HOLE_START);
	cr_assert_eq(m.region[1].gpa, LAYOUT_HOLE_END);
	cr_assert_eq(m.region[0].size_bytes + m.region[1].size_bytes, 4096ULL * MIB);
	cr_assert_eq(mem_slice(&m, (gpa_t){LAYOUT_HOLE_START - 1}, 1, &v), 0);
	cr_assert_eq(mem_slice(&m, (gpa_t){LAYOUT_HOLE_START - 1}, 2, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){LAYOUT_HOLE_END - 1}, 2, &v), -EFAULT);
	cr_assert_eq(mem_slice(&m, (gpa_t){LAYOUT_HOLE_END}, 1, &v), 0);
	cr_assert_eq(v.iov_base, m.region[1].host);
}

Test(mem, what_write_put_is_there, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_write(&m, (gpa_t){MIB - 6}, "hello", 6), 0);
	cr_assert_eq(mem_slice(&m, (gpa_t){MIB - 6}, 6, &v), 0);
	cr_assert_str_eq(v.iov_base, "hello");
	cr_assert_eq(mem_write(&m, (gpa_t){MIB - 5}, "hello", 6), -EFAULT);
}

Test(mem, fresh_memory_is_zero, .init = one_mib)
{
	struct iovec v;

	cr_assert_eq(mem_slice(&m, (gpa_t){0x7000}, 4096, &v), 0);
	for (size_t i = 0; i < v.iov_len; i++)
		cr_assert_eq(((uint8_t *)v.iov_base)[i], 0);
}

Test(mem, refuses_no_memory_ragged_memory_and_more_than_the_host_maps)
{
	struct err e = {0};

	cr_assert_eq(mem_init(&m, 0, -1, &e), -EINVAL);
	cr_assert_eq(mem_init(&m, MIB + 1, -1, &e), -EINVAL);
	cr_assert_eq(mem_init(&m, 1ULL << 60, -1, &e), -ENOMEM);
	cr_assert(strstr(e.msg, "smaller"), "the message says what to do: %s", e.msg);
}
