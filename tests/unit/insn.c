/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"
#include "vmm/arch/x86/insn.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* The encodings are an assembler's. */
static struct insn decode(const uint8_t *code, size_t len)
{
	struct insn i;
	int r = insn_decode(code, len, &i);

	cr_assert_eq(r, 0, "%02x %02x %02x...: %d", code[0], code[len > 1], code[len > 2 ? 2 : 0],
		     r);
	cr_assert_eq(i.len, len, "%s: length %u", insn_name(i.id), i.len);
	return i;
}

static int refused(const uint8_t *code, size_t len)
{
	struct insn i;

	return insn_decode(code, len, &i);
}

Test(insn, knows_every_instruction_of_the_table)
{
	static const struct {
		enum insn_id id;
		uint8_t len, code[10];
	} plain[] = {
		{INSN_INT3, 1, {0xcc}},
		{INSN_UD1, 4, {0x48, 0x0f, 0xb9, 0xc8}},
		{INSN_FWAIT, 1, {0x9b}},
		{INSN_FNCLEX, 2, {0xdb, 0xe2}},
		{INSN_EMMS, 2, {0x0f, 0x77}},
		{INSN_FILDL, 2, {0xdb, 0x00}},
		{INSN_LDMXCSR, 3, {0x0f, 0xae, 0x10}},
		{INSN_STMXCSR, 3, {0x0f, 0xae, 0x18}},
		{INSN_XSAVE, 3, {0x0f, 0xae, 0x20}},
		{INSN_XSAVE, 4, {0x48, 0x0f, 0xae, 0x27}},
		{INSN_XSAVEOPT, 4, {0x48, 0x0f, 0xae, 0x37}},
		{INSN_XSAVEC, 4, {0x48, 0x0f, 0xc7, 0x27}},
		{INSN_XSAVES, 4, {0x48, 0x0f, 0xc7, 0x2f}},
		{INSN_XRSTOR, 4, {0x48, 0x0f, 0xae, 0x2f}},
		{INSN_XRSTORS, 4, {0x48, 0x0f, 0xc7, 0x1f}},
		{INSN_XGETBV, 3, {0x0f, 0x01, 0xd0}},
		{INSN_CLAC, 3, {0x0f, 0x01, 0xca}},
		{INSN_STAC, 3, {0x0f, 0x01, 0xcb}},
		{INSN_POPCNT, 5, {0xf3, 0x48, 0x0f, 0xb8, 0xc7}},
		{INSN_CMPXCHG16B, 5, {0xf0, 0x48, 0x0f, 0xc7, 0x0e}},
		{INSN_RDTSCP, 3, {0x0f, 0x01, 0xf9}},
	};
	bool seen[INSN_IDS] = {false};

	for (size_t k = 0; k < countof(plain); k++) {
		struct insn i = decode(plain[k].code, plain[k].len);

		cr_expect_eq(i.id, plain[k].id, "%s", insn_name(i.id));
		seen[plain[k].id] = true;
	}
	for (unsigned id = 0; id < INSN_IDS; id++)
		cr_expect(seen[id], "no test decodes %s", insn_name((enum insn_id)id));
}

Test(insn, tells_neighbours_of_the_same_opcode_apart)
{
	cr_expect_eq(refused(BYTES(0x0f, 0xae, 0xe8)), -ENOENT, "lfence is xrstor's opcode");
	cr_expect_eq(refused(BYTES(0x0f, 0xae, 0xf8)), -ENOENT, "sfence");
	cr_expect_eq(refused(BYTES(0x0f, 0xae, 0x38)), -ENOENT, "clflush");
	cr_expect_eq(refused(BYTES(0x66, 0x0f, 0xae, 0x30)), -ENOENT, "clwb is not xsaveopt");
	cr_expect_eq(refused(BYTES(0xf3, 0x0f, 0xae, 0x20)), -ENOENT, "ptwrite is not xsave");
	cr_expect_eq(refused(BYTES(0x0f, 0xb8, 0xc7)), -ENOENT, "popcnt needs F3");
	cr_expect_eq(refused(BYTES(0x0f, 0xc7, 0x0e)), -ENOENT, "cmpxchg8b");
	cr_expect_eq(refused(BYTES(0x0f, 0xc7, 0xf0)), -ENOENT, "rdrand");
	cr_expect_eq(refused(BYTES(0xdb, 0xe3)), -ENOENT, "fninit");
	cr_expect_eq(refused(BYTES(0x0f, 0x01, 0xd1)), -ENOENT, "xsetbv");
	cr_expect_eq(refused(BYTES(0x90)), -ENOENT, "nop");
}

