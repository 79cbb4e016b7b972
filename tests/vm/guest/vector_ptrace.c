/* SPDX-License-Identifier: Apache-2.0 */
/* vector_ptrace [ROUNDS] - a debugger reads and writes another process's vector registers: it sees
 * theirs, they get what it wrote, and its own stay as they are.
 */
#include "vector.h"

#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { TAG_TRACER = 0x61, TAG_TRACED = 0x62, TAG_WRITTEN = 0x63, AREA_BYTES = 16384 };

enum { XMM = 160, XSTATE_BV = 512 };

/* Where a component lies in what ptrace hands out: the standard format, by CPUID. */
static uint32_t offset_of(unsigned component)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid_count(0xd, component, eax, ebx, ecx, edx);
	return ebx;
}

/* Calls fn on each run of bytes that is in both: the registers, there in pieces by component. */
static int each_piece(struct vec *v, uint8_t *area, int (*fn)(void *reg, void *in_area, size_t n))
{
	int r = 0;

	for (unsigned i = 0; i < 16; i++) {
		r |= fn(&v->zmm[i][0], area + XMM + 16 * i, 16);
		if (vec_level_now >= VEC_AVX)
			r |= fn(&v->zmm[i][2], area + offset_of(2) + 16 * i, 16);
		if (vec_level_now >= VEC_AVX512) {
			r |= fn(&v->zmm[i][4], area + offset_of(6) + 32 * i, 32);
			r |= fn(&v->zmm[16 + i][0], area + offset_of(7) + 64 * i, 64);
		}
	}
	for (unsigned i = 0; i < 8 && vec_level_now >= VEC_AVX512; i++)
		r |= fn(&v->k[i], area + offset_of(5) + 8 * i, 8);
	return r;
}

static int same(void *reg, void *in_area, size_t n)
{
	return memcmp(reg, in_area, n) != 0;
}

static int write_back(void *reg, void *in_area, size_t n)
{
	memcpy(in_area, reg, n);
	return 0;
}

/* The traced process: stops with full registers, expects what the tracer leaves there. */
static int traced(void)
{
	static struct vec in, out, want;
	struct vec_call stop = {SYS_kill, {getpid(), SIGSTOP}};

	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		return 99;
	vec_fill(&in, TAG_TRACED);
	vec_run(&in, &out, &stop);
	want = in;
	vec_fill(&in, TAG_WRITTEN);
	memcpy(want.zmm, in.zmm, sizeof(want.zmm));
	memcpy(want.k, in.k, sizeof(want.k));
	return vec_differs("traced process", &want, &out);
}

/* One ptrace call with the tracer's own registers full. */
static unsigned long request(long what, pid_t pid, struct iovec *io)
{
	struct vec_call call = {SYS_ptrace, {what, pid, NT_X86_XSTATE, (long)io}};
	long r;
	unsigned long bad = (unsigned long)vec_through("tracer", TAG_TRACER, &call, &r);

	if (r < 0)
		printf("FAIL: ptrace request %#lx: %s\n", (unsigned long)what, strerror((int)-r));
	return bad + (r < 0);
}

static unsigned long refuses_a_bad_header(pid_t pid, const uint8_t *area, size_t len)
{
	static uint8_t copy[AREA_BYTES];
	struct iovec io = {copy, len};
	struct vec_call call = {SYS_ptrace, {PTRACE_SETREGSET, pid, NT_X86_XSTATE, (long)&io}};
	unsigned long bad;
	long r;

	memcpy(copy, area, len);
	memset(copy + XSTATE_BV, 0xff, 8);
	bad = (unsigned long)vec_through("tracer", TAG_TRACER, &call, &r);
	if (r >= 0)
		printf("FAIL: ptrace took components that do not exist\n");
	return bad + (r >= 0);
}

static unsigned long trace(pid_t pid)
{
	static uint8_t area[AREA_BYTES];
	static struct vec v;
	struct iovec io = {area, sizeof(area)};
	unsigned long bad;
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 1;
	bad = request(PTRACE_GETREGSET, pid, &io);
	vec_fill(&v, TAG_TRACED);
	if (each_piece(&v, area, same)) {
		printf("FAIL: the tracer sees other registers than the process has\n");
		bad++;
	}
	bad += refuses_a_bad_header(pid, area, io.iov_len);
	vec_fill(&v, TAG_WRITTEN);
	each_piece(&v, area, write_back);
	bad += request(PTRACE_SETREGSET, pid, &io);
	if (ptrace(PTRACE_CONT, pid, 0, 0) < 0)
		return bad + 1;
	return bad + (vec_wait(pid) != 0);
}

int main(int argc, char **argv)
{
	unsigned long rounds = vec_rounds(argc, argv, 10), bad = 0;

	vec_init();
	if (!(vec_xcr0() & ~3ULL)) {
		printf("vector_ptrace: no XSAVE, nothing to read\n");
		return 0;
	}
	for (unsigned long i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 99;
		if (pid == 0)
			_exit(traced());
		bad += trace(pid);
	}
	return vec_end("vector_ptrace", rounds, bad);
}
