/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - see vm.h. set_up() is the machine, in the order in which it comes up.
 *
 * #syscalls loop: close exit_group
 */
#include "vmm/vm_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proto/ports.h"
#include "util/cleanup.h"
#include "vmm/arch/fdt.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/disk/worker.h"
#include "vmm/power.h"
#include "vmm/seccomp.h"
#include "vmm/snap/file.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/vsock.h"

enum {
	LIFE_GRACE_MS = 5000, /* for the guest to end in order when its life is over */
	DEBUG_BYTES = 1 << 20,
	DRAIN_STEPS = 64, /* of the loop, once the guest has stopped */
};
_Static_assert(LAYOUT_VIRTIO_PIN + DEVICES_MAX <= LAYOUT_GENERATION_PIN, "a pin for each device");
_Static_assert(LAYOUT_VIRTIO + DEVICES_MAX * LAYOUT_VIRTIO_BYTES <= LAYOUT_SYSCON, "room");
_Static_assert(DEVICES_MAX + 2 <= BUS_RANGES, "a range for each device, syscon and pvpanic");
_Static_assert((int)VMM_LISTENERS_MAX <= (int)VSOCK_LISTENERS_MAX, "vsock serves all");
_Static_assert((int)VMM_DISKS_MAX <= (int)DISK_CLIENTS, "the worker serves all");

/* --- ending -------------------------------------------------------------------------------------- */

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

void vm_stop(struct vm *v, enum exit_reason reason, const char *detail)
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
		vm_stop(v, EXIT_STOPPED,
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
	if (!v->config->detach || !v->ready) /* before that nobody counts on it */
		vm_stop(v, EXIT_STOPPED, "the process that started it is gone");
}

static void on_life(struct loop_src *s, uint32_t revents)
{
	struct vm *v = container_of(s, struct vm, life);

	(void)revents;
	vm_stop(v, EXIT_STOPPED, "the box reached its maximum life");
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

	int owner = v->config->fd[VMM_FD_OWNER];
	r = owner < 0 ? 0 : loop_add(&v->loop, &v->owner, owner, EPOLLRDHUP, on_owner);
	return r < 0 ? err_set(e, -r, "watch --owner-fd: %s", strerror(-r)) : 0;
}

static int add_life(struct vm *v, struct err *e)
{
	uint64_t ms = (uint64_t)v->config->life_ms + LIFE_GRACE_MS;
	struct itimerspec t = {.it_value = {.tv_sec = (time_t)(ms / 1000),
					    .tv_nsec = (long)(ms % 1000) * 1000000}};

	if (v->config->life_ms == 0)
		return 0;
	v->life_end_us = trace_now_us() + (uint64_t)v->config->life_ms * 1000;
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &t, NULL) < 0)
		return err_errno(e, "timer of the machine's life");
	int r = loop_add(&v->loop, &v->life, fd, EPOLLIN, on_life);
	if (r < 0)
		return err_set(e, -r, "watch the machine's life: %s", strerror(-r));
	take_fd(fd);
	return 0;
}

/* Who of the guest's CPUs, its devices and our workers may touch its memory when, the guest decides, in ways that
 * the thread sanitizer cannot see: it is told to expect anything there. The devices' order is tested with a
 * driver in plain memory (tests/tsan), which does not come here. */
static void expect_races(const struct guest_mem *m)
{
#ifdef __SANITIZE_THREAD__
	void AnnotateBenignRaceSized(const char *file, int line, const volatile void *p,
				     size_t bytes, const char *why);

	for (unsigned i = 0; i < m->nregions; i++)
		AnnotateBenignRaceSized(__FILE__, __LINE__, m->region[i].host,
					m->region[i].size_bytes, "guest memory");
#else
	(void)m;
#endif
}

static int add_memory(struct vm *v, struct err *e)
{
	long long host_mib = ((long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)) >> 20;

	/* Linux would give more, and only then take for ever or end in the OOM killer. */
	if (v->config->memory_mib > host_mib)
		return err_set(e, ENOMEM, "%u MiB of memory asked for, this host has %lld MiB",
			       v->config->memory_mib, host_mib);
	int r = mem_init(&v->mem, (uint64_t)v->config->memory_mib << 20,
			 v->config->fd[VMM_FD_RESTORE_MEMORY], e);
	if (r == 0)
		expect_races(&v->mem);
	return r;
}

