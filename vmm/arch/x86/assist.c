/* SPDX-License-Identifier: Apache-2.0 */
/* assist.c - fetches the state an instruction works on, has it carried out, hands the result to KVM.
 *
 * The cost is the number of ioctls: 2 us each on a host without hardware assist. Registers therefore
 * travel in the kvm_run page where KVM offers that, and the extended state only when it is needed.
 * Not modelled: the single-step trap (RFLAGS.TF) after an assisted instruction.
 *
 * On a host that carries everything out itself none of these happens:
 * #syscalls vcpu: ioctl:KVM_GET_XSAVE? ioctl:KVM_GET_XSAVE2? ioctl:KVM_SET_XSAVE? ioctl:KVM_GET_XCRS?
 * #syscalls vcpu: ioctl:KVM_GET_REGS? ioctl:KVM_SET_REGS? ioctl:KVM_GET_SREGS? ioctl:KVM_SET_SREGS?
 * #syscalls vcpu: ioctl:KVM_GET_MSRS? ioctl:KVM_GET_VCPU_EVENTS? ioctl:KVM_SET_VCPU_EVENTS?
 */
#include "vmm/arch/x86/assist.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86/insn_exec.h"

enum {
	MSR_TSC = 0x10,
	MSR_IA32_XSS = 0xda0,
	MSR_TSC_AUX = 0xc0000103,
	REFUSED_BYTES = 96,
	SYNC = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS,
};

struct assist {
	int vcpu_fd;
	struct kvm_run *run;
	bool can_sync, synced; /* synced: the exit being handled stored registers in run->s */
	unsigned long get_xstate;
	struct xstate_layout layout;
	uint64_t count[INSN_IDS];
	char refused[REFUSED_BYTES];
	struct cpu_state cpu;
};

static int vcpu_ioctl(const struct assist *a, unsigned long request, void *arg)
{
	return ioctl(a->vcpu_fd, request, arg) < 0 ? -errno : 0;
}

static int set_up(struct assist *a, int kvm_fd, int vm_fd, struct err *e)
{
	int sync = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
	int bytes = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	if (bytes > XSTATE_MAX_BYTES)
		return err_set(e, ENOTSUP, "this CPU's extended state takes %d bytes, above %d",
			       bytes, XSTATE_MAX_BYTES);
	a->can_sync = sync > 0 && (sync & SYNC) == SYNC;
	a->get_xstate = bytes > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	xstate_layout_init(&a->layout);
	return 0;
}

struct assist *assist_new(int kvm_fd, int vm_fd, int vcpu_fd, struct kvm_run *run,
			  const struct guest_mem *mem, struct err *e)
{
	struct assist *a = aligned_alloc(alignof(struct assist), sizeof(*a));

	if (!a) {
		(void)!err_set(e, ENOMEM, "instruction assist: out of memory");
		return NULL;
	}
	memset(a, 0, sizeof(*a));
	if (set_up(a, kvm_fd, vm_fd, e) < 0) {
		free(a);
		return NULL;
	}
	a->vcpu_fd = vcpu_fd;
	a->run = run;
	a->cpu.mem = mem;
	a->cpu.layout = &a->layout;
	return a;
}

void assist_free(struct assist *a)
{
	free(a);
}

/* --- state in --------------------------------------------------------------------------------- */

/* kvm_valid_regs is set on the first call, not earlier, so that hosts which never need us do not
 * pay for it; that first time the registers come by ioctl. */
static int load_registers(struct assist *a)
{
	struct cpu_state *c = &a->cpu;
	int r;

	a->synced = a->run->kvm_valid_regs == SYNC;
	if (a->can_sync)
		a->run->kvm_valid_regs = SYNC;
	if (a->synced) {
		c->regs = a->run->s.regs.regs;
		c->sregs = a->run->s.regs.sregs;
		return 0;
	}
	r = vcpu_ioctl(a, KVM_GET_REGS, &c->regs);
	return r < 0 ? r : vcpu_ioctl(a, KVM_GET_SREGS, &c->sregs);
}

static int load_xcr0(struct assist *a)
{
	struct kvm_xcrs xcrs = {0};
	int r = vcpu_ioctl(a, KVM_GET_XCRS, &xcrs);

	if (r < 0)
		return r;
	a->cpu.xcr0 = XSTATE_X87;
	for (unsigned i = 0; i < min_(xcrs.nr_xcrs, (__u32)KVM_MAX_XCRS); i++) {
		if (xcrs.xcrs[i].xcr == 0)
			a->cpu.xcr0 = xcrs.xcrs[i].value;
	}
	return a->cpu.xcr0 & ~xstate_known(&a->layout) ? -ENOTSUP : 0;
}

enum { MSRS = 2 };

union msrs {
	struct kvm_msrs list;
	uint8_t room[sizeof(struct kvm_msrs) + MSRS * sizeof(struct kvm_msr_entry)];
};

/* Reads n registers; one that KVM does not know reads as 0. */
static int get_msrs(const struct assist *a, const uint32_t *index, unsigned n, uint64_t *ret)
{
	union msrs m = {.room = {0}};
	int r;

	assert(n <= MSRS);
	m.list.nmsrs = n;
	for (unsigned i = 0; i < n; i++)
		m.list.entries[i].index = index[i];
	r = vcpu_ioctl(a, KVM_GET_MSRS, &m);
	for (unsigned i = 0; i < n; i++)
		ret[i] = m.list.entries[i].data;
	return r;
}

