/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_bpf.h - the words that the filters of system calls are written in.
 *
 * Who includes it has said what SECCOMP_DENY does. The rules themselves are made by vmm/seccomp.sh from the #syscalls
 * comments of a program's sources. A BPF program has two words to look at: the number in A, and what SECCOMP_SECOND
 * puts there.
 */
#ifndef UTIL_SECCOMP_BPF_H
#define UTIL_SECCOMP_BPF_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define SECCOMP_OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SECCOMP_OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#define SECCOMP_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SECCOMP_SECOND      SECCOMP_LOAD(args[1]) /* low half: an ioctl's request has 32 bits */
#define SECCOMP_IF(k, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (skip))
#define SECCOMP_OK          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define SECCOMP_ALLOW(k)    SECCOMP_IF(k, 1), SECCOMP_OK
#define SECCOMP_NO_EXEC(k)                       \
	SECCOMP_IF(k, 4), SECCOMP_LOAD(args[2]), \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), SECCOMP_DENY, SECCOMP_OK
/* Another ABI's numbers mean other calls. */
#define SECCOMP_START                                                                    \
	SECCOMP_LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_OUR_ARCH, 1, 0), \
		SECCOMP_DENY, SECCOMP_LOAD(nr)

#endif
