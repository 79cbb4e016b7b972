/* SPDX-License-Identifier: Apache-2.0 */
/* vstate.c - see vstate.h.
 *
 * #syscalls loop: ioctl:KVM_GET_MP_STATE? ioctl:KVM_GET_REGS? ioctl:KVM_GET_SREGS? ioctl:KVM_GET_XSAVE?
 * #syscalls loop: ioctl:KVM_GET_XSAVE2? ioctl:KVM_GET_XCRS? ioctl:KVM_GET_DEBUGREGS? ioctl:KVM_GET_LAPIC?
 * #syscalls loop: ioctl:KVM_GET_MSRS? ioctl:KVM_GET_VCPU_EVENTS? ioctl:KVM_GET_TSC_KHZ?
 * #syscalls loop: ioctl:KVM_GET_IRQCHIP? ioctl:KVM_GET_CLOCK?
 */
#include "vmm/arch/x86/vstate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0, TSC_TOLERANCE_PPM = 250 };

struct kvm_msr_list *vstate_msrs(const struct kvm *k, struct err *e)
{
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + VSTATE_MSRS_MAX * sizeof(l->indices[0]));

	if (!l) {
		(void)!err_set(e, ENOMEM, "list of MSRs: out of memory");
		return NULL;
	}
	l->nmsrs = VSTATE_MSRS_MAX;
	if (ioctl(k->fd, KVM_GET_MSR_INDEX_LIST, l) < 0) {
		(void)!err_errno(e, "KVM_GET_MSR_INDEX_LIST");
		free(l);
		return NULL;
	}
	return l;
}

/* --- MSRs ---------------------------------------------------------------------------------------- */

struct msr_batch { /* as struct kvm_msrs, with room */
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry[VSTATE_MSRS_MAX];
};
_Static_assert(offsetof(struct msr_batch, entry) == sizeof(struct kvm_msrs), "KVM's layout");

/* KVM stops at the first it does not like: how many went well, or -errno. */
static int msr_ioctl(int vcpu_fd, unsigned long request, struct msr_batch *b,
		     const struct kvm_msr_entry *from, uint32_t n)
{
	b->nmsrs = n;
	memcpy(b->entry, from, n * sizeof(*from));
	int r = ioctl(vcpu_fd, request, b);
	return r < 0 ? -errno : r;
}

static int get_msrs(int vcpu_fd, const struct kvm_msr_list *l, struct vcpu_state *s, struct err *e)
{
	struct msr_batch b;

	for (uint32_t i = 0; i < l->nmsrs; i++)
		s->msr[i].index = l->indices[i];
	for (uint32_t i = 0; i < l->nmsrs;) {
		int n = msr_ioctl(vcpu_fd, KVM_GET_MSRS, &b, s->msr + i, l->nmsrs - i);

		if (n < 0)
			return err_set(e, -n, "KVM_GET_MSRS: %s", strerror(-n));
		memcpy(s->msr + s->nmsrs, b.entry, (size_t)n * sizeof(*s->msr));
		s->nmsrs += (uint32_t)n;
		i += (uint32_t)n + 1; /* over the one that this vCPU does not have */
	}
	return 0;
}

static uint64_t msr_now(int vcpu_fd, uint32_t index, uint64_t otherwise)
{
	struct {
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry;
	} one = {.nmsrs = 1, .entry.index = index};

	return ioctl(vcpu_fd, KVM_GET_MSRS, &one) == 1 ? one.entry.data : otherwise;
}

static int set_msrs(int vcpu_fd, const struct kvm_msr_entry *m, uint32_t count, struct err *e)
{
	struct msr_batch b;

	for (uint32_t i = 0; i < count; i++) {
		int n = msr_ioctl(vcpu_fd, KVM_SET_MSRS, &b, m + i, count - i);

		if (n < 0)
			return err_set(e, -n, "KVM_SET_MSRS: %s", strerror(-n));
		i += (uint32_t)n;
		if (i < count && m[i].data && m[i].data != msr_now(vcpu_fd, m[i].index, 0))
			return err_set(e, EINVAL,
				       "this host's KVM refuses to set MSR %#x to %#" PRIx64,
				       m[i].index, (uint64_t)m[i].data);
	}
	return 0;
}

static struct kvm_msr_entry *find_msr(struct vcpu_state *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->nmsrs; i++)
		if (s->msr[i].index == index)
			return &s->msr[i];
	return NULL;
}

/* Set last: it is compared with the TSC, which has to be there, by the local APIC's timer, likewise. Where the
 * TSC cannot be set (a KVM without hardware assist shows the host's) it keeps its distance from it. */
static int set_deadline(int vcpu_fd, struct vcpu_state *s, struct err *e)
{
	const struct kvm_msr_entry *tsc = find_msr(s, MSR_TSC), *at = find_msr(s, MSR_TSC_DEADLINE);

	if (!tsc || !at || !at->data)
		return 0;
	const struct kvm_msr_entry shifted = {
		.index = at->index,
		.data = at->data + (msr_now(vcpu_fd, MSR_TSC, tsc->data) - tsc->data)};
	return set_msrs(vcpu_fd, &shifted, 1, e);
}

/* --- a vCPU -------------------------------------------------------------------------------------- */