Test(insn, base_register_with_each_displacement)
{
	struct insn i = decode(BYTES(0x0f, 0xae, 0x23)); /* (%rbx) */

	cr_expect(i.is_mem && i.base == 3 && i.index == INSN_NO_REG && i.disp == 0);
	i = decode(BYTES(0x0f, 0xae, 0x63, 0x80)); /* -0x80(%rbx) */
	cr_expect(i.base == 3 && i.disp == -0x80);
	i = decode(BYTES(0x0f, 0xae, 0xa3, 0x40, 0x33, 0x22, 0x81));
	cr_expect(i.base == 3 && i.disp == (int32_t)0x81223340);
	i = decode(BYTES(0x0f, 0xae, 0x65, 0x00)); /* 0(%rbp): rbp takes a displacement always */
	cr_expect(i.base == 5 && i.disp == 0);
}

Test(insn, rex_extends_reg_base_and_index)
{
	struct insn i = decode(BYTES(0x49, 0x0f, 0xae, 0x27)); /* (%r15) */

	cr_expect(i.base == 15 && i.opsize == 8);
	i = decode(BYTES(0xf3, 0x4d, 0x0f, 0xb8, 0xc7)); /* popcnt %r15,%r8 */
	cr_expect(!i.is_mem && i.reg == 8 && i.rm == 15 && i.opsize == 8);
	i = decode(BYTES(0x4b, 0x0f, 0xae, 0x64, 0xa5, 0x10)); /* 0x10(%r13,%r12,4) */
	cr_expect(i.base == 13 && i.index == 12 && i.scale == 4 && i.disp == 0x10);
}

Test(insn, sib_forms)
{
	struct insn i = decode(BYTES(0x0f, 0xae, 0x24, 0x24)); /* (%rsp): index 4 means none */

	cr_expect(i.base == 4 && i.index == INSN_NO_REG && i.scale == 1);
	i = decode(BYTES(0x49, 0x0f, 0xae, 0x24, 0x24)); /* (%r12) needs a SIB byte as well */
	cr_expect(i.base == 12 && i.index == INSN_NO_REG);
	i = decode(BYTES(0x0f, 0xae, 0x64, 0xc8, 0x40)); /* 0x40(%rax,%rcx,8) */
	cr_expect(i.base == 0 && i.index == 1 && i.scale == 8 && i.disp == 0x40);
	i = decode(BYTES(0x0f, 0xae, 0x24, 0x25, 0x00, 0x10, 0x00, 0x00)); /* 0x1000, absolute */
	cr_expect(i.base == INSN_NO_REG && i.index == INSN_NO_REG && i.disp == 0x1000);
	i = decode(BYTES(0x0f, 0xae, 0x24, 0x4d, 0x00, 0x10, 0x00, 0x00)); /* 0x1000(,%rcx,2) */
	cr_expect(i.base == INSN_NO_REG && i.index == 1 && i.scale == 2 && i.disp == 0x1000);
	i = decode(BYTES(0x41, 0x0f, 0xae, 0x64, 0x25, 0x00)); /* 0(%r13) by SIB: r13 is like rbp */
	cr_expect(i.base == 13 && i.index == INSN_NO_REG && i.disp == 0);
}

