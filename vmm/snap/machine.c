/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - see machine.h. */
#include "vmm/snap/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "vmm/snap/file.h"

struct machine_state *machine_new(unsigned ncpus, unsigned ndevices)
{
	struct machine_state *m = calloc(1, sizeof(*m));

	if (m)
		m->cpu = calloc(ncpus, sizeof(*m->cpu));
	if (!m || !m->cpu) {
		free(m);
		return NULL;
	}
	m->ncpus = ncpus;
	m->ndevices = ndevices;
	return m;
}

void machine_free(struct machine_state *m)
{
	if (m)
		free(m->cpu);
	free(m);
}

/* --- out ----------------------------------------------------------------------------------------- */

/* Everything that a packed message points to and that is not in the machine itself. */
struct parts {
	Conker__State__Machine machine;
	Conker__State__Vcpu vcpu[CONFIG_CPUS_MAX], *vcpus[CONFIG_CPUS_MAX];
	ProtobufCBinaryData irqchip[VSTATE_IRQCHIPS];
	Conker__State__Device *devices[MACHINE_DEVICES_MAX];
	uint32_t msr_index[CONFIG_CPUS_MAX][VSTATE_MSRS_MAX];
	uint64_t msr_value[CONFIG_CPUS_MAX][VSTATE_MSRS_MAX];
};

static ProtobufCBinaryData bytes(const void *p, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)p}; /* only read */
}

#define BYTES(field) bytes(&(field), sizeof(field))

static void put_vcpu(struct parts *p, unsigned i, const struct vcpu_state *s)
{
	Conker__State__Vcpu *v = &p->vcpu[i];

	conker__state__vcpu__init(v);
	v->mp_state = BYTES(s->mp);
	v->regs = BYTES(s->regs);
	v->sregs = BYTES(s->sregs);
	v->xcrs = BYTES(s->xcrs);
	v->debugregs = BYTES(s->debugregs);
	v->lapic = BYTES(s->lapic);
	v->events = BYTES(s->events);
	v->xsave = bytes(s->xsave, s->xsave_bytes);
	v->tsc_khz = s->tsc_khz;
	for (uint32_t m = 0; m < s->nmsrs; m++) {
		p->msr_index[i][m] = s->msr[m].index;
		p->msr_value[i][m] = s->msr[m].data;
	}
	v->msr_index = p->msr_index[i];
	v->msr_value = p->msr_value[i];
	v->n_msr_index = v->n_msr_value = s->nmsrs;
	p->vcpus[i] = v;
}

static void put_machine(struct parts *p, struct machine_state *m)
{
	Conker__State__Machine *o = &p->machine;

	conker__state__machine__init(o);
	o->version = MACHINE_VERSION;
	o->memory_id = BYTES(m->id);
	o->memory_bytes = m->memory_bytes;
	o->cpuid_hash = m->cpuid_hash;
	o->clock_ns = m->board.clock_ns;
	for (unsigned i = 0; i < m->ncpus; i++)
		put_vcpu(p, i, &m->cpu[i]);
	for (unsigned i = 0; i < VSTATE_IRQCHIPS; i++)
		p->irqchip[i] = BYTES(m->board.irqchip[i]);
	for (unsigned i = 0; i < m->ndevices; i++) {
		snap_device_put(&m->device[i]);
		p->devices[i] = &m->device[i].msg;
	}
	o->vcpu = p->vcpus;
	o->n_vcpu = m->ncpus;
	o->irqchip = p->irqchip;
	o->n_irqchip = VSTATE_IRQCHIPS;
	o->device = p->devices;
	o->n_device = m->ndevices;
}

int machine_pack(struct machine_state *m, uint8_t **ret, size_t *ret_len, struct err *e)
{
	auto_free struct parts *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, ENOMEM, "the machine's state: out of memory");
	put_machine(p, m);
	size_t len = conker__state__machine__get_packed_size(&p->machine);
	uint8_t *file = malloc(SNAP_HEADER_BYTES + len);
	if (!file)
		return err_set(e, ENOMEM, "the machine's state: out of memory");
	conker__state__machine__pack(&p->machine, file + SNAP_HEADER_BYTES);
	snap_header(file + SNAP_HEADER_BYTES, len, file);
	*ret = file;
	*ret_len = SNAP_HEADER_BYTES + len;
	return 0;
}

/* --- in ------------------------------------------------------------------------------------------ */

static int get_bytes(const char *what, const ProtobufCBinaryData *b, void *ret, size_t len,
		     struct err *e)
{
	if (b->len != len)
		return err_set(e, EINVAL, "%s: %zu bytes instead of %zu", what, b->len, len);
	memcpy(ret, b->data, len);
	return 0;
}

