/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/snap/machine.h and file.h. */
#include "tests/lib/test.h"
#include "vmm/snap/file.h"
#include "vmm/snap/machine.h"

static struct machine_state *m, *back;
static uint8_t *file;
static size_t len;
static struct err e;

/* Two vCPUs, a device of each kind. */
static void start(void)
{
	static const uint32_t ids[] = {3, 19, 2};

	m = machine_new(2, countof(ids));
	cr_assert(m);
	memset(&m->id, 0x11, sizeof(m->id));
	m->memory_bytes = 64 << 20;
	m->cpuid_hash = 0x1234567890abcdef;
	m->board.clock_ns = 77;
	for (unsigned i = 0; i < VSTATE_IRQCHIPS; i++)
		m->board.irqchip[i].chip_id = i;
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu_state *c = &m->cpu[i];

		c->regs.rip = 0x1000 + i;
		c->xsave_bytes = 4096;
		memset(c->xsave, (int)i + 1, c->xsave_bytes);
		c->tsc_khz = 2000000;
		c->nmsrs = 3 + i;
		for (unsigned n = 0; n < c->nmsrs; n++)
			c->msr[n] = (struct kvm_msr_entry){.index = n, .data = n + 0xffffffffULL};
	}
	for (unsigned i = 0; i < countof(ids); i++) {
		m->device[i].state.device_id = ids[i];
		m->device[i].state.nqueues = 1;
	}
	cr_assert_eq(machine_pack(m, &file, &len, &e), 0, "%s", e.msg);
}

TestSuite(snap_machine, .init = start);

Test(snap_machine, comes_back_as_it_was)
{
	cr_assert_eq(machine_unpack(file, len, &back, &e), 0, "%s", e.msg);
	cr_assert_eq(memcmp(&back->id, &m->id, sizeof(m->id)), 0);
	cr_assert_eq(back->memory_bytes, m->memory_bytes);
	cr_assert_eq(back->cpuid_hash, m->cpuid_hash);
	cr_assert_eq(memcmp(&back->board, &m->board, sizeof(m->board)), 0);
	cr_assert_eq(back->ncpus, 2);
	cr_assert_eq(memcmp(back->cpu, m->cpu, 2 * sizeof(*m->cpu)), 0);
	cr_assert_eq(back->ndevices, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(back->device[i].state.device_id, m->device[i].state.device_id);
	machine_free(back);
}

static void refused(const char *why)
{
	e = (struct err){0};
	cr_assert_eq(machine_unpack(file, len, &back, &e), -EINVAL, "%s", why);
	cr_assert(strstr(e.msg, why), "'%s' instead of '%s'", e.msg, why);
}

Test(snap_machine, no_flipped_bit_goes_unnoticed)
{
	for (size_t i = 0; i < len; i++) {
		file[i] ^= 1;
		cr_assert_eq(machine_unpack(file, len, &back, &e), -EINVAL, "byte %zu", i);
		file[i] ^= 1;
	}
}

Test(snap_machine, no_shortened_file_is_read)
{
	size_t whole = len;

	for (len = 0; len < whole; len++)
		cr_assert_eq(machine_unpack(file, len, &back, &e), -EINVAL, "%zu bytes", len);
}

Test(snap_machine, another_version_is_named)
{
	file[8] = 9;
	refused("version 9");
}

static void repack(void)
{
	free(file);
	cr_assert_eq(machine_pack(m, &file, &len, &e), 0);
}

/* With a good checksum: what a file could hold that was made by somebody else. */
Test(snap_machine, impossible_numbers_are_refused)
{
	m->cpu[1].xsave_bytes = 100;
	repack();
	refused("vCPU 1: XSAVE area: 100 bytes");
	m->cpu[1].xsave_bytes = 4096;
	m->ndevices = 0;
	m->ncpus = 0;
	repack();
	refused("0 vCPUs");
}
