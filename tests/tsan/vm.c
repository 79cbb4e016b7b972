/* vm.c - a machine's threads under TSan: kicks against vCPUs that spin, halt, wait to be woken and touch
 * devices, ends by signal and by the guest. A plain program: Criterion aborts under TSan. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/vm.h"

enum { BASE = 16 << 20, CODE_OFF = 0x1000, ROUNDS = 10, SKIPPED = 77 };

#define GUEST(name, code)                          \
	extern const uint8_t name[], name##_end[]; \
	__asm__(".pushsection .rodata; " #name ": " code " " #name "_end: .popsection")

GUEST(spin_guest, "99: pause; jmp 99b;");
GUEST(halt_guest, "98: hlt; jmp 98b;");
GUEST(reboot_guest, "mov $0xfe, %al; out %al, $0x64; 97: jmp 97b;");
/* Maps the devices, resets the console and asks for its magic, for ever. */
GUEST(device_guest,
      "mov $0xd0000083, %eax; mov %rax, 0xd400; mov $0xd003, %eax; mov %rax, 0xa018;"
      "mov $0xd0000000, %ebx; 96: movl $0, 0x70(%rbx); mov (%rbx), %eax; movl $0, 0x50(%rbx);"
      "jmp 96b;");

static int kernel_of(const uint8_t *code, const uint8_t *end)
{
	size_t len = (size_t)(end - code);
	struct {
		Elf64_Ehdr h;
		Elf64_Phdr ph;
	} k = {.h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
		     .e_type = ET_EXEC,
		     .e_machine = EM_X86_64,
		     .e_entry = BASE,
		     .e_phoff = sizeof(Elf64_Ehdr),
		     .e_phentsize = sizeof(Elf64_Phdr),
		     .e_phnum = 1},
	       .ph = {.p_type = PT_LOAD,
		      .p_offset = CODE_OFF,
		      .p_paddr = BASE,
		      .p_vaddr = BASE,
		      .p_filesz = len,
		      .p_memsz = len}};
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (pwrite(fd, &k, sizeof(k), 0) != (ssize_t)sizeof(k) ||
	    pwrite(fd, code, len, CODE_OFF) != (ssize_t)len)
		abort();
	return fd;
}

static void *send_term(void *delay_us)
{
	usleep(*(useconds_t *)delay_us);
	kill(getpid(), SIGTERM);
	return NULL;
}

static void expect(const uint8_t *code, const uint8_t *end, enum exit_reason want, int round)
{
	struct config c = {.memory_mib = 32,
			   .cpus = 2,
			   .kernel_fd = kernel_of(code, end),
			   .initrd_fd = -1,
			   .console_fd = -1,
			   .owner_fd = -1,
			   .cmdline = ""};
	struct events ev = {.state_fd = memfd_create("state", MFD_CLOEXEC), .owner_fd = -1};
	struct trace t = {0};
	struct err e = {0};
	struct vm *v = NULL;
	useconds_t delay_us = 2000 + 777 * (useconds_t)round;
	pthread_t term;

	if (vm_new(&c, &ev, &t, &v, &e) < 0) {
		fprintf(stderr, "set-up: %s\n", e.msg);
		exit(1);
	}
	if (want == EXIT_STOPPED && pthread_create(&term, NULL, send_term, &delay_us) != 0)
		abort();
	enum exit_reason got = vm_run(v);
	if (want == EXIT_STOPPED)
		pthread_join(term, NULL);
	vm_free(v);
	close(c.kernel_fd);
	close(ev.state_fd);
	if (got != want) {
		fprintf(stderr, "ended by %s, not %s\n", exit_reason_name(got),
			exit_reason_name(want));
		exit(1);
	}
}

int main(void)
{
	sigset_t set;

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		printf("skipped: no /dev/kvm\n");
		return SKIPPED;
	}
	vm_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		expect(spin_guest, spin_guest_end, EXIT_STOPPED, i);
		expect(halt_guest, halt_guest_end, EXIT_STOPPED, i);
		expect(device_guest, device_guest_end, EXIT_STOPPED, i);
		expect(reboot_guest, reboot_guest_end, EXIT_REBOOT, i);
	}
	printf("vm: ok\n");
	return 0;
}
