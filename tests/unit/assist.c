/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions carried out on a vCPU's state in plain memory. XSAVE and its kin: xstate.c. */
#include "tests/lib/cpu_fixture.h"

TestSuite(assist, .init = init, .fini = fini);

/* --- plain instructions -------------------------------------------------------------------------- */

Test(assist, int3_traps_behind_itself)
{
	cr_assert_eq(run(BYTES(0xcc)), INSN_EXCEPTION);
	cr_expect_eq(c->exception.vector, VEC_BP);
	cr_expect(!c->exception.has_error_code);
	cr_expect_eq(c->regs.rip, CODE + 1);
}

Test(assist, ud1_is_undefined)
{
	faults(BYTES(0x0f, 0xb9, 0xc8), VEC_UD, -1);
}

Test(assist, clac_and_stac_change_ac_alone)
{
	c->regs.rflags = 0x246;
	done(BYTES(0x0f, 0x01, 0xcb));
	cr_expect_eq(c->regs.rflags, 0x40246);
	done(BYTES(0x0f, 0x01, 0xca));
	cr_expect_eq(c->regs.rflags, 0x246);
	user_mode();
	faults(BYTES(0x0f, 0x01, 0xca), VEC_UD, -1);
	faults(BYTES(0x0f, 0x01, 0xcb), VEC_UD, -1);
}

Test(assist, lock_is_undefined_where_it_means_nothing)
{
	faults(BYTES(0xf0, 0x0f, 0xae, 0x26), VEC_UD, -1);
	faults(BYTES(0xf0, 0x0f, 0x01, 0xca), VEC_UD, -1);
}

Test(assist, popcnt_of_each_size)
{
	c->regs.rdi = 0xffff00000000000f;
	c->regs.rax = 0xaaaaaaaaaaaaaaaa;
	done(BYTES(0xf3, 0x48, 0x0f, 0xb8, 0xc7));
	cr_expect_eq(c->regs.rax, 20);
	c->regs.rax = 0xaaaaaaaaaaaaaaaa;
	done(BYTES(0xf3, 0x0f, 0xb8, 0xc7));
	cr_expect_eq(c->regs.rax, 4, "32 bits clear the upper half");
	c->regs.rax = 0xaaaaaaaaaaaaaaaa;
	done(BYTES(0x66, 0xf3, 0x0f, 0xb8, 0xc7));
	cr_expect_eq(c->regs.rax, 0xaaaaaaaaaaaa0004, "16 bits leave the rest");
}

Test(assist, popcnt_sets_zf_and_clears_the_other_flags)
{
	c->regs.rflags = 0x8d7; /* all of them */
	done(BYTES(0xf3, 0x48, 0x0f, 0xb8, 0xc7));
	cr_expect_eq(c->regs.rflags, 0x42);
	c->regs.rdi = 1;
	c->regs.rflags = 0x8d7;
	done(BYTES(0xf3, 0x48, 0x0f, 0xb8, 0xc7));
	cr_expect_eq(c->regs.rflags, 2);
}

Test(assist, popcnt_reads_memory_to_the_last_byte_of_a_page_and_across)
{
	uint64_t v = 0xff00ff00ff00ff00;

	put(AREA + PAGE_BYTES - 3, &v, sizeof(v));
	c->regs.rsi = AREA + PAGE_BYTES - 3;
	done(BYTES(0xf3, 0x48, 0x0f, 0xb8, 0x06));
	cr_expect_eq(c->regs.rax, 32);
	c->regs.rsi = HOLE - 4;
	map(HOLE - PAGE_BYTES, P);
	done(BYTES(0xf3, 0x0f, 0xb8, 0x06));
	faults(BYTES(0xf3, 0x48, 0x0f, 0xb8, 0x06), VEC_PF, 0);
	cr_expect_eq(c->exception.cr2, HOLE);
}

Test(assist, cmpxchg16b_exchanges_when_equal)
{
	const uint64_t old[2] = {1, 2}, new[2] = {3, 4};
	uint64_t now[2];

	put(DATA + 0x30, old, sizeof(old));
	c->regs.rsi = DATA + 0x30;
	c->regs.rax = 1;
	c->regs.rdx = 2;
	c->regs.rbx = new[0];
	c->regs.rcx = new[1];
	c->regs.rflags = 2;
	done(BYTES(0xf0, 0x48, 0x0f, 0xc7, 0x0e));
	get(DATA + 0x30, now, sizeof(now));
	cr_expect_eq(memcmp(now, new, sizeof(now)), 0);
	cr_expect_eq(c->regs.rflags, 0x42);
}

