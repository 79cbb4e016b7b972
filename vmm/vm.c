/* vm.c - see vm.h. set_up() is the machine, in the order in which it comes up. */
#include "vmm/vm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/ports.h"
#include "util/cleanup.h"
#include "vmm/arch/fdt.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/disk/worker.h"
#include "vmm/power.h"
#include "vmm/vcpu.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/mmio.h"
#include "vmm/virtio/vsock.h"

enum {
	FIXED_DEVICES = 2, /* console, vsock */
	DEVICES_MAX = FIXED_DEVICES + CONFIG_DISKS_MAX,
	DRAIN_STEPS = 64, /* of the loop, once the guest has stopped */
};
_Static_assert(LAYOUT_VIRTIO_PIN + DEVICES_MAX <= LAYOUT_PINS, "a pin for each device");
_Static_assert(LAYOUT_VIRTIO + DEVICES_MAX * LAYOUT_VIRTIO_BYTES <= LAYOUT_SYSCON, "room");
_Static_assert(DEVICES_MAX + 2 <= BUS_RANGES, "a range for each device, syscon and pvpanic");
_Static_assert((int)CONFIG_LISTENERS_MAX <= (int)VSOCK_LISTENERS_MAX, "vsock serves all");
_Static_assert((int)CONFIG_DISKS_MAX <= (int)DISK_CLIENTS, "the worker serves all");

struct slot { /* one virtio device's place in the machine */
	struct virtio_port *port;
	int irq_fd;
};

struct vm {
	const struct config *config;
	const struct events *events;
	struct trace *trace;

	struct loop loop;
	struct loop_src signals; /* owns its descriptor */
	struct loop_src owner;

	struct guest_mem mem;
	uint64_t entry;
	struct kvm kvm;
	struct bus mmio, pio;
	unsigned nslots;
	struct slot slot[DEVICES_MAX];
	struct virtio_dev *console; /* belongs to its port */
	int null_fd;                /* where console output goes when nobody wants it */
	struct disk_worker *worker; /* NULL: no disk */

	unsigned ncpus, running; /* vCPUs that exist; whose threads have not gone */
	struct vcpu cpu[CONFIG_CPUS_MAX];

	uint64_t started_us;
	struct exit_report report; /* reason EXIT_NONE: not ending yet */
};

/* --- ending -------------------------------------------------------------------------------------- */

/* The first reason counts. The loop must go on turning until the vCPUs have gone: one of them may be
 * waiting for it inside a device access. */
static void stop(struct vm *v, const struct exit_report *why)
{
	if (v->report.reason != EXIT_NONE)
		return;
	v->report = *why;
	for (unsigned i = 0; i < v->nslots; i++)
		virtio_port_stop(v->slot[i].port);
	for (unsigned i = 0; i < v->ncpus; i++)
		vcpu_stop(&v->cpu[i]);
}

static void stop_because(struct vm *v, enum exit_reason reason, const char *detail)
{
	struct exit_report why = {.reason = reason};

	(void)snprintf(why.detail, sizeof(why.detail), "%.*s", EXIT_DETAIL_BYTES - 1, detail);
	stop(v, &why);
}

static void on_vcpu_gone(struct vcpu *c)
{
	struct vm *v = container_of(c - c->id, struct vm, cpu[0]);

	v->running--;
	if (c->exit.reason != EXIT_NONE)
		stop(v, &c->exit);
}

static void on_signal(struct loop_src *s, uint32_t revents)
{
	struct vm *v = container_of(s, struct vm, signals);
	struct signalfd_siginfo si;

	(void)revents;
	if (read(s->fd, &si, sizeof(si)) == sizeof(si))
		stop_because(v, EXIT_STOPPED,
			     si.ssi_signo == SIGINT   ? "SIGINT"
			     : si.ssi_signo == SIGHUP ? "SIGHUP"
						      : "SIGTERM");
}

