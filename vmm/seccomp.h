/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.h - which system calls each kind of thread may make, and what happens at any other.
 *
 * The rules are made at build time from the #syscalls comments (seccomp.sh says how they are written);
 * no library runs at start. A thread installs its filter itself and cannot lift it again; the filters
 * of a process are complete before the first guest instruction. A call outside the list is not made:
 * it ends the process through last_words.h, with the call in the last event line.
 *
 * What musl does by itself, in malloc() and free() (the store of a new vsock connection), in fprintf() of
 * --verbose, at the end of a thread, and where the vDSO cannot tell the time:
 * #syscalls loop: mmap? munmap mprotect? brk? madvise? mremap? writev? futex exit_group
 * #syscalls vcpu,disk: futex madvise? munmap? rt_sigprocmask exit exit_group?
 * #syscalls loop,vcpu,disk: clock_gettime? restart_syscall? gettimeofday?
 * The sanitizers' runtimes, and glibc, with which they come:
 * #syscalls sanitizer: epoll_wait
 * #syscalls sanitizer: mmap munmap mprotect madvise mremap brk futex sigaltstack rt_sigaction
 * #syscalls sanitizer: rt_sigprocmask rt_sigreturn getpid gettid tgkill write openat readlink close read
 * #syscalls sanitizer: sched_yield nanosleep clock_nanosleep clock_gettime getrusage exit exit_group
 * #syscalls sanitizer: prlimit64 newfstatat lseek fstat prctl clone wait4 getppid ptrace process_vm_readv
 */
#ifndef VMM_SECCOMP_H
#define VMM_SECCOMP_H

#include "util/util.h"

enum seccomp_kind { SECCOMP_LOOP, SECCOMP_VCPU, SECCOMP_DISK };

/* Whether this host can filter at all. 0 or -errno. */
must_check int seccomp_check(void);

/* The calling thread's filter, for its life and that of threads it starts: install the loop's last.
 * Needs no_new_privs. Does nothing on a host without filters, which the jail has said by then; one that
 * refuses, out of memory say, ends the process. */
void seccomp_enter(enum seccomp_kind kind);

#endif
