/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_facts - facts about the guest kernel that its configuration and patches promise.
 * Prints each that is not so; exits 1 then. Runs as root in a box, with /proc and /sys.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

enum { SYSLOG_READ_ALL = 3, LOG_BYTES = 256 << 10 };

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static const char *text_of(const char *path)
{
	static char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r;

	text[0] = '\0';
	if (fd < 0)
		return text;
	while (n < sizeof(text) - 1 && (r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	close(fd);
	return text;
}

static void check_patches(void)
{
	const char *vmalloc = strstr(text_of("/proc/meminfo"), "VmallocTotal:");

	expect(vmalloc && strtoul(vmalloc + 13, NULL, 10) < 1UL << 31, "1 TiB of vmalloc space");
	expect(!exists("/sys/kernel/slab"), "no sysfs entry per slab cache");
	expect(!exists("/sys/kernel/irq"), "no sysfs entry per interrupt");
	expect(!exists("/sys/module/printk/parameters"), "no sysfs entry per kernel parameter");
	expect(exists("/sys/class/tty/hvc0") && !exists("/sys/class/tty/hvc1"), "one hvc terminal");
	expect(exists("/sys/firmware/devicetree/base") &&
		       !exists("/sys/firmware/devicetree/base/compatible"),
	       "device tree nodes without properties in sysfs");
	expect(strtoul(text_of("/sys/kernel/uevent_seqnum"), NULL, 10) < 20,
	       "no uevents before user space");
}

/* With printk_store=N on the command line no message of the kernel's own from before PID 1 has a
 * level of N or above. */
static void check_log(void)
{
	const char *option = strstr(text_of("/proc/cmdline"), "printk_store=");
	int limit = option ? (int)strtoul(option + 13, NULL, 10) : 8;
	char *log = calloc(1, LOG_BYTES + 1);

	if (!log || klogctl(SYSLOG_READ_ALL, log, LOG_BYTES) < 0) {
		perror("klogctl");
		exit(99);
	}
	expect(limit > 6 || !strstr(log, "Dentry cache hash table"),
	       "printk_store keeps messages out of the log");
	free(log);
}

static void check_what_is_off(void)
{
	const struct sockaddr_vm self = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL, .svm_port = 1};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect(fd >= 0, "vsock exists");
	expect(connect(fd, (const struct sockaddr *)&self, sizeof(self)) < 0 &&
		       errno != ECONNREFUSED,
	       "no loopback vsock");
	close(fd);
	expect(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS, "no io_uring");
	expect(syscall(SYS_init_module, NULL, 0, "") < 0 && errno == ENOSYS, "no modules");
	expect(syscall(SYS_kexec_load, 0, 0, NULL, 0) < 0 && errno == ENOSYS, "no kexec");
	expect(syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == ENOSYS, "no bpf()");
	expect(syscall(SYS_ioperm, 0, 1, 1) < 0 && errno == ENOSYS, "no port access");
	expect(!exists("/dev/mem") && !exists("/proc/kcore"), "no raw memory");
	expect(!exists("/proc/sysrq-trigger"), "no sysrq");
	expect(!exists("/dev/ptyp0"), "no BSD ptys");
}

static void check_what_is_on(void)
{
	static const char *const files[] = {
		"/proc/self/ns/pid",    "/proc/self/ns/user",
		"/proc/self/ns/net",    "/proc/self/ns/cgroup",
		"/proc/self/ns/time",   "/dev/ptmx",
		"/proc/sys/fs/inotify", "/proc/sys/kernel/seccomp/actions_avail",
		"/proc/sys/fs/mqueue",  "/proc/sys/kernel/sem"};
	const char *fs = text_of("/proc/filesystems");

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		expect(exists(files[i]), files[i]);
	expect(strstr(fs, "\terofs\n") && strstr(fs, "\toverlay\n") && strstr(fs, "\text4\n"),
	       "erofs, overlay and ext4");
	expect(strstr(text_of("/proc/cpuinfo"), " xsave ") != NULL, "XSAVE is in use");
	expect(syscall(SYS_memfd_create, "x", MFD_CLOEXEC) >= 0, "memfd");
	expect(syscall(SYS_membarrier, 0, 0, 0) >= 0, "membarrier");
	expect(syscall(SYS_pidfd_open, getpid(), 0) >= 0, "pidfd");
	expect(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) >= 0, "userfaultfd");
}

int main(void)
{
	check_patches();
	check_log();
	check_what_is_off();
	check_what_is_on();
	return bad;
}