Test(assist, cmpxchg16b_loads_when_different)
{
	const uint64_t old[2] = {1, 2};
	uint64_t now[2];

	put(DATA, old, sizeof(old));
	c->regs.rsi = DATA;
	c->regs.rax = 1;
	c->regs.rdx = 9;
	c->regs.rflags = 0xc3;
	done(BYTES(0x48, 0x0f, 0xc7, 0x0e)); /* without LOCK as well */
	get(DATA, now, sizeof(now));
	cr_expect_eq(memcmp(now, old, sizeof(now)), 0);
	cr_expect(c->regs.rax == 1 && c->regs.rdx == 2);
	cr_expect_eq(c->regs.rflags, 0x83, "ZF alone changes");
}

Test(assist, cmpxchg16b_wants_alignment_and_a_writable_page)
{
	c->regs.rsi = DATA + 8;
	faults(BYTES(0x48, 0x0f, 0xc7, 0x0e), VEC_GP, 0);
	c->regs.rsi = CODE;
	faults(BYTES(0x48, 0x0f, 0xc7, 0x0e), VEC_PF, PF_PRESENT | PF_WRITE);
	cr_expect_eq(c->exception.cr2, CODE);
}

Test(assist, rdtscp_splits_the_counter)
{
	c->tsc = 0x123456789abcdef0;
	c->tsc_aux = 7;
	c->regs.rax = c->regs.rdx = c->regs.rcx = ~0ULL;
	done(BYTES(0x0f, 0x01, 0xf9));
	cr_expect(c->regs.rax == 0x9abcdef0 && c->regs.rdx == 0x12345678 && c->regs.rcx == 7);
	c->sregs.cr4 |= CR4_TSD;
	done(BYTES(0x0f, 0x01, 0xf9));
	user_mode();
	faults(BYTES(0x0f, 0x01, 0xf9), VEC_GP, 0);
}

Test(assist, completion_clears_the_resume_flag)
{
	c->regs.rflags = 0x10002;
	done(BYTES(0x9b));
	cr_expect_eq(c->regs.rflags, 2);
}

/* --- addresses ----------------------------------------------------------------------------------- */

static uint64_t popcnt_at(const uint8_t *code, size_t len, uint64_t lin)
{
	memset(at(DATA & ~0xfffULL), 0, PAGE_BYTES);
	put(lin, BYTES(0xff));
	done(code, len);
	return c->regs.rax;
}

Test(assist, operand_addresses)
{
	c->regs.rbx = DATA;
	c->regs.rcx = 3;
	/* 0x10(%rbx,%rcx,8) */
	cr_expect_eq(popcnt_at(BYTES(0xf3, 0x0f, 0xb8, 0x44, 0xcb, 0x10), DATA + 0x10 + 24), 8);
	c->sregs.gs.base = DATA - 0x1000;
	/* %gs:0x1040 */
	cr_expect_eq(
		popcnt_at(BYTES(0x65, 0xf3, 0x0f, 0xb8, 0x04, 0x25, 0x40, 0x10, 0, 0), DATA + 0x40),
		8);
	c->sregs.fs.base = DATA;
	c->regs.rbx = 0xffffffff00000050; /* the address size cuts before the base is added */
	/* %fs:(%ebx) */
	cr_expect_eq(popcnt_at(BYTES(0x64, 0x67, 0xf3, 0x0f, 0xb8, 0x03), DATA + 0x50), 8);
	c->regs.rip = CODE;
	/* 0x10000-8(%rip): from the end of the instruction */
	cr_expect_eq(popcnt_at(BYTES(0xf3, 0x0f, 0xb8, 0x05, 0xf8, 0xff, 0x00, 0x00), DATA), 8);
}

