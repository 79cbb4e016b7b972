/* SPDX-License-Identifier: Apache-2.0 */
#include <libfdt.h>

#include "tests/lib/test.h"
#include "vmm/arch/fdt.h"
#include "vmm/arch/x86/layout.h"

static uint8_t blob[FDT_MAX_BYTES];
static size_t len;

static void build(unsigned ncpus, unsigned nvirtio)
{
	struct fdt_machine m = {.ncpus = ncpus, .nvirtio = nvirtio};
	struct err e = {0};

	cr_assert_eq(fdt_build(&m, blob, sizeof(blob), &len, &e), 0, "%s", e.msg);
	cr_assert_eq(fdt_check_full(blob, len), 0);
}

static uint32_t cell(int node, const char *prop, unsigned i)
{
	int n;
	const fdt32_t *p = fdt_getprop(blob, node, prop, &n);

	cr_assert(p && (unsigned)n >= (i + 1) * sizeof(*p), "%s", prop);
	return fdt32_to_cpu(p[i]);
}

static uint64_t reg(int node, unsigned i)
{
	return (uint64_t)cell(node, "reg", 2 * i) << 32 | cell(node, "reg", 2 * i + 1);
}

static unsigned count(const char *compatible)
{
	unsigned n = 0;

	for (int at = -1; (at = fdt_node_offset_by_compatible(blob, at, compatible)) >= 0;)
		n++;
	return n;
}

Test(fdt, each_vcpu_has_its_apic_id)
{
	build(32, 2);
	cr_assert_eq(count("x86"), 32);
	unsigned i = 0;
	for (int at = -1; (at = fdt_node_offset_by_compatible(blob, at, "x86")) >= 0; i++) {
		cr_assert_eq(cell(at, "reg", 0), i);
		cr_assert_str_eq(fdt_getprop(blob, at, "device_type", NULL), "cpu");
	}
}

Test(fdt, each_virtio_device_has_its_page_and_pin)
{
	build(1, 18);
	cr_assert_eq(count("virtio,mmio"), 18);
	unsigned i = 0;
	for (int at = -1; (at = fdt_node_offset_by_compatible(blob, at, "virtio,mmio")) >= 0; i++) {
		cr_assert_eq(reg(at, 0), LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_BYTES);
		cr_assert_eq(reg(at, 1), LAYOUT_VIRTIO_BYTES);
		cr_assert_eq(cell(at, "interrupts", 0), LAYOUT_VIRTIO_PIN + i);
	}
}

Test(fdt, interrupts_lead_to_the_ioapic)
{
	build(1, 1);
	int bus = fdt_path_offset(blob, "/soc");
	int ioapic = fdt_node_offset_by_phandle(blob, cell(bus, "interrupt-parent", 0));

	cr_assert_eq(fdt_node_check_compatible(blob, ioapic, "intel,ce4100-ioapic"), 0);
	cr_assert_eq(reg(ioapic, 0), LAYOUT_IOAPIC);
	cr_assert_eq(cell(ioapic, "#interrupt-cells", 0), 2);
	cr_assert_eq(count("intel,ce4100-lapic"), 1);
}

Test(fdt, the_generation_has_a_page_and_a_pin_of_its_own)
{
	build(1, 18);
	int at = fdt_node_offset_by_compatible(blob, -1, "microsoft,vmgenid");

	cr_assert_eq(reg(at, 0), LAYOUT_GENERATION);
	cr_assert_eq(reg(at, 1), LAYOUT_PAGE_BYTES);
	cr_assert_eq(cell(at, "interrupts", 0), LAYOUT_GENERATION_PIN);
	for (int dev = -1; (dev = fdt_node_offset_by_compatible(blob, dev, "virtio,mmio")) >= 0;)
		cr_assert_neq(cell(dev, "interrupts", 0), LAYOUT_GENERATION_PIN);
}

Test(fdt, power_off_names_the_syscon_register)
{
	build(1, 1);
	int off = fdt_node_offset_by_compatible(blob, -1, "syscon-poweroff");
	int syscon = fdt_node_offset_by_phandle(blob, cell(off, "regmap", 0));

	cr_assert_eq(reg(syscon, 0), LAYOUT_SYSCON);
	cr_assert_eq(cell(off, "offset", 0), 0);
	cr_assert_eq(cell(off, "value", 0), 1);
	int panic = fdt_node_offset_by_compatible(blob, -1, "qemu,pvpanic-mmio");
	cr_assert_eq(reg(panic, 0), LAYOUT_PVPANIC);
}

Test(fdt, devices_lie_on_a_bus_that_linux_walks)
{
	build(1, 1);
	int dev = fdt_node_offset_by_compatible(blob, -1, "virtio,mmio");
	int bus = fdt_parent_offset(blob, dev);

	cr_assert_eq(fdt_node_check_compatible(blob, bus, "simple-bus"), 0);
	cr_assert(fdt_getprop(blob, bus, "ranges", NULL));
	cr_assert_eq(fdt_address_cells(blob, bus), 2);
	cr_assert_eq(fdt_size_cells(blob, bus), 2);
}

Test(fdt, the_largest_machine_leaves_room)
{
	build(32, 18);
	cr_assert_leq(len, 8192);
}

Test(fdt, a_buffer_that_is_too_small_is_an_error_at_every_size)
{
	struct fdt_machine m = {.ncpus = 1, .nvirtio = 1};
	struct err e;

	build(1, 1);
	for (size_t n = 0; n < len; n += 7)
		cr_assert_eq(fdt_build(&m, blob, n, &(size_t){0}, &e), -ENOSPC, "%zu bytes", n);
}
