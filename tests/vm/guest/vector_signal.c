/* SPDX-License-Identifier: Apache-2.0 */
/* vector_signal [ROUNDS] - signal frames carry all vector registers, wherever the kernel has to put
 * them: on stack pages that are not there yet, shared copy-on-write or across a page boundary. Stacks
 * that cannot be written and frames that were tampered with end the process that did it and no other.
 */
#include "vector.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

enum { STACK_BYTES = 128 << 10, PAGE = 4096, TAG_MAIN = 0x31, TAG_HANDLER = 0x32, NESTED = 3 };

static volatile unsigned handled, wrong;
static uint8_t *stack;

static void must(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		_exit(99);
	}
}

static struct vec_call kill_self(int sig)
{
	return (struct vec_call){SYS_kill, {getpid(), sig}};
}

/* Leaves other contents in every register. */
static void on_signal(int sig)
{
	struct vec_call nothing = {VEC_SPIN, {1}};

	(void)sig;
	handled++;
	wrong += (unsigned)vec_through("in the handler", TAG_HANDLER, &nothing, NULL);
}

/* Interrupts itself again, a few levels deep, each with contents of its own. */
static void on_nested(int sig)
{
	unsigned depth = ++handled;
	struct vec_call again = kill_self(sig);

	if (depth % (NESTED + 1) != 0)
		wrong += (unsigned)vec_through("nested", 0x40 + depth % 16, &again, NULL);
}

static void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};

	must(sigaction(sig, &sa, NULL), "sigaction");
}

static void use_stack(uint8_t *at, size_t bytes)
{
	stack_t ss = {.ss_sp = at, .ss_size = bytes};

	must(sigaltstack(&ss, NULL), "sigaltstack");
}

static unsigned long interrupted(const char *where)
{
	struct vec_call call = kill_self(SIGUSR1);
	unsigned before = handled;
	unsigned long bad = (unsigned long)vec_through(where, TAG_MAIN, &call, NULL);

	if (handled == before) {
		printf("FAIL: %s: no signal arrived\n", where);
		bad++;
	}
	return bad;
}

/* Pages that the kernel is the first to touch, and frames at every distance from a page boundary. */
static unsigned long lazy_stacks(unsigned long rounds)
{
	unsigned long bad = 0;

	for (unsigned long i = 0; i < rounds; i++) {
		must(madvise(stack, STACK_BYTES, MADV_DONTNEED), "madvise");
		use_stack(stack, STACK_BYTES - 64 * (i % 64));
		bad += interrupted("on a fresh alternate stack");
	}
	return bad;
}

/* Parent and child write the same, still shared pages. */
static unsigned long shared_stacks(unsigned long rounds)
{
	unsigned long bad = 0;

	for (unsigned long i = 0; i < rounds; i++) {
		pid_t pid;

		use_stack(stack, STACK_BYTES);
		memset(stack, 0x77, STACK_BYTES);
		pid = fork();
		must(pid, "fork");
		bad += interrupted(pid ? "parent, copy on write" : "child, copy on write");
		if (pid == 0)
			_exit(bad != 0);
		bad += vec_wait(pid) != 0;
	}
	return bad;
}

static unsigned long timers(unsigned long rounds)
{
	struct itimerval often = {.it_interval = {.tv_usec = 20000},
				  .it_value = {.tv_usec = 20000}};
	struct itimerval never = {.it_interval = {.tv_usec = 0}};
	struct vec_call spin = {VEC_SPIN, {1000000}};
	unsigned start = handled;
	unsigned long bad = 0;

	handle(SIGALRM, on_signal, SA_ONSTACK | SA_RESTART);
	must(setitimer(ITIMER_REAL, &often, NULL), "setitimer");
	while (handled - start < rounds)
		bad += (unsigned long)vec_through("while computing", TAG_MAIN, &spin, NULL);
	must(setitimer(ITIMER_REAL, &never, NULL), "setitimer");
	return bad;
}

/* Runs fn in a child, which must end by SIGSEGV. */
static unsigned long kills_itself(const char *how, void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	must(pid, "fork");
	if (pid == 0) {
		fn();
		_exit(1);
	}
	status = vec_wait(pid);
	if (status == 128 + SIGSEGV)
		return 0;
	printf("FAIL: %s: ended with %d\n", how, status);
	return 1;
}

static void read_only_stack(void)
{
	must(mprotect(stack, STACK_BYTES, PROT_READ), "mprotect");
	(void)interrupted("read-only stack");
}