Test(assist, addresses_that_are_not_canonical)
{
	c->regs.rbx = 0x800000000000;
	faults(BYTES(0xf3, 0x0f, 0xb8, 0x03), VEC_GP, 0);
	c->regs.rbx = 0x7ffffffffffd; /* its last byte is not */
	faults(BYTES(0xf3, 0x0f, 0xb8, 0x03), VEC_GP, 0);
	c->regs.rsp = c->regs.rbp = 0x800000000000;
	faults(BYTES(0xf3, 0x0f, 0xb8, 0x04, 0x24), VEC_SS, 0);
	faults(BYTES(0xf3, 0x0f, 0xb8, 0x45, 0x00), VEC_SS, 0);
}

Test(assist, operand_outside_memory_is_refused)
{
	*pte(DATA) = 0xd0000000 | P | W;
	c->regs.rsi = DATA;
	cr_expect_eq(run(BYTES(0xf3, 0x0f, 0xb8, 0x06)), INSN_REFUSED);
	cr_expect_eq(c->regs.rip, CODE);
}

Test(assist, fetch_stops_at_a_page_that_is_missing)
{
	uint8_t code[INSN_MAX_BYTES];
	size_t len;

	c->regs.rip = CODE + PAGE_BYTES - 4;
	put(c->regs.rip, BYTES(1, 2, 3, 4));
	cr_assert_eq(operand_fetch(c, code, sizeof(code), &len), INSN_DONE);
	cr_expect(len == 4 && code[0] == 1 && code[3] == 4);
	cr_expect(c->exception.raised && c->exception.cr2 == CODE + PAGE_BYTES,
		  "in case the instruction needs it");
	c->exception.raised = false;
	map(CODE + PAGE_BYTES, P);
	put(CODE + PAGE_BYTES, BYTES(5));
	cr_assert_eq(operand_fetch(c, code, sizeof(code), &len), INSN_DONE);
	cr_expect(len == sizeof(code) && code[4] == 5);
	cr_expect(!c->exception.raised);
	c->regs.rip = HOLE;
	cr_assert_eq(operand_fetch(c, code, sizeof(code), &len), INSN_EXCEPTION);
	cr_expect(c->exception.vector == VEC_PF && c->exception.cr2 == HOLE);
	cr_expect_eq(c->exception.error_code, PF_FETCH);
}

Test(assist, fetch_stops_at_a_page_outside_of_ram_and_raises_nothing)
{
	uint8_t code[INSN_MAX_BYTES];
	size_t len;

	c->regs.rip = CODE + PAGE_BYTES - 4;
	*pte(CODE + PAGE_BYTES) = 0xd0000000 | P;
	cr_assert_eq(operand_fetch(c, code, sizeof(code), &len), INSN_DONE);
	cr_expect_eq(len, 4);
	cr_expect(!c->exception.raised, "what lies there is not for us to say");
}

/* --- x87 and MXCSR ------------------------------------------------------------------------------- */

static void set_fsw(uint16_t v)
{
	memcpy(c->xstate + 2, &v, sizeof(v));
}

Test(assist, fwait_raises_pending_x87_exceptions)
{
	done(BYTES(0x9b));
	set_fsw(0x8081);
	faults(BYTES(0x9b), VEC_MF, -1);
	c->sregs.cr0 |= CR0_TS;
	faults(BYTES(0x9b), VEC_NM, -1);
	c->sregs.cr0 &= ~(uint64_t)CR0_MP;
	faults(BYTES(0x9b), VEC_MF, -1);
}

Test(assist, fnclex_clears_exceptions_and_keeps_the_rest)
{
	uint16_t now;

	set_fsw(0xffff);
	done(BYTES(0xdb, 0xe2));
	memcpy(&now, c->xstate + 2, sizeof(now));
	cr_expect_eq(now, 0x7f00);
	cr_expect(c->xstate_changed);
	cr_expect_eq(in_use(), XSTATE_X87);
	done(BYTES(0xdb, 0xe2));
	cr_expect(!c->xstate_changed, "nothing to clear costs no write");
	c->sregs.cr0 |= CR0_TS;
	faults(BYTES(0xdb, 0xe2), VEC_NM, -1);
}

Test(assist, emms_empties_the_stack)
{
	c->xstate[4] = 0x81;
	done(BYTES(0x0f, 0x77));
	cr_expect_eq(c->xstate[4], 0);
	cr_expect_eq(in_use(), XSTATE_X87);
}