/* Only hang-up is watched: the owner has nothing to say. */
static void on_owner(struct loop_src *s, uint32_t revents)
{
	struct vm *v = container_of(s, struct vm, owner);

	(void)revents;
	loop_del(&v->loop, s);
	if (!v->config->detach)
		stop_because(v, EXIT_STOPPED, "the process that started it is gone");
}

void vm_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
}

/* --- set-up -------------------------------------------------------------------------------------- */

static int add_loop(struct vm *v, struct err *e)
{
	sigset_t set;

	int r = loop_init(&v->loop);
	if (r < 0)
		return err_set(e, -r, "event loop: %s", strerror(-r));
	r = vcpu_global_init(e);
	if (r < 0)
		return r;

	vm_signals(&set);
	auto_close int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_errno(e, "signalfd");
	r = loop_add(&v->loop, &v->signals, fd, EPOLLIN, on_signal);
	if (r < 0)
		return err_set(e, -r, "watch signals: %s", strerror(-r));
	take_fd(fd);

	int owner = v->config->owner_fd;
	r = owner < 0 ? 0 : loop_add(&v->loop, &v->owner, owner, EPOLLRDHUP, on_owner);
	return r < 0 ? err_set(e, -r, "watch --owner-fd: %s", strerror(-r)) : 0;
}

static int add_memory(struct vm *v, struct err *e)
{
	long long host_mib = ((long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)) >> 20;

	/* Linux would give more, and only then take for ever or end in the OOM killer. */
	if (v->config->memory_mib > host_mib)
		return err_set(e, ENOMEM, "%u MiB of memory asked for, this host has %lld MiB",
			       v->config->memory_mib, host_mib);
	return mem_init(&v->mem, (uint64_t)v->config->memory_mib << 20, e);
}

static int add_kernel(struct vm *v, struct err *e)
{
	const struct fdt_machine machine = {.ncpus = v->config->cpus, .nvirtio = v->nslots};
	uint8_t dtb[FDT_MAX_BYTES];
	struct boot_source src = {.kernel_fd = v->config->kernel_fd,
				  .initrd_fd = v->config->initrd_fd,
				  .cmdline = v->config->cmdline,
				  .dtb = dtb};

	int r = fdt_build(&machine, dtb, sizeof(dtb), &src.dtb_len, e);
	return r < 0 ? r : boot_load(&v->mem, &src, &v->entry, e);
}

static int add_kvm(struct vm *v, struct err *e)
{
	int r = kvm_open(&v->kvm, e);

	if (r == 0 && v->config->cpus > v->kvm.max_vcpus)
		return err_set(e, EINVAL, "this host's KVM runs at most %u vCPUs",
			       v->kvm.max_vcpus);
	return r;
}

static int add_memslots(struct vm *v, struct err *e)
{
	return kvm_add_memory(&v->kvm, &v->mem, e);
}

static int add_irqchip(struct vm *v, struct err *e)
{
	return kvm_add_irqchip(&v->kvm, e);
}

static int add_vcpus(struct vm *v, struct err *e)
{
	auto_free struct kvm_cpuid2 *cpuid = NULL;
	struct vcpu_env env = {
		.kvm = &v->kvm,
		.mem = &v->mem,
		.ncpus = v->config->cpus,
		.mmio = &v->mmio,
		.pio = &v->pio,
		.loop = &v->loop,
		.on_gone = on_vcpu_gone,
	};

	int r = kvm_supported_cpuid(&v->kvm, &cpuid, e);
	env.cpuid = cpuid;
	while (r == 0 && v->ncpus < env.ncpus) {
		unsigned i = v->ncpus++; /* counted first: a half-built one wants its fini */

		r = vcpu_init(&v->cpu[i], &env, i, e);
	}
	return r < 0 ? r : boot_enter(v->cpu[0].fd, v->entry, e);
}

static int add_lines(struct vm *v, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < v->nslots && r == 0; i++)
		r = kvm_new_irqfd(&v->kvm, LAYOUT_VIRTIO_PIN + i, &v->slot[i].irq_fd, e);
	return r;
}

