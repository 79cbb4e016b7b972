/* SPDX-License-Identifier: Apache-2.0 */
/* vector.h - holds every vector register this machine offers across a system call or a spell of
 * computing, for the tests that no process ever sees another one's.
 *
 * vec_run() loads all registers from one struct vec, does one thing in which no compiled code runs, and
 * stores all registers into another. Which registers there are is found out at run time: XMM, YMM or ZMM
 * with the mask registers, AMX tiles if CPUID and the kernel offer them; x87 and MXCSR always.
 */
#ifndef TESTS_VM_GUEST_VECTOR_H
#define TESTS_VM_GUEST_VECTOR_H

#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct vec {                 /* the offsets are used in the assembler code */
	uint64_t zmm[32][8]; /* 0 */
	uint64_t k[8];       /* 2048 */
	double st[8];        /* 2112 */
	uint8_t tilecfg[64]; /* 2176 */
	uint32_t mxcsr;      /* 2240 */
	uint16_t fcw;        /* 2244 */
	uint8_t pad[58];
	uint64_t tile[8][128]; /* 2304 */
} __attribute__((aligned(64)));

enum { VEC_SPIN = -1 }; /* as nr: no system call, but a[0] steps of a loop */

struct vec_call {
	long nr, a[6];
};

enum vec_level { VEC_SSE, VEC_AVX, VEC_AVX512, VEC_AMX };
static const char *const vec_names[] = {"xmm", "ymm", "zmm and mask registers",
					"zmm, mask registers and tiles"};

long vec_run_sse(const struct vec *in, struct vec *out, const struct vec_call *call);
long vec_run_avx(const struct vec *in, struct vec *out, const struct vec_call *call);
long vec_run_avx512(const struct vec *in, struct vec *out, const struct vec_call *call);
long vec_run_amx(const struct vec *in, struct vec *out, const struct vec_call *call);

#define VEC_16 "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define VEC_32 VEC_16 ",16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define VEC_8  "0,1,2,3,4,5,6,7"

/* clang-format off */
__asm__(".macro vec_load_sse\n"
	" .irp n," VEC_16 "\n movdqu \\n*64(%rbx), %xmm\\n\n .endr\n.endm\n"
	".macro vec_store_sse\n"
	" .irp n," VEC_16 "\n movdqu %xmm\\n, \\n*64(%rbp)\n .endr\n.endm\n"
	".macro vec_load_avx\n"
	" .irp n," VEC_16 "\n vmovdqu \\n*64(%rbx), %ymm\\n\n .endr\n.endm\n"
	".macro vec_store_avx\n"
	" .irp n," VEC_16 "\n vmovdqu %ymm\\n, \\n*64(%rbp)\n .endr\n vzeroupper\n.endm\n"
	".macro vec_load_avx512\n"
	" .irp n," VEC_32 "\n vmovdqu64 \\n*64(%rbx), %zmm\\n\n .endr\n"
	" .irp n," VEC_8 "\n kmovq 2048+\\n*8(%rbx), %k\\n\n .endr\n.endm\n"
	".macro vec_store_avx512\n"
	" .irp n," VEC_32 "\n vmovdqu64 %zmm\\n, \\n*64(%rbp)\n .endr\n"
	" .irp n," VEC_8 "\n kmovq %k\\n, 2048+\\n*8(%rbp)\n .endr\n vzeroupper\n.endm\n"
	".macro vec_load_amx\n vec_load_avx512\n ldtilecfg 2176(%rbx)\n mov $64, %ecx\n"
	" .irp n," VEC_8 "\n tileloadd 2304+\\n*1024(%rbx,%rcx,1), %tmm\\n\n .endr\n.endm\n"
	".macro vec_store_amx\n sttilecfg 2176(%rbp)\n mov $64, %ecx\n"
	" cmpb $0, 2176(%rbp)\n je 1f\n" /* tiles without a configuration cannot be stored */
	" .irp n," VEC_8 "\n tilestored %tmm\\n, 2304+\\n*1024(%rbp,%rcx,1)\n .endr\n"
	"1: tilerelease\n vec_store_avx512\n.endm\n"
	".macro vec_function level\n"
	".type vec_run_\\level, @function\n"
	"vec_run_\\level:\n"
	" push %rbx\n push %rbp\n push %r12\n push %r13\n"
	" mov %rdi, %rbx\n mov %rsi, %rbp\n mov %rdx, %r12\n"
	" test %rdi, %rdi\n jz 4f\n" /* load nothing, do nothing */
	" fninit\n"
	" .irp n,7,6,5,4,3,2,1,0\n fldl 2112+\\n*8(%rbx)\n .endr\n"
	" fldcw 2244(%rbx)\n ldmxcsr 2240(%rbx)\n"
	" vec_load_\\level\n"
	" mov (%r12), %rax\n mov 8(%r12), %rdi\n mov 16(%r12), %rsi\n mov 24(%r12), %rdx\n"
	" mov 32(%r12), %r10\n mov 40(%r12), %r8\n mov 48(%r12), %r9\n"
	" test %rax, %rax\n js 3f\n syscall\n jmp 4f\n"
	"3: dec %rdi\n jnz 3b\n"
	"4: mov %rax, %r13\n"
	" vec_store_\\level\n"
	" stmxcsr 2240(%rbp)\n fnstcw 2244(%rbp)\n"
	" .irp n," VEC_8 "\n fstpl 2112+\\n*8(%rbp)\n .endr\n"
	" fninit\n movl $0x1f80, -8(%rsp)\n ldmxcsr -8(%rsp)\n"
	" mov %r13, %rax\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n.endm\n"
	"vec_function sse\nvec_function avx\nvec_function avx512\nvec_function amx\n");
