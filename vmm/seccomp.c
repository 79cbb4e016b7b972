/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c - see seccomp.h. */
#include "vmm/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_rules.h"
#include "vmm/last_words.h"

#define SECCOMP_DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#include "util/seccomp_bpf.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SECCOMP_MORE SECCOMP_RULES_SANITIZER
#else
#define SECCOMP_MORE
#endif

static const struct sock_filter loop_rules[] = {SECCOMP_START,
						SECCOMP_RULES_LOOP SECCOMP_MORE SECCOMP_DENY};
static const struct sock_filter vcpu_rules[] = {SECCOMP_START,
						SECCOMP_RULES_VCPU SECCOMP_MORE SECCOMP_DENY};
static const struct sock_filter disk_rules[] = {SECCOMP_START,
						SECCOMP_RULES_DISK SECCOMP_MORE SECCOMP_DENY};

static const struct sock_fprog programs[] = {
	[SECCOMP_LOOP] = {countof(loop_rules), (struct sock_filter *)loop_rules},
	[SECCOMP_VCPU] = {countof(vcpu_rules), (struct sock_filter *)vcpu_rules},
	[SECCOMP_DISK] = {countof(disk_rules), (struct sock_filter *)disk_rules},
};

int seccomp_check(void)
{
	const uint32_t action = SECCOMP_RET_TRAP;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

void seccomp_enter(enum seccomp_kind kind)
{
	int r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[kind]);

	if (r < 0 && seccomp_check() == 0)
		last_words("seccomp: %s", strerror(errno));
}
