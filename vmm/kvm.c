/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.c - see kvm.h. */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "util/cleanup.h"
#include "vmm/arch/x86/layout.h"

enum { KVM_API = 12 };

/* What a person can do about a /dev/kvm that cannot be opened. */
static const char *open_advice(int code)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "; this host offers no KVM: load kvm_intel or kvm_amd, or turn on nested "
		       "virtualization";
	case EACCES:
	case EPERM:
		return "; add your user to the group that owns it, mostly 'kvm', and log in again";
	default: return "";
	}
}

int kvm_device(struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd >= 0 ? fd
		       : err_set(e, errno, "open '/dev/kvm': %s%s", strerror(errno),
				 open_advice(errno));
}

/* The capabilities without which nothing works, each with the kernel that brought it. */
static int check_capabilities(const struct kvm *k, struct err *e)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "user memory"},       {KVM_CAP_IRQCHIP, "in-kernel irqchip"},
		{KVM_CAP_SET_TSS_ADDR, "TSS address"},      {KVM_CAP_EXT_CPUID, "CPUID"},
		{KVM_CAP_IOEVENTFD, "ioeventfd"},           {KVM_CAP_IRQFD, "irqfd"},
		{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
	};

	for (size_t i = 0; i < countof(needed); i++)
		if (ioctl(k->fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, ENOTSUP, "this host's KVM lacks %s (Linux 4.12 or later)",
				       needed[i].name);
	return 0;
}

int kvm_open(struct kvm *k, struct err *e)
{
	k->vm_fd = -1;
	if (ioctl(k->fd, KVM_GET_API_VERSION, 0) != KVM_API)
		return err_set(e, ENOTSUP, "/dev/kvm does not speak KVM API version %d", KVM_API);
	int r = check_capabilities(k, e);
	if (r < 0)
		return r;

	int n = ioctl(k->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (n < (int)sizeof(struct kvm_run))
		return err_set(e, ENOTSUP, "/dev/kvm: vCPU mapping of %d bytes", n);
	k->run_bytes = (size_t)n;
	n = ioctl(k->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	k->max_vcpus = n > 0 ? (unsigned)n : 4; /* the API's answer for "not told" */
	k->tsc_deadline = ioctl(k->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	n = ioctl(k->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	k->xsave_bytes = n > 0 ? (unsigned)n : 0;
	do
		k->vm_fd = ioctl(k->fd, KVM_CREATE_VM, 0);
	while (k->vm_fd < 0 && errno == EINTR);
	return k->vm_fd < 0 ? err_errno(e, "create the virtual machine") : 0;
}

void kvm_close(struct kvm *k)
{
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	if (k->fd >= 0)
		close(k->fd);
	k->vm_fd = k->fd = -1;
}

int kvm_add_memory(const struct kvm *k, const struct guest_mem *m, struct err *e)
{
	for (unsigned i = 0; i < m->nregions; i++) {
		struct kvm_userspace_memory_region r = {
			.slot = i,
			.guest_phys_addr = m->region[i].gpa,
			.memory_size = m->region[i].size_bytes,
			.userspace_addr = (uintptr_t)m->region[i].host,
		};
		if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
			return err_errno(e, "give KVM %llu MiB of memory at %#llx",
					 (unsigned long long)(r.memory_size >> 20),
					 (unsigned long long)r.guest_phys_addr);
	}
	return 0;
}

int kvm_add_irqchip(const struct kvm *k, struct err *e)
{
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;

	if (ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		return err_errno(e, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(k->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_TSS) < 0)
		return err_errno(e, "KVM_SET_TSS_ADDR");
	if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_errno(e, "KVM_CREATE_IRQCHIP");
	return 0;
}

int kvm_add_ioeventfd(const struct kvm *k, gpa_t gpa, uint32_t value, int fd, struct err *e)
{
	struct kvm_ioeventfd io = {.addr = gpa.raw,
				   .len = 4,
				   .datamatch = value,
				   .fd = fd,
				   .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};

	return ioctl(k->vm_fd, KVM_IOEVENTFD, &io) < 0 ? err_errno(e, "KVM_IOEVENTFD") : 0;
}

int kvm_new_irqfd(const struct kvm *k, unsigned gsi, int *ret_fd, struct err *e)
{
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return err_errno(e, "eventfd of interrupt line %u", gsi);

	struct kvm_irqfd irq = {.fd = (uint32_t)fd, .gsi = gsi};
	if (ioctl(k->vm_fd, KVM_IRQFD, &irq) < 0)
		return err_errno(e, "KVM_IRQFD of line %u", gsi);
	*ret_fd = take_fd(fd);
	return 0;
}

int kvm_pulse(const struct kvm *k, unsigned gsi, struct err *e)
{
	for (unsigned level = 2; level-- > 0;) {
		struct kvm_irq_level l = {.irq = gsi, .level = level};

		if (ioctl(k->vm_fd, KVM_IRQ_LINE, &l) < 0)
			return err_errno(e, "raise interrupt line %u", gsi);
	}
	return 0;
}

int kvm_supported_cpuid(const struct kvm *k, struct kvm_cpuid2 **ret, struct err *e)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + (KVM_CPUID_ENTRIES + KVM_CPUID_SPARE) *
							      sizeof(c->entries[0]));

	if (!c)
		return err_set(e, ENOMEM, "CPUID: out of memory");
	c->nent = KVM_CPUID_ENTRIES;
	if (ioctl(k->fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		int r = err_errno(e, "KVM_GET_SUPPORTED_CPUID");

		free(c);
		return r;
	}
	*ret = c;
	return 0;
}