/* clang-format on */

static enum vec_level vec_level_now;

/* What the operating system has switched on. */
static uint64_t vec_xcr0(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & bit_OSXSAVE))
		return 3;
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax | (uint64_t)edx << 32;
}

static enum vec_level vec_detect(void)
{
	enum {
		ARCH_REQ_XCOMP_PERM = 0x1023,
		TILEDATA = 18,
		AVX512_STATE = 0xe6,
		AMX_STATE = 3 << 17
	};
	uint32_t eax, ebx, ecx, edx;
	uint64_t xcr0 = vec_xcr0();

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & bit_AVX) || (xcr0 & 6) != 6)
		return VEC_SSE;
	__cpuid_count(7, 0, eax, ebx, ecx, edx);
	if (!(ebx & bit_AVX512F) || !(ebx & bit_AVX512BW) || (xcr0 & AVX512_STATE) != AVX512_STATE)
		return VEC_AVX;
	if (!(edx & 1 << 24) || (xcr0 & AMX_STATE) != AMX_STATE ||
	    syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILEDATA) < 0)
		return VEC_AVX512;
	return VEC_AMX;
}

/* One CPU for all: processes must take turns on it. A kernel without SMP has only one anyway. */
static void vec_init(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	(void)sched_setaffinity(0, sizeof(first), &first);
	setvbuf(stdout, NULL, _IOLBF, 0);
	vec_level_now = vec_detect();
}

__attribute__((unused)) static const char *vec_name(void)
{
	return vec_names[vec_level_now];
}

