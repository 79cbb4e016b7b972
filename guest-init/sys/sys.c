/* SPDX-License-Identifier: Apache-2.0 */
/* sys.c - see sys.h. */
#include "guest-init/sys/sys.h"

#include <stdarg.h>

#include "util/cleanup.h"

/* In assembly because the child cannot return: its stack is new and holds no return address. */
long sys_clone3(struct clone_args *args, int (*fn)(void *), void *arg)
{
#if defined(__x86_64__)
	register long ret __asm__("rax") = SYS_clone3;
	register void *a1 __asm__("rdi") = args;
	register size_t a2 __asm__("rsi") = sizeof(*args);
	register void *f __asm__("r12") = (void *)fn;
	register void *a __asm__("r13") = arg;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "ud2\n"
			 "1:"
			 : "+r"(ret)
			 : "r"(a1), "r"(a2), "r"(f), "r"(a), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long ret __asm__("x0") = (long)args;
	register size_t a2 __asm__("x1") = sizeof(*args);
	register long nr __asm__("x8") = SYS_clone3;
	register void *f __asm__("x19") = (void *)fn;
	register void *a __asm__("x20") = arg;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x20\n\t"
			 "blr x19\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc #0\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(ret)
			 : "r"(a2), "r"(nr), "r"(f), "r"(a), [exit] "i"(SYS_exit)
			 : "memory");
#else
#error "clone3 for this architecture"
#endif
	return ret;
}

/* musl's and glibc's own syscall() sets errno. */
long sys_raw(long number, ...)
{
	va_list ap;

	va_start(ap, number);
	long a = va_arg(ap, long), b = va_arg(ap, long), c = va_arg(ap, long);
	long d = va_arg(ap, long), e = va_arg(ap, long);
	va_end(ap);
#if defined(__x86_64__)
	register long ret __asm__("rax") = number;
	register long a4 __asm__("r10") = d;
	register long a5 __asm__("r8") = e;

	__asm__ volatile("syscall"
			 : "+r"(ret)
			 : "D"(a), "S"(b), "d"(c), "r"(a4), "r"(a5)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long nr __asm__("x8") = number;
	register long ret __asm__("x0") = a;
	register long a2 __asm__("x1") = b;
	register long a3 __asm__("x2") = c;
	register long a4 __asm__("x3") = d;
	register long a5 __asm__("x4") = e;

	__asm__ volatile("svc #0"
			 : "+r"(ret)
			 : "r"(nr), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
			 : "memory");
#endif
	return ret;
}

int sys_mount_detached(const char *type, const char *flag)
{
	enum { SET_FLAG = 0, CREATE = 6, FS_CLOEXEC = 1, MNT_CLOEXEC = 1 }; /* linux/mount.h */
	auto_close int fs = (int)syscall(SYS_fsopen, type, FS_CLOEXEC);

	if (fs < 0 || (flag && syscall(SYS_fsconfig, fs, SET_FLAG, flag, NULL, 0) < 0) ||
	    syscall(SYS_fsconfig, fs, CREATE, NULL, NULL, 0) < 0)
		return -errno;

	int mnt = (int)syscall(SYS_fsmount, fs, MNT_CLOEXEC, 0);
	return mnt < 0 ? -errno : mnt;
}