Test(insn, rip_relative_whatever_rex_says)
{
	struct insn i = decode(BYTES(0x48, 0x0f, 0xae, 0x25, 0xf0, 0xff, 0xff, 0xff));

	cr_expect(i.base == INSN_BASE_RIP && i.disp == -16 && i.index == INSN_NO_REG);
	i = decode(BYTES(0x41, 0x0f, 0xae, 0x25, 0x04, 0x00, 0x00, 0x00));
	cr_expect(i.base == INSN_BASE_RIP && i.disp == 4);
}

Test(insn, prefixes)
{
	struct insn i = decode(BYTES(0x65, 0x48, 0x0f, 0xc7, 0x0e)); /* cmpxchg16b %gs:(%rsi) */

	cr_expect(i.seg == INSN_SEG_GS && !i.lock && i.opsize == 8);
	i = decode(BYTES(0x64, 0xf0, 0x48, 0x0f, 0xc7, 0x0e));
	cr_expect(i.seg == INSN_SEG_FS && i.lock);
	i = decode(BYTES(0x67, 0x0f, 0xae, 0x23)); /* (%ebx) */
	cr_expect(i.addrsize == 4);
	i = decode(BYTES(0x66, 0xf3, 0x0f, 0xb8, 0xc1)); /* popcnt %cx,%ax */
	cr_expect(i.opsize == 2 && i.addrsize == 8);
	i = decode(BYTES(0x3e, 0x2e, 0x0f, 0xae, 0x23)); /* DS and CS mean nothing */
	cr_expect(i.seg == INSN_SEG_FLAT);
}

Test(insn, rex_counts_only_right_before_the_opcode)
{
	struct insn i = decode(BYTES(0x48, 0xf3, 0x0f, 0xb8, 0xc7));

	cr_expect(i.id == INSN_POPCNT && i.opsize == 4);
	i = decode(BYTES(0x4f, 0x40, 0xf3, 0x41, 0x0f, 0xb8, 0xc7));
	cr_expect(i.rm == 15 && i.reg == 0 && i.opsize == 4);
	cr_expect_eq(refused(BYTES(0x48, 0x65, 0x0f, 0xc7, 0x0e)), -ENOENT);
}

Test(insn, cut_anywhere_asks_for_more)
{
	static const uint8_t code[] = {0x65, 0xf0, 0x4b, 0x0f, 0xc7, 0x8c, 0xa5, 1, 2, 3, 4};
	struct insn i;

	for (size_t len = 0; len < sizeof(code); len++)
		cr_expect_eq(insn_decode(code, len, &i), -ENODATA, "cut to %zu bytes", len);
	cr_expect_eq(insn_decode(code, sizeof(code), &i), 0);
}

Test(insn, fifteen_bytes_are_the_limit)
{
	uint8_t code[32];
	struct insn i;

	memset(code, 0x3e, sizeof(code));
	memcpy(code + 12, "\x0f\xae\x23", 3);
	cr_expect_eq(insn_decode(code, sizeof(code), &i), 0);
	cr_expect_eq(i.len, 15);
	memcpy(code + 12, "\x3e\x0f\xae\x23", 4);
	cr_expect_eq(insn_decode(code, sizeof(code), &i), -EINVAL);
}

Test(insn, any_bytes_decode_within_their_length)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 300000; round++) {
		size_t len = (size_t)rand_r(&seed) % (INSN_MAX_BYTES + 3);
		uint8_t *code = malloc(len + 1); /* exact, for the address sanitizer */
		struct insn i;

		for (size_t k = 0; k < len; k++)
			code[k] = (uint8_t)(rand_r(&seed) >> 7);
		if (len > 2 && round % 2) { /* half of them near what we know */
			code[0] = 0x0f;
			code[1] = round % 4 == 1 ? 0xae : 0xc7;
		}
		if (insn_decode(code, len, &i) == 0) {
			cr_assert(i.len >= 1 && i.len <= len && i.len <= INSN_MAX_BYTES);
			cr_assert(i.base >= INSN_BASE_RIP && i.base < 16);
			cr_assert(i.index >= INSN_NO_REG && i.index < 16 && i.index != 4);
		}
		free(code);
	}
}
