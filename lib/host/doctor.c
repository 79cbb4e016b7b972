/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - what this host can do, found by trying it.
 *
 * No verdict rests on a CPU's brand or its vmx/svm flags: nested and paravirtual KVMs serve without
 * them. The flags only put a name to the kind of host.
 */
#include "lib/host/host.h"
#include "lib/host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "util/num.h"

void doctor_say(struct doctor *d, enum conker_check verdict, const char *what, const char *found,
		const char *advice)
{
	d->missing += verdict == CONKER_CHECK_MISSING;
	d->fn(verdict, what, found, verdict == CONKER_CHECK_OK ? "" : advice, d->user);
}

/* ---- KVM -------------------------------------------------------------------------------------------------- */

static int cpu_has(const char *flag)
{
	char buf[8 << 10], word[32];

	dir_slurp(AT_FDCWD, "/proc/cpuinfo", buf, sizeof(buf)); /* the first CPU's flags suffice */
	(void)snprintf(word, sizeof(word), " %s ", flag);
	return strstr(buf, word) != NULL;
}

static void check_kind(struct doctor *d)
{
	int nested = cpu_has("hypervisor");

	if (access("/sys/module/kvm_pvm", F_OK) == 0)
		doctor_say(d, CONKER_CHECK_SLOW, "kind of host",
			   "pvm: KVM without hardware assistance",
			   "guest user code runs at full speed, guest kernels are emulated: system "
			   "calls "
			   "and "
			   "boots are hundreds of times slower than on a host with VMX or SVM");
	else if (cpu_has("vmx") || cpu_has("svm"))
		doctor_say(d, nested ? CONKER_CHECK_SLOW : CONKER_CHECK_OK, "kind of host",
			   nested ? "nested virtualization" : "hardware virtualization",
			   "each exit of a guest passes through two hypervisors; bare metal is "
			   "faster");
	else
		doctor_say(d, CONKER_CHECK_SLOW, "kind of host",
			   "no vmx or svm flag in /proc/cpuinfo",
			   "switch virtualization on in the firmware, or nested virtualization on "
			   "in the "
			   "cloud");
}

static int open_kvm(struct doctor *d)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		doctor_say(d, CONKER_CHECK_OK, "/dev/kvm", "usable", "");
		return fd;
	}
	if (errno == EACCES || errno == EPERM)
		doctor_say(d, CONKER_CHECK_MISSING, "/dev/kvm", "no permission",
			   "join the group that owns it: sudo usermod -aG kvm $USER, then log in "
			   "again");
	else
		doctor_say(d, CONKER_CHECK_MISSING, "/dev/kvm", strerror(errno),
			   "load kvm_intel or kvm_amd; in a virtual machine ask for nested "
			   "virtualization; in a "
			   "container pass the device in");
	return -1;
}

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "IRQCHIP"},
	{KVM_CAP_IRQFD, "IRQFD"},
	{KVM_CAP_IOEVENTFD, "IOEVENTFD"},
	{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
	{KVM_CAP_MP_STATE, "MP_STATE"},
#ifdef __x86_64__
	{KVM_CAP_EXT_CPUID, "EXT_CPUID"},
	{KVM_CAP_XSAVE, "XSAVE"},
	{KVM_CAP_TSC_DEADLINE_TIMER, "TSC_DEADLINE_TIMER"},
#endif
};

static void check_api(struct doctor *d, int kvm)
{
	enum { API = 12 };
	char lacking[256] = "";
	size_t at = 0;
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0);

	if (version != API) {
		doctor_say(d, CONKER_CHECK_MISSING, "KVM interface", "not version 12",
			   "use Linux 5.10 or later");
		return;
	}
	for (size_t i = 0; i < countof(needed); i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			at += (size_t)snprintf(lacking + at, sizeof(lacking) - at, " %s",
					       needed[i].name);
	if (at == 0)
		doctor_say(d, CONKER_CHECK_OK, "KVM interface", "version 12, all capabilities", "");
	else
		doctor_say(d, CONKER_CHECK_MISSING, "KVM interface", lacking, "use a newer kernel");
}

static void check_vm(struct doctor *d, int kvm)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm < 0) {
		doctor_say(d, CONKER_CHECK_MISSING, "a virtual machine", strerror(errno),
			   "see `dmesg | grep -i kvm`; another hypervisor may hold the CPU's "
			   "extension");
		return;
	}
	doctor_say(d, CONKER_CHECK_OK, "a virtual machine", "can be made", "");
	close(vm);
}

static void check_kvm(struct doctor *d)
{
	check_kind(d);
	auto_close int kvm = open_kvm(d);
	if (kvm < 0)
		return;
	check_api(d, kvm);
	check_vm(d, kvm);
}

/* ---- our own parts ------------------------------------------------------------------------------------------ */