Test(assist, fildl_pushes_what_the_cpu_pushes)
{
	static const int32_t values[] = {0, 1, -1, 3, -77777, INT32_MAX, INT32_MIN};

	for (size_t k = 0; k < countof(values); k++) {
		_Alignas(16) uint8_t native[512];

		__asm__ volatile("fninit; fildl %1; fxsave64 %0; fninit"
				 : "=m"(native)
				 : "m"(values[k]));
		xstate_init_component(&layout, c->xstate, 0);
		put(DATA, &values[k], sizeof(values[k]));
		c->regs.rsi = DATA;
		done(BYTES(0xdb, 0x06));
		cr_expect_eq(memcmp(c->xstate, native, 5), 0, "%d: control, status, tags",
			     values[k]);
		cr_expect_eq(memcmp(c->xstate + 32, native + 32, 128), 0, "%d: registers",
			     values[k]);
	}
}

Test(assist, fildl_leaves_a_full_stack_alone)
{
	c->xstate[4] = 0xff;
	c->regs.rsi = DATA;
	cr_expect_eq(run(BYTES(0xdb, 0x06)), INSN_REFUSED);
}

Test(assist, ldmxcsr_and_stmxcsr)
{
	uint32_t v = 0x1f00, now;

	c->regs.rsi = DATA;
	put(DATA, &v, sizeof(v));
	done(BYTES(0x0f, 0xae, 0x16));
	memcpy(&now, c->xstate + XSTATE_MXCSR, sizeof(now));
	cr_expect_eq(now, v);
	cr_expect_eq(in_use(), XSTATE_SSE, "else KVM would not take it");
	c->regs.rsi = DATA + 8;
	done(BYTES(0x0f, 0xae, 0x1e));
	get(DATA + 8, &now, sizeof(now));
	cr_expect_eq(now, v);
	v = 0x11f80; /* reserved on every CPU */
	put(DATA, &v, sizeof(v));
	c->regs.rsi = DATA;
	faults(BYTES(0x0f, 0xae, 0x16), VEC_GP, 0);
	c->sregs.cr0 |= CR0_TS;
	faults(BYTES(0x0f, 0xae, 0x1e), VEC_NM, -1);
	c->sregs.cr4 = 0;
	faults(BYTES(0x0f, 0xae, 0x1e), VEC_UD, -1);
}

/* --- any state ----------------------------------------------------------------------------------- */

/* Memory, page tables, headers and registers full of chance: nothing asserts, nothing overruns. */
Test(assist, survives_any_state)
{
	static const uint8_t code[][5] = {
		{0x48, 0x0f, 0xae, 0x26}, {0x48, 0x0f, 0xae, 0x2e}, {0x48, 0x0f, 0xc7, 0x26},
		{0x48, 0x0f, 0xc7, 0x1e}, {0x48, 0x0f, 0xc7, 0x0e}, {0x0f, 0xae, 0x16},
	};
	unsigned seed = 6;

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t *table = (uint64_t *)(mem.region[0].host + PML4);
		struct insn i;

		table[(unsigned)rand_r(&seed) % 2048] = (uint64_t)rand_r(&seed) % (4 << 20) | 7;
		*pte(AREA + PAGE_BYTES * ((unsigned)rand_r(&seed) % AREA_PAGES)) =
			(uint64_t)rand_r(&seed) % (5 << 20) | 7;
		memset(c->xstate + rand_r(&seed) % 1024, rand_r(&seed), 8);
		memset(mem.region[0].host + rand_r(&seed) % (4 << 20) / 8 * 8, rand_r(&seed), 8);
		table[0] = PDPT | 7;
		c->regs.rsi = AREA + 64 * ((unsigned)rand_r(&seed) % 256);
		c->regs.rax = (__u64)rand_r(&seed);
		c->regs.rip = CODE;
		c->xcr0 = (xstate_known(&layout) & (uint64_t)rand_r(&seed)) | 1;
		const uint8_t *insn = code[(size_t)rand_r(&seed) % countof(code)];
		if (insn_decode(insn, 5, &i) == 0)
			(void)!insn_exec(c, &i);
	}
}