static int load_tsc(struct assist *a)
{
	static const uint32_t index[] = {MSR_TSC, MSR_TSC_AUX};
	uint64_t value[countof(index)];
	int r = get_msrs(a, index, countof(index), value);

	a->cpu.tsc = value[0];
	a->cpu.tsc_aux = value[1];
	return r;
}

/* -ENOTSUP with supervisor components switched on: KVM's image does not hold them. */
static int check_xss(const struct assist *a)
{
	static const uint32_t index = MSR_IA32_XSS;
	uint64_t xss;
	int r = get_msrs(a, &index, 1, &xss);

	return r == 0 && xss ? -ENOTSUP : r;
}

static int load(struct assist *a, unsigned needs)
{
	int r = 0;

	if ((needs & INSN_NEEDS_XSTATE) || (a->cpu.sregs.cr4 & CR4_PKE))
		r = vcpu_ioctl(a, a->get_xstate, a->cpu.xstate);
	if (r == 0 && (needs & INSN_NEEDS_XCR0))
		r = load_xcr0(a);
	if (r == 0 && (needs & INSN_NEEDS_TSC))
		r = load_tsc(a);
	if (r == 0 && (needs & INSN_NEEDS_NO_XSS))
		r = check_xss(a);
	return r;
}

/* --- state out -------------------------------------------------------------------------------- */

static int store_exception(struct assist *a)
{
	const struct exception *x = &a->cpu.exception;
	struct kvm_vcpu_events events;
	int r;

	if (x->vector == VEC_PF) {
		a->cpu.sregs.cr2 = x->cr2;
		r = vcpu_ioctl(a, KVM_SET_SREGS, &a->cpu.sregs);
		if (r < 0)
			return r;
	}
	r = vcpu_ioctl(a, KVM_GET_VCPU_EVENTS, &events);
	if (r < 0)
		return r;
	events.flags = 0; /* only the exception: an NMI may have been queued since the read */
	events.exception.pending = 0;
	events.exception.injected = 1;
	events.exception.nr = x->vector;
	events.exception.has_error_code = x->has_error_code;
	events.exception.error_code = x->error_code;
	return vcpu_ioctl(a, KVM_SET_VCPU_EVENTS, &events);
}

/* Always, even when nothing in them changed: it also drops the #UD that KVM queued before it left
 * the guest, which would otherwise be delivered at the next instruction. */
static int store_registers(struct assist *a)
{
	if (!a->synced)
		return vcpu_ioctl(a, KVM_SET_REGS, &a->cpu.regs);
	a->run->s.regs.regs = a->cpu.regs;
	a->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	return 0;
}

static int store(struct assist *a)
{
	int r = 0;

	if (a->cpu.xstate_changed)
		r = vcpu_ioctl(a, KVM_SET_XSAVE, a->cpu.xstate);
	if (r == 0 && a->cpu.exception.raised)
		r = store_exception(a);
	return r < 0 ? r : store_registers(a);
}

/* --- one instruction -------------------------------------------------------------------------- */

static int assist_finish(struct assist *a)
{
	int r = store(a);

	return r < 0 ? r : 1;
}

static void describe_refused(struct assist *a, const uint8_t *code, size_t len)
{
	int n = snprintf(a->refused, sizeof(a->refused), "rip 0x%llx cpl %u bytes",
			 (unsigned long long)a->cpu.regs.rip, operand_cpl(&a->cpu));

	for (size_t i = 0; i < len && n > 0 && (size_t)n < sizeof(a->refused); i++)
		n += snprintf(a->refused + n, sizeof(a->refused) - (size_t)n, " %02x", code[i]);
}

/* The kernel cannot go on without its instruction. A user's program gets SIGILL: it must not be
 * able to end the box. */
static int refuse(struct assist *a, const uint8_t *code, size_t len)
{
	if (operand_cpl(&a->cpu) == 3) {
		(void)raise_plain(&a->cpu, VEC_UD);
		return assist_finish(a);
	}
	describe_refused(a, code, len);
	return 0;
}

static bool in_64_bit_mode(const struct kvm_sregs *s)
{
	return (s->efer & EFER_LMA) && s->cs.l;
}

int assist_handle(struct assist *a)
{
	uint8_t code[INSN_MAX_BYTES];
	enum insn_result result;
	struct insn insn;
	size_t len = 0;
	int r = load_registers(a);

	if (r < 0)
		return r;
	a->cpu.exception.raised = a->cpu.xstate_changed = false;
	if (!in_64_bit_mode(&a->cpu.sregs))
		return refuse(a, code, 0);
	result = operand_fetch(&a->cpu, code, sizeof(code), &len);
	if (result == INSN_EXCEPTION)
		return assist_finish(a);
	r = result == INSN_DONE ? insn_decode(code, len, &insn) : -ENOENT;
	if (r == -ENODATA && a->cpu.exception.raised)
		return assist_finish(a);
	if (r < 0)
		return refuse(a, code, len);

	r = load(a, insn_needs(insn.id));
	if (r == -ENOTSUP)
		return refuse(a, code, len);
	if (r < 0)
		return r;
	result = insn_exec(&a->cpu, &insn);
	if (result == INSN_REFUSED)
		return refuse(a, code, len);
	a->count[insn.id]++;
	return assist_finish(a);
}

const char *assist_refused(const struct assist *a)
{
	return a->refused;
}

size_t assist_counts(const struct assist *a, struct assist_count *ret, size_t max)
{
	size_t n = min_(max, (size_t)INSN_IDS);

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct assist_count){insn_name((enum insn_id)i), a->count[i]};
	return n;
}
