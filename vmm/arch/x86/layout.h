/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - the guest-physical address space of an x86 box. Every address of the machine is here.
 *
 *   0            RAM   boot data (below), then free
 *   9f000        -     where PCs keep BIOS data and option ROMs: no RAM is reported. The first page is
 *                      there all the same and says which copy of the machine this is
 *   100000       RAM   kernel (at 16 MiB as a rule), initramfs at the top of this part
 *   c0000000     MMIO  the hole: devices, IOAPIC, local APIC, KVM's own pages
 *   100000000    RAM   what does not fit below the hole
 */
#ifndef VMM_ARCH_X86_LAYOUT_H
#define VMM_ARCH_X86_LAYOUT_H

enum {
	LAYOUT_PAGE_BYTES = 4096,

	/* boot data; the guest may reuse it once it has read it */
	LAYOUT_GDT = 0x500,
	LAYOUT_BOOT_PARAMS = 0x7000,
	LAYOUT_PML4 = 0x9000, /* then PDPT and one PD: the first GiB, identity-mapped */
	LAYOUT_PDPT = 0xa000,
	LAYOUT_PD = 0xb000,
	LAYOUT_BOOT_STACK = 0x1f000, /* grows down */
	LAYOUT_CMDLINE = 0x20000,
	LAYOUT_SETUP_DATA = 0x30000, /* random bytes, then the device tree */
	LAYOUT_SETUP_DATA_BYTES = 0x10000,
	LAYOUT_LOW_END = 0x9f000,
	LAYOUT_GENERATION =
		0x9f000, /* a page; its first bytes are the generation (fdt.c, vmgenid) */
	LAYOUT_GENERATION_BYTES = 16,
	LAYOUT_HIGH_START = 0x100000,
	LAYOUT_BOOT_MAPPED = 0x40000000, /* what the boot page tables map */

	/* interrupts: IOAPIC pins, the same numbers as KVM's GSIs */
	LAYOUT_VIRTIO_PIN = 5, /* of the first virtio device; 0-4 are a PC's own */
	LAYOUT_GENERATION_PIN = 23,
	LAYOUT_PINS = 24,

	/* ports */
	LAYOUT_PORT_KBD = 0x64, /* keyboard controller: only its reset line exists */
	LAYOUT_PORT_DEBUG = 0x3f8,
};

#define LAYOUT_HOLE_START    0xc0000000ULL
#define LAYOUT_HOLE_END      0x100000000ULL
#define LAYOUT_VIRTIO        0xd0000000ULL /* device i at + i * LAYOUT_VIRTIO_BYTES */
#define LAYOUT_VIRTIO_BYTES  0x1000ULL
#define LAYOUT_SYSCON        0xd0100000ULL
#define LAYOUT_SYSCON_BYTES  0x1000ULL
#define LAYOUT_PVPANIC       0xd0101000ULL
#define LAYOUT_PVPANIC_BYTES 0x2ULL
#define LAYOUT_IOAPIC        0xfec00000ULL
#define LAYOUT_LAPIC         0xfee00000ULL
#define LAYOUT_APIC_BYTES    0x1000ULL
#define LAYOUT_IDENTITY_MAP  0xfffbc000ULL /* one page that KVM needs on old Intel processors, */
#define LAYOUT_TSS           0xfffbd000ULL /* and three more */

#endif