static void absent_stack(void)
{
	must(munmap(stack, STACK_BYTES), "munmap");
	(void)interrupted("unmapped stack");
}

/* The vector state lies at the upper end of a frame: it begins on a good page and ends on a bad one. */
static void half_absent_stack(void)
{
	use_stack(stack, STACK_BYTES - PAGE + 128);
	must(mprotect(stack + STACK_BYTES - PAGE, PAGE, PROT_NONE), "mprotect");
	(void)interrupted("half a stack");
}

/* --- what the handler finds in its frame --------------------------------------------------------- */

enum { XSTATE_BV = 512, MXCSR = 24, XMM0 = 160 };

static void (*tamper)(uint8_t *area);

static void on_tamper(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	handled++;
	tamper((uint8_t *)uc->uc_mcontext.fpregs);
}

static void handle_by(void (*fn)(uint8_t *area))
{
	struct sigaction sa = {.sa_sigaction = on_tamper, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	tamper = fn;
	must(sigaction(SIGUSR1, &sa, NULL), "sigaction");
}

static void set_xmm0(uint8_t *area)
{
	uint64_t lane = 0x1122334455667788;

	wrong += ((uint32_t *)(void *)(area + XMM0))[1] != (0xc0000000 | TAG_MAIN);
	memcpy(area + XMM0, &lane, sizeof(lane));
}

static void bad_components(uint8_t *area)
{
	memset(area + XSTATE_BV, 0xff, 8);
}

static void bad_header(uint8_t *area)
{
	memset(area + XSTATE_BV + 16, 0xff, 48);
}

static void bad_mxcsr(uint8_t *area)
{
	memset(area + MXCSR, 0xff, 4);
}

static void tampered(void (*fn)(uint8_t *area))
{
	handle_by(fn);
	(void)interrupted("tampered frame");
}

static void tamper_components(void)
{
	tampered(bad_components);
}

static void tamper_header(void)
{
	tampered(bad_header);
}

static void tamper_mxcsr(void)
{
	tampered(bad_mxcsr);
}

static unsigned long edited_frame(void)
{
	static struct vec in, out;
	struct vec_call call = kill_self(SIGUSR1);

	handle_by(set_xmm0);
	vec_fill(&in, TAG_MAIN);
	vec_run(&in, &out, &call);
	in.zmm[0][0] = 0x1122334455667788;
	return (unsigned long)vec_differs("after the handler changed xmm0", &in, &out);
}

/* QEMU's TCG does not; there the last of the cases below would prove nothing. */
static bool cpu_checks_mxcsr(void)
{
	pid_t pid = fork();
	uint32_t all = 0xffffffff;

	must(pid, "fork");
	if (pid == 0) {
		__asm__ volatile("ldmxcsr %0" : : "m"(all));
		_exit(1);
	}
	return vec_wait(pid) == 128 + SIGSEGV;
}

static unsigned long faults_of_our_own_making(void)
{
	unsigned long bad = kills_itself("read-only stack", read_only_stack);

	bad += kills_itself("unmapped stack", absent_stack);
	bad += kills_itself("half a stack", half_absent_stack);
	if (!(vec_xcr0() & ~3ULL))
		return bad; /* without XSAVE, frames have no header to tamper with */
	bad += kills_itself("unknown components in the frame", tamper_components);
	bad += kills_itself("reserved bytes in the frame", tamper_header);
	if (cpu_checks_mxcsr())
		bad += kills_itself("reserved MXCSR bits in the frame", tamper_mxcsr);
	return bad;
}

int main(int argc, char **argv)
{
	unsigned long rounds = vec_rounds(argc, argv, 20), bad = 0;

	vec_init();
	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(stack == MAP_FAILED ? -1 : 0, "mmap");
	use_stack(stack, STACK_BYTES);
	handle(SIGUSR1, on_signal, 0);
	for (unsigned long i = 0; i < rounds; i++)
		bad += interrupted("on the ordinary stack");
	handle(SIGUSR1, on_nested, SA_NODEFER);
	for (unsigned long i = 0; i < rounds; i++) {
		handled = 0;
		bad += interrupted("nested handlers");
	}
	handle(SIGUSR1, on_signal, SA_ONSTACK);
	bad += lazy_stacks(rounds);
	bad += shared_stacks(rounds < 10 ? rounds : 10);
	bad += timers(rounds);
	bad += faults_of_our_own_making();
	bad += edited_frame();
	return vec_end("vector_signal", rounds, bad + wrong);
}
