/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_syscall ENTRY - what a program gets that jumps to the kernel's system call entry by itself.
 *
 * Where SYSCALL works, the jump is a fetch from kernel memory: SIGSEGV. Where it arrives as just that
 * fault (a KVM without hardware assist) the kernel cannot tell the two apart and serves the call. So
 * the jump may be a system call there, but nothing more: RCX and R11 are the program's to choose, and
 * must give it neither a kernel address nor a flag it could not set itself, nor a way round seccomp.
 *
 * ENTRY is the address of entry_SYSCALL_64 in hexadecimal. Prints "segv" or "served", the way of this
 * host; exits 1 if a rule is broken.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVED = 10, WRONG_RESULT, PRIVILEGED_FLAGS };

enum {
	FLAG_IF = 0x200,
	FLAG_NT = 0x4000,
	FLAG_IOPL = 0x3000,
	FLAG_VM = 0x20000,
	FLAG_ALWAYS = 2,
};

static unsigned long entry;

struct jump {
	const char *what;
	long nr;
	unsigned long rcx; /* 0: the instruction behind the jump */
	unsigned long r11;
	int with_filter; /* getppid is killed by seccomp */
	int may_be_served;
};

static const struct jump jumps[] = {
	{"plain", SYS_getpid, 0, FLAG_ALWAYS | FLAG_IF, 0, 1},
	{"flags", SYS_getpid, 0, FLAG_ALWAYS | FLAG_IOPL | FLAG_NT | FLAG_VM, 0, 1},
	{"return to the kernel", SYS_getpid, 0xffffffff81000000UL, FLAG_ALWAYS | FLAG_IF, 0, 0},
	{"return to no canonical address", SYS_getpid, 1UL << 63, FLAG_ALWAYS | FLAG_IF, 0, 0},
	{"past seccomp", SYS_getppid, 0, FLAG_ALWAYS | FLAG_IF, 1, 0},
};

static void forbid_getppid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(99);
}

static _Noreturn void jump(const struct jump *j)
{
	long result = j->nr;
	unsigned long flags;

	if (j->with_filter)
		forbid_getppid();
	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
			 "test %[rcx], %[rcx]\n\t"
			 "cmovnz %[rcx], %%rcx\n\t"
			 "mov %[r11], %%r11\n\t"
			 "jmp *%[entry]\n\t"
			 "1: pushfq\n\t"
			 "pop %[flags]\n\t"
			 : "+a"(result), [flags] "=&r"(flags)
			 : [rcx] "r"(j->rcx), [r11] "r"(j->r11), [entry] "r"(entry)
			 : "rcx", "r11", "memory", "cc");
	if (flags & (FLAG_IOPL | FLAG_NT | FLAG_VM) || !(flags & FLAG_IF))
		_exit(PRIVILEGED_FLAGS);
	_exit(result == getpid() ? SERVED : WRONG_RESULT);
}

/* 32-bit entries are off: both raise a fault in a 64-bit program. */
static _Noreturn void old_entry(int with_sysenter)
{
	long result = 20; /* getpid there */

	if (with_sysenter)
		__asm__ volatile("sysenter" : "+a"(result) : : "rcx", "rdx", "r11", "memory");
	else
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
	_exit(SERVED);
}

static int wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		exit(99);
	}
	return status;
}

static int is_crash(int status)
{
	return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL);
}

static int check(const struct jump *j, int *ret_served)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		jump(j);
	status = wait_for(pid);
	*ret_served = WIFEXITED(status) && WEXITSTATUS(status) == SERVED;
	if (is_crash(status) || (*ret_served && j->may_be_served))
		return 0;
	if (j->with_filter && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return 0;
	printf("%s: wait status %#x\n", j->what, status);
	return 1;
}

int main(int argc, char **argv)
{
	const struct rlimit no_core = {0, 0};
	int bad = 0, served = 0, unused;

	if (argc != 2 || !(entry = strtoul(argv[1], NULL, 16)))
		return 99;
	setvbuf(stdout, NULL, _IONBF, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++)
		bad |= check(&jumps[i], i ? &unused : &served);
	for (int with_sysenter = 0; with_sysenter < 2; with_sysenter++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			old_entry(with_sysenter);
		status = wait_for(pid);
		if (!is_crash(status)) {
			printf("%s: wait status %#x\n", with_sysenter ? "sysenter" : "int80",
			       status);
			bad = 1;
		}
	}
	puts(served ? "served" : "segv");
	return bad;
}