static int on_port_access(void *user, const struct bus_access *a)
{
	virtio_port_access(user, a->write, a->addr, a->data, a->len);
	return EXIT_NONE;
}

/* Takes dev, which may be NULL with the reason in e already. */
static int plug(struct vm *v, unsigned i, struct virtio_dev *dev, struct err *e)
{
	struct virtio_port *p = virtio_port_new(dev, &v->mem, &v->loop, v->slot[i].irq_fd, e);
	uint64_t base = LAYOUT_VIRTIO + i * LAYOUT_VIRTIO_BYTES;
	int r = 0;

	if (!p)
		return err_wrap(e, e->code ? -e->code : -EIO, "device %u", i);
	v->slot[i].port = p;
	bus_add(&v->mmio, &(struct bus_range){base, LAYOUT_VIRTIO_BYTES, on_port_access, p});
	for (unsigned q = 0; q < VIRTIO_QUEUES && r == 0; q++)
		if (virtio_port_kick_fd(p, q) >= 0)
			r = kvm_add_ioeventfd(&v->kvm, (gpa_t){base + VIRTIO_MMIO_QUEUE_NOTIFY}, q,
					      virtio_port_kick_fd(p, q), e);
	return r;
}

static int add_console(struct vm *v, struct err *e)
{
	int fd = v->config->console_fd;

	if (fd < 0)
		fd = v->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "open '/dev/null'");
	v->console = console_new(&v->loop, fd, e);
	return plug(v, 0, v->console, e);
}

static void on_ready(void *user)
{
	struct vm *v = user;

	trace_step(v->trace, "ready");
	events_emit(v->events, "ready %" PRIu64, trace_now_us() - v->started_us);
}

static int add_vsock(struct vm *v, struct err *e)
{
	struct vsock_config c = {
		.guest_cid = GUEST_CID,
		.nlisteners = v->config->nlisteners,
		.on_ready = on_ready,
		.user = v,
	};

	for (unsigned i = 0; i < c.nlisteners; i++)
		c.listener[i] = (struct vsock_listener){.fd = v->config->listener[i].fd,
							.port = v->config->listener[i].port};
	return plug(v, 1, vsock_new(&v->loop, &c, e), e);
}

static int add_disks(struct vm *v, struct err *e)
{
	const struct config *c = v->config;
	int r = 0;

	if (!c->ndisks)
		return 0;
	v->worker = disk_worker_new(&v->loop, e);
	if (!v->worker)
		return err_wrap(e, e->code ? -e->code : -EIO, "disk thread");
	for (unsigned i = 0; i < c->ndisks && r == 0; i++) {
		const struct config_disk *d = &c->disk[i];

		r = plug(v, FIXED_DEVICES + i,
			 blk_new(v->worker, d->fd, d->read_only ? BLK_RO : 0, e), e);
		if (r < 0)
			return err_wrap(e, r, "disk %u", i);
	}
	return r;
}

/* Text that a guest sends to the first serial port goes to the person who asked for --verbose: how a
 * kernel that dies before its console works can be heard (earlyprintk=serial). */
static int on_debug_port(void *user, const struct bus_access *a)
{
	(void)user;
	if (a->write)
		(void)!write(STDERR_FILENO, a->data, 1);
	else
		memset(a->data, 0xff, a->len); /* line status: ready to send */
	return EXIT_NONE;
}

static int add_power(struct vm *v, struct err *e)
{
	(void)e;
	v->pio.open = 0xff; /* what an ISA bus without a device reads */
	bus_add(&v->pio, &(struct bus_range){LAYOUT_PORT_KBD, 1, power_kbd, NULL});
	if (v->config->verbose)
		bus_add(&v->pio, &(struct bus_range){LAYOUT_PORT_DEBUG, 1, on_debug_port, NULL});
	bus_add(&v->mmio,
		&(struct bus_range){LAYOUT_SYSCON, LAYOUT_SYSCON_BYTES, power_syscon, NULL});
	bus_add(&v->mmio,
		&(struct bus_range){LAYOUT_PVPANIC, LAYOUT_PVPANIC_BYTES, power_pvpanic, NULL});
	return 0;
}

