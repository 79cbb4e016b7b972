/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - see cpu.h.
 *
 * The rule: what KVM supports, less what makes a guest use hypercalls, plus a few named bits that
 * KVM leaves out although they are harmless everywhere, plus the topology: one package, one core
 * per vCPU, no threads, APIC id = vCPU number.
 */
#include "vmm/arch/x86/cpu.h"

#include <asm/kvm_para.h>
#include <assert.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/kvm.h"

enum { EAX, EBX, ECX, EDX };

/* Bits to add where KVM has the leaf, for processors of `vendor` only unless that is NULL. */
static const struct addition {
	uint32_t function, index;
	unsigned reg, bit;
	const char *vendor; /* the first four letters CPUID 0 gives */
} additions[] = {
	/* hypervisor present: Linux then looks for KVM's clock */
	{0x1, 0, ECX, 31, NULL},
	/* ERMS, FSRM: copy and clear with rep movsb/stosb. KVM without hardware assist emulates
	 * them in batches and leaves the bits out; without them a boot takes five times as long */
	{0x7, 0, EBX, 9, NULL},
	{0x7, 0, EDX, 4, NULL},
	/* XSaveErPtr: without it Linux works around an FXSAVE leak with fwait and fnclex around
	 * every task switch, which KVM cannot emulate */
	{0x80000008, 0, EBX, 2, "Auth"},
	{0x80000008, 0, EBX, 2, "Hygo"},
};

enum { CPUID_TSC_DEADLINE = 24, CPUID_HTT = 28 };

/* KVM's own leaf: features by which a guest would make hypercalls. KVM without hardware assist
 * answers VMCALL by patching the instruction in place, and the write to the guest kernel's text
 * faults. The guest then sends its IPIs one by one, which any vCPU count up to ours stands. */
enum {
	KVM_LEAF_FEATURES = 0x40000001,
	KVM_HYPERCALL_FEATURES = 1 << KVM_FEATURE_PV_UNHALT | 1 << KVM_FEATURE_PV_SEND_IPI |
				 1 << KVM_FEATURE_PV_SCHED_YIELD,
};

static struct kvm_cpuid_entry2 *leaf_find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

static void drop(struct kvm_cpuid2 *c, uint32_t function)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function != function)
			c->entries[n++] = c->entries[i];
	c->nent = n;
}

static void add(struct kvm_cpuid2 *c, const struct kvm_cpuid_entry2 *entry)
{
	assert(c->nent < KVM_CPUID_ENTRIES + KVM_CPUID_SPARE);
	c->entries[c->nent++] = *entry;
}

static void set_bit(struct kvm_cpuid_entry2 *l, unsigned reg, unsigned bit)
{
	uint32_t *regs[] = {&l->eax, &l->ebx, &l->ecx, &l->edx};

	*regs[reg] |= 1U << bit;
}

static void put_bits(uint32_t *word, unsigned shift, unsigned width, uint32_t val)
{
	uint32_t mask = ((1U << width) - 1) << shift;

	*word = (*word & ~mask) | (val << shift & mask);
}

static void apply_additions(struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *vendor = leaf_find(c, 0, 0);

	for (size_t i = 0; i < countof(additions); i++) {
		const struct addition *a = &additions[i];
		struct kvm_cpuid_entry2 *l = leaf_find(c, a->function, a->index);

		if (!l || (a->vendor && (!vendor || memcmp(&vendor->ebx, a->vendor, 4) != 0)))
			continue;
		set_bit(l, a->reg, a->bit);
	}
}

/* Bits of an APIC id below the package. */
static unsigned id_bits(unsigned ncpus)
{
	unsigned bits = 0;

	while (1U << bits < ncpus)
		bits++;
	return bits;
}

/* Leaf 0xb, the levels of the topology: 0 thread, 1 core, 2 the end. Leaves 0x1f and 0x80000026 say
 * the same in more words and would have to agree. */
static void set_levels(struct kvm_cpuid2 *c, const struct cpu_shape *s)
{
	enum { LEVEL_SMT = 1 << 8, LEVEL_CORE = 2 << 8 };
	const struct kvm_cpuid_entry2 level[] = {
		{.index = 0, .eax = 0, .ebx = 1, .ecx = 0 | LEVEL_SMT},
		{.index = 1, .eax = id_bits(s->ncpus), .ebx = s->ncpus, .ecx = 1 | LEVEL_CORE},
		{.index = 2, .ecx = 2},
	};

	drop(c, 0x1f);
	drop(c, 0x80000026);
	if (!leaf_find(c, 0xb, 0))
		return;
	drop(c, 0xb);
	for (size_t i = 0; i < countof(level); i++) {
		struct kvm_cpuid_entry2 l = level[i];

		l.function = 0xb;
		l.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		l.edx = s->apic_id;
		add(c, &l);
	}
}

