/* SPDX-License-Identifier: Apache-2.0 */
/* raw_guest.h - a guest of a few instructions as the kernel of a machine. */
#ifndef TESTS_LIB_RAW_GUEST_H
#define TESTS_LIB_RAW_GUEST_H

#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A guest is entered in long mode with its first GiB mapped; MAP_DEVICES adds the 2 MiB at
 * 0xd0000000 in the free page table at 0xd000. */
#define MAP_DEVICES                                                                     \
	"mov $0xd0000083, %eax; mov %rax, 0xd400; mov $0xd003, %eax; mov %rax, 0xa018;" \
	"mov $0xd0000000, %ebx;"
#define POWER_OFF "mov $0xd0100000, %ebx; movl $1, (%rbx);"
#define REBOOT    "mov $0xfe, %al; out %al, $0x64;"
#define SPIN      "99: pause; jmp 99b;"

#define GUEST(name, code)                          \
	extern const uint8_t name[], name##_end[]; \
	__asm__(".pushsection .rodata; " #name ": " code " " #name "_end: .popsection")

struct raw_headers {
	Elf64_Ehdr h;
	Elf64_Phdr ph;
};

/* Of a kernel of one segment: what is at file_off goes to gpa, where it is entered. */
static struct raw_headers raw_headers(uint64_t file_off, uint64_t gpa, uint64_t file_bytes,
				      uint64_t mem_bytes)
{
	struct raw_headers k = {.h = {.e_type = ET_EXEC,
				      .e_machine = EM_X86_64,
				      .e_entry = gpa,
				      .e_phoff = sizeof(Elf64_Ehdr),
				      .e_phentsize = sizeof(Elf64_Phdr),
				      .e_phnum = 1},
				.ph = {.p_type = PT_LOAD,
				       .p_offset = file_off,
				       .p_paddr = gpa,
				       .p_vaddr = gpa,
				       .p_filesz = file_bytes,
				       .p_memsz = mem_bytes}};

	memcpy(k.h.e_ident, ELFMAG, SELFMAG);
	k.h.e_ident[EI_CLASS] = ELFCLASS64;
	k.h.e_ident[EI_DATA] = ELFDATA2LSB;
	return k;
}

/* The code from code to end as an ELF file in memory; aborts where there is none. */
__attribute__((unused)) static int raw_guest(const uint8_t *code, const uint8_t *end)
{
	enum { BASE = 16 << 20, CODE_OFF = 0x1000 };
	size_t len = (size_t)(end - code);
	struct raw_headers k = raw_headers(CODE_OFF, BASE, len, len);
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (pwrite(fd, &k, sizeof(k), 0) != (ssize_t)sizeof(k) ||
	    pwrite(fd, code, len, CODE_OFF) != (ssize_t)len)
		abort();
	return fd;
}

#endif