static int get_xsave(const ProtobufCBinaryData *b, struct vcpu_state *ret, struct err *e)
{
	if (b->len < sizeof(struct kvm_xsave) || b->len > sizeof(ret->xsave))
		return err_set(e, EINVAL, "XSAVE area: %zu bytes", b->len);
	ret->xsave_bytes = (uint32_t)b->len;
	memcpy(ret->xsave, b->data, b->len);
	return 0;
}

static int get_msrs(const Conker__State__Vcpu *v, struct vcpu_state *ret, struct err *e)
{
	if (v->n_msr_index != v->n_msr_value || v->n_msr_index > VSTATE_MSRS_MAX)
		return err_set(e, EINVAL, "%zu numbers of MSRs, %zu values", v->n_msr_index,
			       v->n_msr_value);
	ret->nmsrs = (uint32_t)v->n_msr_index;
	for (uint32_t i = 0; i < ret->nmsrs; i++)
		ret->msr[i] =
			(struct kvm_msr_entry){.index = v->msr_index[i], .data = v->msr_value[i]};
	return 0;
}

static int get_vcpu(const Conker__State__Vcpu *v, struct vcpu_state *ret, struct err *e)
{
	const struct {
		const char *what;
		const ProtobufCBinaryData *from;
		void *to;
		size_t len;
	} field[] = {
		{"run state", &v->mp_state, &ret->mp, sizeof(ret->mp)},
		{"registers", &v->regs, &ret->regs, sizeof(ret->regs)},
		{"special registers", &v->sregs, &ret->sregs, sizeof(ret->sregs)},
		{"XCRs", &v->xcrs, &ret->xcrs, sizeof(ret->xcrs)},
		{"debug registers", &v->debugregs, &ret->debugregs, sizeof(ret->debugregs)},
		{"local APIC", &v->lapic, &ret->lapic, sizeof(ret->lapic)},
		{"events", &v->events, &ret->events, sizeof(ret->events)},
	};
	int r = 0;

	for (size_t i = 0; i < countof(field) && r == 0; i++)
		r = get_bytes(field[i].what, field[i].from, field[i].to, field[i].len, e);
	ret->tsc_khz = v->tsc_khz;
	if (r == 0)
		r = get_xsave(&v->xsave, ret, e);
	return r < 0 ? r : get_msrs(v, ret, e);
}

static int get_machine(const Conker__State__Machine *m, struct machine_state *ret, struct err *e)
{
	int r = get_bytes("id of the memory", &m->memory_id, &ret->id, sizeof(ret->id), e);

	ret->memory_bytes = m->memory_bytes;
	ret->cpuid_hash = m->cpuid_hash;
	ret->board.clock_ns = m->clock_ns;
	for (unsigned i = 0; i < VSTATE_IRQCHIPS && r == 0; i++)
		r = get_bytes("interrupt controller", &m->irqchip[i], &ret->board.irqchip[i],
			      sizeof(ret->board.irqchip[i]), e);
	for (unsigned i = 0; i < ret->ncpus && r == 0; i++) {
		r = get_vcpu(m->vcpu[i], &ret->cpu[i], e);
		if (r < 0)
			return err_wrap(e, r, "vCPU %u", i);
	}
	for (unsigned i = 0; i < ret->ndevices && r == 0; i++) {
		r = snap_device_get(m->device[i], &ret->device[i].state, e);
		if (r < 0)
			return err_wrap(e, r, "device %u", i);
	}
	return r;
}

static int check_shape(const Conker__State__Machine *m, struct err *e)
{
	if (m->version != MACHINE_VERSION)
		return err_set(e, EINVAL, "version %u", m->version);
	if (m->n_vcpu < 1 || m->n_vcpu > CONFIG_CPUS_MAX)
		return err_set(e, EINVAL, "%zu vCPUs", m->n_vcpu);
	if (m->n_irqchip != VSTATE_IRQCHIPS)
		return err_set(e, EINVAL, "%zu interrupt controllers", m->n_irqchip);
	if (m->n_device > MACHINE_DEVICES_MAX)
		return err_set(e, EINVAL, "%zu devices", m->n_device);
	return 0;
}

int machine_unpack(const uint8_t *file, size_t len, struct machine_state **ret, struct err *e)
{
	int r = snap_check(file, len, e);
	if (r < 0)
		return r;

	Conker__State__Machine *m = conker__state__machine__unpack(NULL, len - SNAP_HEADER_BYTES,
								   file + SNAP_HEADER_BYTES);
	if (!m)
		return err_set(e, EINVAL, "the state file cannot be read");
	struct machine_state *state = NULL;
	r = check_shape(m, e);
	if (r == 0) {
		state = machine_new((unsigned)m->n_vcpu, (unsigned)m->n_device);
		r = state ? get_machine(m, state, e) : err_set(e, ENOMEM, "out of memory");
	}
	conker__state__machine__free_unpacked(m, NULL);
	if (r < 0) {
		machine_free(state);
		return err_wrap(e, r, "the state file");
	}
	*ret = state;
	return 0;
}
