/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - what lies beside the devices: ports, addresses where nothing is, the power registers; states
 * in which a halted guest leaves its devices; and the ends of a machine.
 */
#include "tests/hostile/blk.h"
#include "tests/hostile/vsock.h"

enum { PORT_RESET = 0x64, PORTS = 0x10000 };
enum { SYSCON = 0xd0100000, PVPANIC = 0xd0101000 };

/* ---- ports and addresses ---- */

static uint32_t in(uint16_t port, unsigned bytes)
{
	uint32_t v = 0;

	switch (bytes) {
	case 1: __asm__ volatile("inb %w1, %b0" : "+a"(v) : "d"(port)); break;
	case 2: __asm__ volatile("inw %w1, %w0" : "+a"(v) : "d"(port)); break;
	default: __asm__ volatile("inl %w1, %0" : "=a"(v) : "d"(port));
	}
	return v;
}

static void out(uint16_t port, unsigned bytes, uint32_t v)
{
	switch (bytes) {
	case 1: __asm__ volatile("outb %b0, %w1" ::"a"(v), "d"(port)); break;
	case 2: __asm__ volatile("outw %w0, %w1" ::"a"(v), "d"(port)); break;
	default: __asm__ volatile("outl %0, %w1" ::"a"(v), "d"(port));
	}
}

static unsigned accesses;

static void try_ports(void)
{
	for (uint32_t port = 0; port < PORTS; port += 1 + chance() % (PORTS / volume(3000)))
		for (unsigned bytes = 1; bytes <= 4; bytes *= 2, accesses++) {
			(void)in((uint16_t)port, bytes);
			if (port + bytes <= PORT_RESET || port > PORT_RESET)
				out((uint16_t)port, bytes, chance());
		}
}

static void try_port_strings(void)
{
	static uint8_t buf[4096];
	void *p = buf;
	size_t n = sizeof(buf);

	__asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0x3f8) : "memory");
	p = buf, n = sizeof(buf) / 4;
	__asm__ volatile("rep outsl" : "+S"(p), "+c"(n) : "d"(0x3f8) : "memory");
}

static enum verdict ports(struct dev *d)
{
	in_ring_0(try_ports);
	note("accesses", accesses);
	return holds(status(d) == S_LIVE, IGNORED);
}

static enum verdict port_strings(struct dev *d)
{
	in_ring_0(try_port_strings);
	return holds(status(d) == S_LIVE, IGNORED);
}

/* The addresses of devices, but for those that end the machine and those that KVM keeps for itself. */
static enum verdict addresses_of_nothing(struct dev *d)
{
	unsigned n = volume(3000);

	for (unsigned i = 0; i < n; i++) {
		uint64_t addr = 0xc0000000 + ((uint64_t)chance() << 1) % 0x3e000000;

		if (addr >= 0xd0000000 && addr < 0xd0200000)
			continue;
		switch (i % 8) {
		case 0: (void)*(volatile uint8_t *)addr; break;
		case 1: (void)*(volatile uint16_t *)addr; break;
		case 2: (void)*(volatile uint32_t *)addr; break;
		case 3: (void)*(volatile uint64_t *)addr; break;
		case 4: *(volatile uint8_t *)addr = (uint8_t)i; break;
		case 5: *(volatile uint16_t *)addr = (uint16_t)i; break;
		case 6: *(volatile uint32_t *)addr = i; break;
		default: *(volatile uint64_t *)addr = ~0ULL;
		}
	}
	note("accesses", n);
	return holds(status(d) == S_LIVE, IGNORED);
}

/* No value but two ends the machine, and those only as a whole register. */
static enum verdict power_registers(struct dev *d)
{
	for (unsigned off = 0; off < PAGE_BYTES - 8; off += off < 16 ? 1 : 499) {
		(void)*(volatile uint64_t *)(uint64_t)(SYSCON + off);
		*(volatile uint8_t *)(uint64_t)(SYSCON + off) = 0xfe;
		*(volatile uint64_t *)(uint64_t)(SYSCON + off) = ~0ULL;
	}
	(void)*(volatile uint8_t *)PVPANIC;
	*(volatile uint8_t *)PVPANIC = 0xfe;
	*(volatile uint8_t *)(PVPANIC + 1) = 0;
	return holds(status(d) == S_LIVE, IGNORED);
}

static const struct attack attacks[] = {
	{"ports", IGNORED, ports},
	{"string_instructions_on_ports", IGNORED, port_strings},
	{"addresses_of_nothing", IGNORED, addresses_of_nothing},
	{"power_registers_of_other_values", IGNORED, power_registers},
};

static bool is_live(struct dev *d)
{
	return start(d, F_ALL);
}

void machine_group(void)
{
	static const struct group group = {"machine", is_live, console_works, attacks,
					   countof(attacks)};

	run_group(&group, &device[SLOT_CONSOLE]);
}

/* ---- left as they are: afterwards the guest halts, and the VMM must be idle ---- */

static bool leave_packets_without_answer(struct dev *d)
{
	if (!vs_start_mute(d))
		return false;
	for (uint32_t i = 0; i < 200; i++) {
		struct packet p = vs_packet(OP_REQUEST, 1000 + i, 1000);

		if (i < 60)
			vs_queue(d, &p);
		else
			expose(d, VS_TX, (uint16_t)(i % 60)); /* more than can be taken */
		if (d->q[VS_TX].avail_idx - d->q[VS_TX].used.idx >= 60)
			break;
		kick(d, VS_TX);
	}
	return !is_broken(d);
}

/* Broken, with requests in the ring and notifications under way. */
static bool leave_broken(struct dev *d)
{
	if (!start(d, F_ALL))
		return false;
	blk_put(d, T_IN, 0, SECTOR_BYTES, D_WRITE);
	d->q[0].desc[1].next = 0;
	for (unsigned i = 0; i < 50; i++) {
		expose(d, 0, 0);
		kick(d, 0);
	}
	barrier();
	return is_broken(d);
}

static bool leave_failed(struct dev *d)
{
	if (!start(d, F_ALL))
		return false;
	for (uint16_t i = 0; i < 16; i++) {
		put(d, 1, i, (struct desc){at(device), 1, 0, 0});
		expose(d, 1, i);
	}
	wr(d, R_STATUS, S_LIVE | S_FAILED);
	kick(d, 1);
	return status(d) & S_FAILED;
}

void stuck_group(void)
{
	leave("a_broken_disk", leave_broken(&device[SLOT_DISK]));
	leave("a_failed_console", leave_failed(&device[SLOT_CONSOLE]));
	stuck_streams(&device[SLOT_VSOCK]);
}

void mute_group(void)
{
	leave("packets_without_room_for_answers",
	      leave_packets_without_answer(&device[SLOT_VSOCK]));
}

/* ---- the end ---- */

/* Runs what lies in a device's registers: on some hosts KVM gives up, and the machine ends. */
void jump_group(void)
{
	((void (*)(void))device[SLOT_DISK].base)();
}
