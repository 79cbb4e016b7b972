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

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* A BPF program has two words to look at: the number in A, and what SECCOMP_SECOND puts there. */
#define SECCOMP_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SECCOMP_SECOND      SECCOMP_LOAD(args[1]) /* low half: an ioctl's request has 32 bits */
#define SECCOMP_IF(k, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), 0, (skip))
#define SECCOMP_DENY        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define SECCOMP_OK          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define SECCOMP_ALLOW(k)    SECCOMP_IF(k, 1), SECCOMP_OK
#define SECCOMP_NO_EXEC(k)                       \
	SECCOMP_IF(k, 4), SECCOMP_LOAD(args[2]), \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), SECCOMP_DENY, SECCOMP_OK
/* Another ABI's numbers mean other calls. */
#define SECCOMP_START                                                                          \
	SECCOMP_LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0), SECCOMP_DENY, \
		SECCOMP_LOAD(nr)

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