/* Recognisable contents: each 8-byte lane holds tag, register and lane. Tags are 1 to 255. */
__attribute__((unused)) static void vec_fill(struct vec *v, unsigned tag)
{
	unsigned regs = vec_level_now >= VEC_AVX512 ? 32 : 16;
	unsigned lanes = vec_level_now >= VEC_AVX512 ? 8 : vec_level_now == VEC_AVX ? 4 : 2;
	uint64_t mark = 0xc000000000000000 | (uint64_t)tag << 32;

	memset(v, 0, sizeof(*v));
	for (unsigned r = 0; r < regs; r++)
		for (unsigned l = 0; l < lanes; l++)
			v->zmm[r][l] = mark | r << 8 | l;
	for (unsigned r = 0; r < 8; r++) {
		v->st[r] = tag * 16.0 + r;
		if (vec_level_now >= VEC_AVX512)
			v->k[r] = mark | 0x4b00 | r;
	}
	v->mxcsr = 0x1fc0 | (tag & 3) << 13; /* DAZ; rounding */
	v->fcw = (uint16_t)(0x37f | (tag & 3) << 10);
	if (vec_level_now < VEC_AMX)
		return;
	v->tilecfg[0] = 1; /* palette; then bytes per row, rows */
	for (unsigned t = 0; t < 8; t++) {
		v->tilecfg[16 + 2 * t] = 64;
		v->tilecfg[48 + t] = 16;
		for (unsigned l = 0; l < 128; l++)
			v->tile[t][l] = mark | 0x540000 | t << 8 | l;
	}
}

static long vec_start(const struct vec *in, struct vec *out, const struct vec_call *call)
{
	switch (vec_level_now) {
	case VEC_SSE: return vec_run_sse(in, out, call);
	case VEC_AVX: return vec_run_avx(in, out, call);
	case VEC_AVX512: return vec_run_avx512(in, out, call);
	default: return vec_run_amx(in, out, call);
	}
}

static long vec_run(const struct vec *in, struct vec *out, const struct vec_call *call)
{
	memset(out, 0, sizeof(*out));
	return vec_start(in, out, call);
}

/* Stores the registers as they are, as far as compiled code has left them alone. */
__attribute__((unused)) static void vec_read(struct vec *out)
{
	(void)vec_start(NULL, out, NULL);
}

/* 0 when got is what was to be expected; else says on one line where they differ first. */
static int vec_differs(const char *who, const struct vec *want, const struct vec *got)
{
	const uint64_t *w = (const uint64_t *)want, *g = (const uint64_t *)got;

	for (unsigned l = 0; l < sizeof(*want) / 8; l++) {
		if (w[l] == g[l])
			continue;
		printf("FAIL: %s: lane %u (%s %u) is %#llx, was %#llx\n", who, l,
		       l < 256   ? "vector register"
		       : l < 264 ? "mask register"
				 : "other, offset",
		       l < 256   ? l / 8
		       : l < 264 ? l - 256
				 : l * 8,
		       (unsigned long long)g[l], (unsigned long long)w[l]);
		return 1;
	}
	return 0;
}

__attribute__((noinline)) static long vec_run_with(unsigned tag, struct vec *out,
						   const struct vec_call *call)
{
	struct vec in; /* not static: signal handlers come here, too */

	vec_fill(&in, tag);
	return vec_run(&in, out, call);
}

__attribute__((noinline)) static int vec_check(const char *who, unsigned tag, const struct vec *got)
{
	struct vec want;

	vec_fill(&want, tag);
	return vec_differs(who, &want, got);
}

/* Does one system call (or spins) with the registers full of tag; 0 when all came through. */
__attribute__((unused)) static int vec_through(const char *who, unsigned tag,
					       const struct vec_call *call, long *ret)
{
	struct vec out;
	long r = vec_run_with(tag, &out, call);

	if (ret)
		*ret = r;
	return vec_check(who, tag, &out);
}

/* Sums up and gives main()'s result. */
__attribute__((unused)) static int vec_end(const char *test, unsigned long rounds,
					   unsigned long bad)
{
	printf("%s: %s: %lu rounds, %lu wrong\n", test, vec_names[vec_level_now], rounds, bad);
	return bad != 0;
}

/* The child's exit status, or 128 plus the signal that ended it. */
__attribute__((unused)) static int vec_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

__attribute__((unused)) static unsigned long vec_rounds(int argc, char **argv, unsigned long rounds)
{
	return argc > 1 ? strtoul(argv[1], NULL, 0) : rounds;
}

#endif
