/* SPDX-License-Identifier: Apache-2.0 */
/* tiny.c - see tiny.h. */
#include "tools/bench/tiny.h"

#include <assert.h>
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* In our read-only data, where nothing can jump to; the assembler does the encoding. Numbers: x86-64's write 1,
 * exit 60, reboot 169 with its two magic words and LINUX_REBOOT_CMD_RESTART. The loop is for a kernel that refuses
 * to restart: PID 1 must not end. */
__asm__(".pushsection .rodata.tiny, \"a\"\n"
	".globl tiny_code_true, tiny_code_pid1\n"
	"tiny_code_true:\n"
	"	movl $60, %eax\n"
	"	xorl %edi, %edi\n"
	"	syscall\n"
	"tiny_code_pid1:\n"
	"	movl $1, %eax\n"
	"	movl $1, %edi\n"
	"	leaq 1f(%rip), %rsi\n"
	"	movl $5, %edx\n"
	"	syscall\n"
	"0:	movl $169, %eax\n"
	"	movl $0xfee1dead, %edi\n"
	"	movl $672274793, %esi\n"
	"	movl $0x1234567, %edx\n"
	"	syscall\n"
	"	jmp 0b\n"
	"1:	.ascii \"PID1\\n\"\n"
	"2:\n"
	".globl tiny_sizes\n"
	".balign 4\n"
	"tiny_sizes: .long tiny_code_pid1 - tiny_code_true, 2b - tiny_code_pid1\n"
	".popsection\n");

extern const unsigned char tiny_code_true[], tiny_code_pid1[];
extern const uint32_t tiny_sizes[2]; /* of the two */

static size_t elf(unsigned char *buf, const unsigned char *code, size_t len)
{
	enum { BASE = 0x400000, HEAD = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) };
	const Elf64_Ehdr e = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = BASE + HEAD,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	const Elf64_Phdr p = {
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = BASE,
		.p_paddr = BASE,
		.p_filesz = HEAD + len,
		.p_memsz = HEAD + len,
		.p_align = 4096,
	};

	assert(HEAD + len <= TINY_BYTES_MAX / 2);
	memcpy(buf, &e, sizeof(e));
	memcpy(buf + sizeof(e), &p, sizeof(p));
	memcpy(buf + HEAD, code, len);
	return HEAD + len;
}

size_t tiny_true(unsigned char *buf)
{
	return elf(buf, tiny_code_true, tiny_sizes[0]);
}

/* ---- the initramfs ----------------------------------------------------------------------------------- */

static size_t padded(unsigned char *buf, size_t at)
{
	while (at % 4)
		buf[at++] = 0;
	return at;
}

/* Appends one entry; data may be NULL. The new length. */
static size_t entry(unsigned char *buf, size_t at, const char *name, unsigned mode, unsigned rdev,
		    const unsigned char *data, size_t len)
{
	size_t name_len = strlen(name) + 1;
	char head[111];

	(void)snprintf(head, sizeof(head),
		       "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		       (unsigned)at + 1, mode, 0U, 0U, 1U, 0U, (unsigned)len, 0U, 0U, rdev >> 8,
		       rdev & 0xff, (unsigned)name_len, 0U);
	assert(at + 110 + name_len + len + 8 <= TINY_BYTES_MAX);
	memcpy(buf + at, head, 110);
	memcpy(buf + at + 110, name, name_len);
	at = padded(buf, at + 110 + name_len);
	if (len)
		memcpy(buf + at, data, len);
	return padded(buf, at + len);
}

size_t tiny_initramfs(unsigned char *buf)
{
	unsigned char init[TINY_BYTES_MAX / 2];
	size_t len = elf(init, tiny_code_pid1, tiny_sizes[1]);
	size_t at = entry(buf, 0, "dev", 040755, 0, NULL, 0);

	at = entry(buf, at, "dev/console", 020600, 5 << 8 | 1, NULL, 0);
	at = entry(buf, at, "init", 0100755, 0, init, len);
	return entry(buf, at, "TRAILER!!!", 0, 0, NULL, 0);
}
