/* SPDX-License-Identifier: Apache-2.0 */
/* fdt.c - see fdt.h. The one file that knows libfdt.
 *
 * What x86 Linux expects (arch/x86/kernel/devicetree.c): the local APIC and IOAPIC under the names
 * of the one x86 board that ever shipped a tree, Intel's CE4100, and cpu nodes whose reg is the APIC
 * id. Everything below a simple-bus becomes a platform device. Memory and the command line are not
 * here: on x86 they travel in boot_params.
 */
#include "vmm/arch/fdt.h"

#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arch/x86/layout.h"
#include "vmm/power.h"

enum { PHANDLE_IOAPIC = 1, PHANDLE_SYSCON = 2 };

/* Second cell of an IOAPIC interrupt: 3 is edge, active high; what an irqfd delivers. */
enum { IRQ_EDGE_HIGH = 3 };

/* A tree under construction. The first failure sticks, so that building reads as a list. */
struct tree {
	void *blob;
	int r;
};

static void step(struct tree *t, int r)
{
	if (t->r == 0)
		t->r = r;
}

static void begin(struct tree *t, const char *name)
{
	step(t, t->r ?: fdt_begin_node(t->blob, name));
}

/* Devices are named after their address, as the specification wants. */
static void begin_at(struct tree *t, const char *name, uint64_t addr)
{
	char full[48];

	(void)snprintf(full, sizeof(full), "%s@%" PRIx64, name, addr);
	begin(t, full);
}

static void end(struct tree *t)
{
	step(t, t->r ?: fdt_end_node(t->blob));
}

static void u32(struct tree *t, const char *name, uint32_t val)
{
	step(t, t->r ?: fdt_property_u32(t->blob, name, val));
}

static void str(struct tree *t, const char *name, const char *val)
{
	step(t, t->r ?: fdt_property(t->blob, name, val, (int)strlen(val) + 1));
}

static void flag(struct tree *t, const char *name)
{
	step(t, t->r ?: fdt_property(t->blob, name, NULL, 0));
}

static void cells(struct tree *t, uint32_t address, uint32_t size)
{
	u32(t, "#address-cells", address);
	u32(t, "#size-cells", size);
}

static void reg(struct tree *t, uint64_t addr, uint64_t len)
{
	fdt64_t val[2] = {cpu_to_fdt64(addr), cpu_to_fdt64(len)};

	step(t, t->r ?: fdt_property(t->blob, "reg", val, sizeof(val)));
}

static void add_cpus(struct tree *t, unsigned n)
{
	begin(t, "cpus");
	cells(t, 1, 0);
	for (unsigned i = 0; i < n; i++) {
		begin_at(t, "cpu", i);
		str(t, "device_type", "cpu");
		str(t, "compatible", "x86");
		u32(t, "reg", i);
		end(t);
	}
	end(t);
}

static void add_apics(struct tree *t)
{
	begin_at(t, "lapic", LAYOUT_LAPIC);
	str(t, "compatible", "intel,ce4100-lapic");
	reg(t, LAYOUT_LAPIC, LAYOUT_APIC_BYTES);
	flag(t, "intel,virtual-wire-mode");
	end(t);

	begin_at(t, "ioapic", LAYOUT_IOAPIC);
	str(t, "compatible", "intel,ce4100-ioapic");
	reg(t, LAYOUT_IOAPIC, LAYOUT_APIC_BYTES);
	flag(t, "interrupt-controller");
	u32(t, "#interrupt-cells", 2);
	u32(t, "phandle", PHANDLE_IOAPIC);
	end(t);
}

static void interrupt(struct tree *t, uint32_t pin)
{
	fdt32_t irq[2] = {cpu_to_fdt32(pin), cpu_to_fdt32(IRQ_EDGE_HIGH)};

	step(t, t->r ?: fdt_property(t->blob, "interrupts", irq, sizeof(irq)));
}

static void add_virtio(struct tree *t, unsigned i)
{
	uint64_t addr = LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_BYTES;

	begin_at(t, "virtio", addr);
	str(t, "compatible", "virtio,mmio");
	reg(t, addr, LAYOUT_VIRTIO_BYTES);
	interrupt(t, LAYOUT_VIRTIO_PIN + i);
	end(t);
}

/* Reboot needs no node: Linux on x86 does not look for one (power.h). */
static void add_power(struct tree *t)
{
	begin_at(t, "syscon", LAYOUT_SYSCON);
	str(t, "compatible", "syscon");
	reg(t, LAYOUT_SYSCON, LAYOUT_SYSCON_BYTES);
	u32(t, "phandle", PHANDLE_SYSCON);
	end(t);

	begin(t, "poweroff");
	str(t, "compatible", "syscon-poweroff");
	u32(t, "regmap", PHANDLE_SYSCON);
	u32(t, "offset", 0);
	u32(t, "value", POWER_SYSCON_OFF);
	end(t);

	begin_at(t, "pvpanic", LAYOUT_PVPANIC);
	str(t, "compatible", "qemu,pvpanic-mmio");
	reg(t, LAYOUT_PVPANIC, LAYOUT_PVPANIC_BYTES);
	end(t);
}

/* Linux mixes the generation into its generator, and after each interrupt that finds another one reseeds that at
 * once (drivers/virt/vmgenid.c). It maps the page, which therefore must not be RAM in the memory map. */
static void add_generation(struct tree *t)
{
	begin_at(t, "vmgenid", LAYOUT_GENERATION);
	str(t, "compatible", "microsoft,vmgenid");
	reg(t, LAYOUT_GENERATION, LAYOUT_PAGE_BYTES);
	interrupt(t, LAYOUT_GENERATION_PIN);
	end(t);
}

static void add_root(struct tree *t, const struct fdt_machine *m)
{
	begin(t, "");
	cells(t, 2, 2);
	str(t, "compatible", "conker,box");
	str(t, "model", "conker");
	add_cpus(t, m->ncpus);

	begin(t, "soc");
	cells(t, 2, 2);
	str(t, "compatible", "simple-bus");
	flag(t, "ranges");
	u32(t, "interrupt-parent", PHANDLE_IOAPIC);
	add_apics(t);
	for (unsigned i = 0; i < m->nvirtio; i++)
		add_virtio(t, i);
	add_power(t);
	add_generation(t);
	end(t);
	end(t);
}

int fdt_build(const struct fdt_machine *m, void *buf, size_t len, size_t *ret_len, struct err *e)
{
	struct tree t = {.blob = buf, .r = fdt_create(buf, (int)min_(len, (size_t)INT32_MAX))};

	step(&t, t.r ?: fdt_finish_reservemap(buf));
	add_root(&t, m);
	step(&t, t.r ?: fdt_finish(buf));
	if (t.r < 0)
		return err_set(e, ENOSPC, "device tree: %s", fdt_strerror(t.r));
	*ret_len = fdt_totalsize(buf);
	return 0;
}