static void check_file(struct doctor *d, const char *file, enum conker_check verdict,
		       const char *advice)
{
	char path[PATH_MAX];

	if (place_guest_path(file, path, sizeof(path), NULL) < 0 || access(path, R_OK) < 0)
		doctor_say(d, verdict, file, "not found", advice);
	else
		doctor_say(d, CONKER_CHECK_OK, file, path, "");
}

static void check_parts(struct doctor *d)
{
	char path[PATH_MAX];
	static const char build[] = "build or install conker (`make`), or set CONKER_GUEST";

	if (place_vmm(path, sizeof(path), NULL) < 0)
		doctor_say(d, CONKER_CHECK_MISSING, "conker-vmm", "not found",
			   "build or install conker (`make`), or set CONKER_VMM");
	else
		doctor_say(d, CONKER_CHECK_OK, "conker-vmm", path, "");
	check_file(d, "vmlinux", CONKER_CHECK_MISSING, build);
	check_file(d, "vmlinux-smp", CONKER_CHECK_SLOW,
		   "only boxes of one CPU without it; `make` builds it");
	check_file(d, "initrd.cpio", CONKER_CHECK_MISSING, build);
	check_file(d, "base.erofs", CONKER_CHECK_SLOW,
		   "each box needs --image without it; `make` builds it");
}

static void check_dir(struct doctor *d, const char *what, int (*open_dir)(struct err *))
{
	struct err e = {0};
	char path[PATH_MAX];
	auto_close int fd = open_dir(&e);

	if (fd < 0) {
		doctor_say(d, CONKER_CHECK_MISSING, what, e.msg, "make it writable for you");
		return;
	}
	(void)fd_path(fd, path, sizeof(path));
	doctor_say(d, CONKER_CHECK_OK, what, path, "");
}

static int is_installed(const char *program)
{
	static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/bin"};
	char path[256];

	for (size_t i = 0; i < countof(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
		if (access(path, X_OK) == 0)
			return 1;
	}
	return 0;
}

static void check_images(struct doctor *d)
{
	static const char program[] = "conker-image (for image pull, import)",
			  skopeo[] = "skopeo (for image pull)";
	char path[PATH_MAX];

	if (place_image_program(path, sizeof(path), NULL) == 0)
		doctor_say(d, CONKER_CHECK_OK, program, path, "");
	else
		doctor_say(d, CONKER_CHECK_SLOW, program, "not found",
			   "build or install conker (`make`), or set CONKER_IMAGE_PROGRAM");
	if (is_installed("skopeo"))
		doctor_say(d, CONKER_CHECK_OK, skopeo, "installed", "");
	else
		doctor_say(d, CONKER_CHECK_SLOW, skopeo, "not installed", "apt-get install skopeo");
}

/* ---- the host ------------------------------------------------------------------------------------------------ */

static void check_memory(struct doctor *d)
{
	enum { WANTED_MIB = 256 };
	char info[512], found[64];
	const char *line;

	dir_slurp(AT_FDCWD, "/proc/meminfo", info, sizeof(info));
	line = strstr(info, "MemAvailable:");
	uint64_t mib = line ? num_at(line + strlen("MemAvailable:")) / 1024 : 0;
	(void)snprintf(found, sizeof(found), "%" PRIu64 " MiB available", mib);
	doctor_say(d, mib >= WANTED_MIB ? CONKER_CHECK_OK : CONKER_CHECK_SLOW, "memory", found,
		   "a box takes 128 MiB unless told otherwise (--memory)");
}

static void check_hugepages(struct doctor *d)
{
	char mode[128];

	dir_slurp(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof(mode));
	int off = *mode == 0 || strstr(mode, "[never]") != NULL;
	doctor_say(d, off ? CONKER_CHECK_SLOW : CONKER_CHECK_OK, "transparent huge pages",
		   *mode ? mode : "none",
		   "guest memory is faster with them: echo madvise > "
		   "/sys/kernel/mm/transparent_hugepage/enabled");
}

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	const char *at = u.release;
	uint64_t major;

	if (uname(&u) < 0)
		return;
	(void)!num_take(&at, NULL, 10, UINT64_MAX, &major);
	uint64_t minor = *at == '.' ? num_at(at + 1) : 0;
	doctor_say(d,
		   major > 5 || (major == 5 && minor >= 10) ? CONKER_CHECK_OK
							    : CONKER_CHECK_MISSING,
		   "Linux", u.release,
		   "pidfds, close_range and vsock as used here need 5.10 or later");
}

int conker_doctor(doctor_fn *fn, void *user)
{
	struct doctor d = {.fn = fn, .user = user};
	struct err *e = api_enter();

	if (!fn)
		return err_set(e, EINVAL, "no function given");
	check_kvm(&d);
	check_kernel(&d);
	check_parts(&d);
	check_dir(&d, "directory of boxes", place_boxes);
	check_dir(&d, "directory of images", place_images);
	check_images(&d);
	check_memory(&d);
	check_hugepages(&d);
	isolation_check(&d);
	return d.missing;
}