struct part {
	const char *name;
	unsigned long request;
	void *data;
};

static int transfer(int fd, const struct part *p, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (ioctl(fd, p[i].request, p[i].data) < 0)
			return err_errno(e, "%s", p[i].name);
	return 0;
}

#define PART(request, data)             \
	{                               \
#request, request, data \
	}

static uint32_t xsave_bytes(const struct kvm *k)
{
	return k->xsave_bytes ? k->xsave_bytes : (uint32_t)sizeof(struct kvm_xsave);
}

int vstate_get(const struct kvm *k, int vcpu_fd, const struct kvm_msr_list *msrs,
	       struct vcpu_state *s, struct err *e)
{
	/* First the APIC's pending start-up messages, which KVM_GET_MP_STATE takes in. */
	const struct part parts[] = {
		PART(KVM_GET_MP_STATE, &s->mp),
		PART(KVM_GET_REGS, &s->regs),
		PART(KVM_GET_SREGS, &s->sregs),
		{"KVM_GET_XSAVE", k->xsave_bytes ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, s->xsave},
		PART(KVM_GET_XCRS, &s->xcrs),
		PART(KVM_GET_DEBUGREGS, &s->debugregs),
		PART(KVM_GET_LAPIC, &s->lapic),
		PART(KVM_GET_VCPU_EVENTS, &s->events),
	};
	int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);

	memset(s, 0, sizeof(*s));
	s->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	s->xsave_bytes = xsave_bytes(k);
	int r = transfer(vcpu_fd, parts, countof(parts), e);
	if (r == 0)
		r = get_msrs(vcpu_fd, msrs, s, e);
	return r;
}

/* Another host's frequency, where KVM can imitate it. */
static int set_tsc_khz(int vcpu_fd, uint32_t khz, struct err *e)
{
	int own = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0);
	int64_t off = (int64_t)own - khz;

	if (own <= 0 || !khz ||
	    (off < 0 ? -off : off) * 1000000 <= (int64_t)khz * TSC_TOLERANCE_PPM)
		return 0;
	if (ioctl(vcpu_fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
		return err_errno(
			e, "the snapshot's time stamp counter runs at %u kHz, this host's at %d",
			khz, own);
	return 0;
}

int vstate_set(const struct kvm *k, int vcpu_fd, const struct vcpu_state *state, struct err *e)
{
	struct vcpu_state *s = (struct vcpu_state *)state; /* KVM only reads it */
	const struct part parts[] = {
		PART(KVM_SET_MP_STATE, &s->mp), PART(KVM_SET_REGS, &s->regs),
		PART(KVM_SET_SREGS, &s->sregs), PART(KVM_SET_XCRS, &s->xcrs),
		PART(KVM_SET_XSAVE, s->xsave),  PART(KVM_SET_DEBUGREGS, &s->debugregs),
		PART(KVM_SET_LAPIC, &s->lapic),
	};
	struct part events[] = {PART(KVM_SET_VCPU_EVENTS, &s->events)};
	uint32_t need = xsave_bytes(k);

	if (s->xsave_bytes != need)
		return err_set(e, EINVAL, "its extended CPU state is %u bytes, this host's %u",
			       s->xsave_bytes, need);
	int r = set_tsc_khz(vcpu_fd, s->tsc_khz, e);
	if (r == 0)
		r = transfer(vcpu_fd, parts, countof(parts), e);
	if (r == 0)
		r = set_msrs(vcpu_fd, s->msr, s->nmsrs, e);
	if (r == 0)
		r = set_deadline(vcpu_fd, s, e);
	return r < 0 ? r : transfer(vcpu_fd, events, 1, e);
}

/* --- interrupt controllers, clock ------------------------------------------------------------------ */

int board_get(const struct kvm *k, struct board_state *s, struct err *e)
{
	struct kvm_clock_data clock = {0};
	const struct part clock_part[] = {PART(KVM_GET_CLOCK, &clock)};

	memset(s, 0, sizeof(*s));
	for (uint32_t i = 0; i < VSTATE_IRQCHIPS; i++) {
		const struct part p[] = {PART(KVM_GET_IRQCHIP, &s->irqchip[i])};

		s->irqchip[i].chip_id = i;
		int r = transfer(k->vm_fd, p, 1, e);
		if (r < 0)
			return r;
	}
	int r = transfer(k->vm_fd, clock_part, 1, e);
	s->clock_ns = clock.clock;
	return r;
}

int board_set(const struct kvm *k, const struct board_state *s, struct err *e)
{
	struct kvm_clock_data clock = {.clock = s->clock_ns};
	const struct part clock_part[] = {PART(KVM_SET_CLOCK, &clock)};

	for (uint32_t i = 0; i < VSTATE_IRQCHIPS; i++) {
		struct kvm_irqchip chip = s->irqchip[i];
		const struct part p[] = {PART(KVM_SET_IRQCHIP, &chip)};

		if (chip.chip_id != i)
			return err_set(e, EINVAL, "interrupt controller %u is in place of %u",
				       chip.chip_id, i);
		int r = transfer(k->vm_fd, p, 1, e);
		if (r < 0)
			return r;
	}
	return transfer(k->vm_fd, clock_part, 1, e);
}