/* The machine, in the order in which it comes up. Memory is complete before KVM sees it, and KVM gets
 * it before anything else: each later change of the memory map would wait for a grace period. */
static int set_up(struct vm *v, struct err *e)
{
	static const struct {
		const char *name;
		int (*fn)(struct vm *v, struct err *e);
	} steps[] = {
		{"loop, signals", add_loop},
		{"memory", add_memory},
		{"kernel, initramfs, device tree", add_kernel},
		{"kvm", add_kvm},
		{"memslots", add_memslots},
		{"irqchip", add_irqchip},
		{"vcpus", add_vcpus},
		{"interrupt lines", add_lines},
		{"power registers", add_power},
		{"console", add_console},
		{"vsock", add_vsock},
		{"disks", add_disks},
	};

	for (size_t i = 0; i < countof(steps); i++) {
		int r = steps[i].fn(v, e);

		if (r < 0)
			return r;
		trace_step(v->trace, steps[i].name);
	}
	return 0;
}

int vm_new(const struct config *c, const struct events *ev, struct trace *t, struct vm **ret,
	   struct err *e)
{
	struct vm *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(e, ENOMEM, "out of memory");
	v->config = c;
	v->events = ev;
	v->trace = t;
	v->signals.fd = v->owner.fd = v->loop.ep = v->loop.waker.fd = -1;
	v->kvm.fd = v->kvm.vm_fd = v->null_fd = -1;
	v->nslots = FIXED_DEVICES + c->ndisks;
	for (unsigned i = 0; i < DEVICES_MAX; i++)
		v->slot[i].irq_fd = -1;

	int r = set_up(v, e);
	if (r < 0)
		vm_free(v);
	else
		*ret = v;
	return r;
}

/* --- running ------------------------------------------------------------------------------------- */

static void start(struct vm *v)
{
	struct err e = {0};

	v->started_us = trace_now_us();
	events_emit(v->events, "started %" PRIu64, v->started_us - v->trace->start_us);
	for (unsigned i = 0; i < v->ncpus; i++) {
		if (vcpu_start(&v->cpu[i], &e) < 0) {
			stop_because(v, EXIT_ERROR, e.msg);
			return;
		}
		v->running++;
	}
}

/* What the guest had handed over when it stopped still goes out: its last words on the console, the
 * last bytes of a stream. */
static void drain(struct vm *v)
{
	for (int i = 0; i < DRAIN_STEPS && loop_step(&v->loop, 0) > 0; i++)
		;
	console_drain(v->console);
}

enum exit_reason vm_run(struct vm *v)
{
	start(v);
	while (v->report.reason == EXIT_NONE || v->running > 0) {
		int r = loop_step(&v->loop, -1);

		assert(r >= 0); /* our own epoll set, our own array */
	}
	drain(v);
	events_emit(v->events, "exited %s%s%s", exit_reason_name(v->report.reason),
		    v->report.detail[0] ? " " : "", v->report.detail);
	trace_step(v->trace, "exited");
	for (unsigned i = 0; i < v->ncpus && v->config->verbose; i++)
		vcpu_print_counts(&v->cpu[i]);
	return v->report.reason;
}

void vm_free(struct vm *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->ncpus; i++)
		vcpu_fini(&v->cpu[i]);
	for (unsigned i = 0; i < DEVICES_MAX; i++) {
		virtio_port_free(v->slot[i].port);
		if (v->slot[i].irq_fd >= 0)
			close(v->slot[i].irq_fd);
	}
	if (v->null_fd >= 0)
		close(v->null_fd);
	disk_worker_free(v->worker);
	kvm_close(&v->kvm);
	mem_fini(&v->mem);
	if (v->signals.fd >= 0)
		close(v->signals.fd);
	loop_fini(&v->loop);
	free(v);
}