static int add_kernel(struct vm *v, struct err *e)
{
	if (v->restored)
		return 0;
	const struct fdt_machine machine = {.ncpus = v->config->cpus, .nvirtio = v->nslots};
	uint8_t dtb[FDT_MAX_BYTES];
	struct boot_source src = {.kernel_fd = v->config->fd[VMM_FD_KERNEL],
				  .initrd_fd = v->config->fd[VMM_FD_INITRD],
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

/* It waits at the gate then until the loop's thread is filtered, too. */
static void on_vcpu_start(struct vcpu *c)
{
	struct vm *v = container_of(c - c->id, struct vm, cpu[0]);

	if (v->config->jail)
		seccomp_enter(SECCOMP_VCPU);
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
		.gate = &v->gate,
		.on_start = on_vcpu_start,
		.on_gone = on_vcpu_gone,
	};

	int r = kvm_supported_cpuid(&v->kvm, &cpuid, e);
	env.cpuid = cpuid;
	while (r == 0 && v->ncpus < env.ncpus) {
		unsigned i = v->ncpus++; /* counted first: a half-built one wants its fini */

		r = vcpu_init(&v->cpu[i], &env, i, e);
	}
	if (r < 0)
		return r;
	v->cpuid_hash = snap_hash(cpuid->entries, cpuid->nent * sizeof(cpuid->entries[0]));
	return v->restored ? 0 : boot_enter(v->cpu[0].fd, v->entry, e);
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
	v->console = console_new(&v->loop, v->config->fd[VMM_FD_CONSOLE], e);
	if (v->console)
		console_limit(v->console, &v->config->console_rate);
	return plug(v, CONSOLE_SLOT, v->console, e);
}

static void on_ready(void *user)
{
	struct vm *v = user;

	v->ready = true; /* first: the owner may go as soon as he knows */
	trace_step(v->trace, "ready");
	events_emit(v->events, "ready %" PRIu64, trace_now_us() - v->started_us);
}

static void on_suspend(void *user)
{
	struct vm *v = user;

	v->suspend_asked =
		v->config->fd[VMM_FD_SUSPEND_STATE] >= 0 && trace_now_us() >= v->suspend_again_us;
}

static int add_vsock(struct vm *v, struct err *e)
{
	struct vsock_config c = {
		.guest_cid = GUEST_CID,
		.nlisteners = v->config->nlisteners,
		.on_ready = on_ready,
		.on_suspend = on_suspend,
		.user = v,
	};

	for (unsigned i = 0; i < c.nlisteners; i++)
		c.listener[i] = (struct vsock_listener){.fd = v->config->fd[VMM_FD_LISTEN + i],
							.port = v->config->listener_port[i]};
	v->vsock = vsock_new(&v->loop, &c, e);
	if (v->vsock)
		vsock_limit(v->vsock, &v->config->vsock_rate);
	return plug(v, VSOCK_SLOT, v->vsock, e);
}

static void on_disk_start(void)
{
	seccomp_enter(SECCOMP_DISK);
}

static int add_disks(struct vm *v, struct err *e)
{
	const struct config *c = v->config;
	const int *part = c->fd + VMM_FD_PART;
	int r = 0;

	if (!c->ndisks)
		return 0;
	v->worker = disk_worker_new(&v->loop, c->jail ? on_disk_start : NULL, e);
	if (!v->worker)
		return err_wrap(e, e->code ? -e->code : -EIO, "disk thread");
	for (unsigned i = 0; i < c->ndisks && r == 0; i++) {
		int fd = c->fd[VMM_FD_DISK + i];
		unsigned n = c->disk_parts[i];
		struct virtio_dev *blk =
			n ? blk_new_joined(v->worker, fd, part, n, e)
			  : blk_new(v->worker, fd, c->disk_is_ro[i] ? BLK_RO : 0, e);

		part += n;
		if (blk)
			blk_limit(blk, &c->disk_rate);
		r = plug(v, FIXED_DEVICES + i, blk, e);
		if (r < 0)
			return err_wrap(e, r, "disk %u", i);
	}
	return r;
}

/* Text that a guest sends to the first serial port goes to the person who asked for --verbose: how a
 * kernel that dies before its console works can be heard (earlyprintk=serial). Only the first DEBUG_BYTES:
 * standard error may be a file. Any vCPU. */
static int on_debug_port(void *user, const struct bus_access *a)
{
	struct vm *v = user;

	if (a->write && atomic_fetch_add(&v->debug_bytes, 1) < DEBUG_BYTES)
		(void)!write(STDERR_FILENO, a->data, 1);
	if (!a->write)
		memset(a->data, 0xff, a->len); /* line status: ready to send */
	return EXIT_NONE;
}

static int add_power(struct vm *v, struct err *e)
{
	(void)e;
	v->pio.open = 0xff; /* what an ISA bus without a device reads */
	bus_add(&v->pio, &(struct bus_range){LAYOUT_PORT_KBD, 1, power_kbd, NULL});
	if (v->config->verbose)
		bus_add(&v->pio, &(struct bus_range){LAYOUT_PORT_DEBUG, 1, on_debug_port, v});
	bus_add(&v->mmio,
		&(struct bus_range){LAYOUT_SYSCON, LAYOUT_SYSCON_BYTES, power_syscon, NULL});
	bus_add(&v->mmio,
		&(struct bus_range){LAYOUT_PVPANIC, LAYOUT_PVPANIC_BYTES, power_pvpanic, NULL});
	return 0;
}

static int add_ctl(struct vm *v, struct err *e)
{
	int r = ctl_init(&v->ctl, &v->loop, v->config->fd[VMM_FD_CTL], e);

	if (r < 0 || !config_may_snapshot(v->config))
		return r;
	v->msrs = vstate_msrs(&v->kvm, e);
	return v->msrs ? 0 : -e->code;
}

static int add_snapshot(struct vm *v, struct err *e)
{
	return v->config->fd[VMM_FD_RESTORE_STATE] < 0 ? 0 : vm_restore_open(v, e);
}

static int add_state(struct vm *v, struct err *e)
{
	return v->restored ? vm_restore(v, e) : 0;
}

/* From /dev/kvm come other machines: who takes this one over shall not make any. */
static int let_go(struct vm *v, struct err *e)
{
	(void)e;
	close(take_fd(v->kvm.fd));
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
		{"life", add_life},
		{"snapshot", add_snapshot},
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
		{"control", add_ctl},
		{"state", add_state},
		{"descriptors", let_go},
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
		return err_set(e, ENOMEM, "the machine: out of memory");
	v->config = c;
	v->events = ev;
	v->trace = t;
	v->signals.fd = v->owner.fd = v->life.fd = v->loop.ep = v->loop.waker.fd = -1;
	v->ctl.listener.fd = v->ctl.client.fd = v->ctl.request.fds[0] = v->ctl.request.fds[1] = -1;
	v->kvm.fd = c->fd[VMM_FD_KVM];
	v->kvm.vm_fd = -1;
	v->nslots = FIXED_DEVICES + c->ndisks;
	pthread_mutex_init(&v->gate.lock, NULL);
	pthread_cond_init(&v->gate.opened, NULL);
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

	for (unsigned i = 0; i < v->ncpus && v->report.reason == EXIT_NONE; i++) {
		if (vcpu_start(&v->cpu[i], &e) < 0)
			vm_stop(v, EXIT_ERROR, e.msg);
		else
			v->running++;
	}
	if (v->config->jail)
		seccomp_enter(SECCOMP_LOOP);
	trace_step(v->trace, "threads, filters");
	v->started_us = trace_now_us();
	events_emit(v->events, "started %" PRIu64, v->started_us - v->trace->start_us);
	vm_go_on(v);
	if (v->config->fd[VMM_FD_RESTORE_STATE] >= 0)
		on_ready(v);
}

/* What the guest had handed over when it stopped still goes out: its last words on the console, the
 * last bytes of a stream. */
static void drain(struct vm *v)
{
	vsock_drain(v->vsock);
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
		vm_serve_snapshots(v);
	}
	if (!v->suspended)
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
	disk_worker_free(v->worker);
	kvm_close(&v->kvm);
	mem_fini(&v->mem);
	if (v->signals.fd >= 0)
		close(v->signals.fd);
	if (v->life.fd >= 0)
		close(v->life.fd);
	ctl_fini(&v->ctl);
	free(v->msrs);
	machine_free(v->restored);
	loop_fini(&v->loop);
	pthread_cond_destroy(&v->gate.opened);
	pthread_mutex_destroy(&v->gate.lock);
	free(v);
}