static void set_topology(struct kvm_cpuid2 *c, const struct cpu_shape *s)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *l = &c->entries[i];

		switch (l->function) {
		case 0x1:
			put_bits(&l->ebx, 24, 8, s->apic_id);
			put_bits(&l->ebx, 16, 8, s->ncpus);
			put_bits(&l->edx, CPUID_HTT, 1, s->ncpus > 1);
			break;
		case 0x4: /* Intel, per cache: cores of the package. 0 type: no such cache */
			if (l->eax & 0x1f)
				put_bits(&l->eax, 26, 6, s->ncpus - 1);
			break;
		case 0x80000008: /* AMD: cores, and the APIC id bits they take */
			put_bits(&l->ecx, 0, 8, s->ncpus - 1);
			put_bits(&l->ecx, 12, 4, id_bits(s->ncpus));
			break;
		case 0x8000001e: /* AMD: APIC id, core id, node */
			l->eax = l->ebx = s->apic_id;
			l->ecx = 0;
			break;
		default: break;
		}
	}
	set_levels(c, s);
}

void cpu_template(struct kvm_cpuid2 *c, const struct cpu_shape *s)
{
	struct kvm_cpuid_entry2 *l = leaf_find(c, 0x1, 0);

	apply_additions(c);
	if (l && s->tsc_deadline) /* depends on the irqchip, so KVM leaves it to us */
		set_bit(l, ECX, CPUID_TSC_DEADLINE);
	l = leaf_find(c, KVM_LEAF_FEATURES, 0);
	if (l)
		l->eax &= ~(uint32_t)KVM_HYPERCALL_FEATURES;
	set_topology(c, s);
}

/* IA32_MISC_ENABLE: fast strings on, as Linux on Intel gives up rep movsb otherwise (bits 11 and
 * 12, no BTS and no PEBS, are KVM's own values). IA32_MTRR_DEF_TYPE: MTRRs on, all memory
 * write-back. */
static int set_msrs(int vcpu_fd, struct err *e)
{
	static const struct kvm_msr_entry entry[] = {
		{.index = 0x1a0, .data = 1 << 0 | 1 << 11 | 1 << 12},
		{.index = 0x2ff, .data = 1 << 11 | 6},
	};
	_Alignas(struct kvm_msrs) uint8_t buf[sizeof(struct kvm_msrs) + sizeof(entry)] = {0};
	struct kvm_msrs *m = (struct kvm_msrs *)buf;

	m->nmsrs = countof(entry);
	memcpy(m->entries, entry, sizeof(entry));
	/* Fewer than asked for is no failure: both only make the guest faster. */
	return ioctl(vcpu_fd, KVM_SET_MSRS, m) < 0 ? err_errno(e, "KVM_SET_MSRS") : 0;
}

/* XCR0 as Linux will set it: x87, SSE, AVX and AVX-512, as far as they are there. Reset leaves x87
 * alone, and the guest's own XSETBV follows, so nobody notices - except under QEMU's emulated SVM
 * (7.2), which does not tell KVM of an XSETBV: KVM then puts its own idea of XCR0 back at every
 * entry, and with x87 alone the guest kernel would save and restore no vector registers. */
static void set_xcr0(int vcpu_fd, struct kvm_cpuid2 *c)
{
	enum { XCR0_LINUX = 0xe7 };
	const struct kvm_cpuid_entry2 *l = leaf_find(c, 0xd, 0);
	struct kvm_xcrs x = {.nr_xcrs = 1};

	if (!l)
		return;
	x.xcrs[0].value = l->eax & XCR0_LINUX;
	(void)ioctl(vcpu_fd, KVM_SET_XCRS, &x); /* refused: a processor without XSAVE */
}

int cpu_set_up(int vcpu_fd, struct kvm_cpuid2 *c, struct err *e)
{
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, c) < 0)
		return err_errno(e, "KVM_SET_CPUID2");
	set_xcr0(vcpu_fd, c);
	return set_msrs(vcpu_fd, e);
}
