/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.c - see vcpu.h.
 *
 * Kick: immediate_exit = 1, then a signal with an empty handler. The signal alone would be lost when
 * it arrives between the look at `stop` and the ioctl; the flag alone would not wake a halted vCPU.
 * Who clears the flag looks at `stop` and `pause` afterwards, who sets it sets one of them before: no kick
 * is lost.
 *
 * #syscalls vcpu: ioctl:KVM_RUN ioctl:KVM_GET_REGS? rt_sigreturn write
 * #syscalls loop: tkill rt_sigprocmask
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/x86/assist.h"
#include "vmm/arch/x86/cpu.h"

static void on_kick(int sig)
{
	(void)sig; /* its arrival is all: it interrupts KVM_RUN */
}

int vcpu_global_init(struct err *e)
{
	struct sigaction sa = {.sa_handler = on_kick};

	return sigaction(SIGRTMIN, &sa, NULL) < 0 ? err_errno(e, "sigaction") : 0;
}

__attribute__((format(printf, 3, 4))) static int end(struct vcpu *v, enum exit_reason reason,
						     const char *fmt, ...)
{
	va_list ap;

	v->exit.reason = reason;
	va_start(ap, fmt);
	(void)vsnprintf(v->exit.detail, sizeof(v->exit.detail), fmt, ap);
	va_end(ap);
	return (int)reason;
}

/* Ends with "what on vCPU 0 at rip 0x...": where to look for what the guest did. */
static int end_at_rip(struct vcpu *v, enum exit_reason reason, const char *what)
{
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0)
		return end(v, reason, "%s on vCPU %u", what, v->id);
	return end(v, reason, "%s on vCPU %u at rip %#" PRIx64, what, v->id, (uint64_t)r.rip);
}

static int on_pio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus_access a = {.addr = run->io.port,
			       .data = (uint8_t *)run + run->io.data_offset,
			       .len = run->io.size,
			       .write = run->io.direction == KVM_EXIT_IO_OUT};
	int r = EXIT_NONE;

	/* count is above one for string instructions: the same port, item after item */
	for (uint32_t i = 0; i < run->io.count && r == EXIT_NONE; i++) {
		r = bus_access(v->pio, &a);
		a.data = (uint8_t *)a.data + a.len;
	}
	return r ? end(v, (enum exit_reason)r, "%s", "") : EXIT_NONE;
}

static int on_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct bus_access a = {.addr = run->mmio.phys_addr,
			       .data = run->mmio.data,
			       .len = run->mmio.len,
			       .write = run->mmio.is_write};
	int r = bus_access(v->mmio, &a);

	return r ? end(v, (enum exit_reason)r, "%s", "") : EXIT_NONE;
}

static int on_internal_error(struct vcpu *v)
{
	char what[64];

	if (v->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		(void)snprintf(what, sizeof(what), "KVM internal error %u",
			       v->run->internal.suberror);
		return end_at_rip(v, EXIT_ERROR, what);
	}
	int r = assist_handle(v->assist);
	if (r < 0)
		return end(v, EXIT_ERROR, "finish an instruction for KVM: %s", strerror(-r));
	return r > 0 ? EXIT_NONE
		     : end(v, EXIT_ERROR, "this host's KVM cannot run an instruction: %s",
			   assist_refused(v->assist));
}

static int on_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN: return end(v, EXIT_POWEROFF, "%s", "");
	case KVM_SYSTEM_EVENT_RESET: return end(v, EXIT_REBOOT, "%s", "");
	default: return end(v, EXIT_CRASH, "system event %u", v->run->system_event.type);
	}
}

static enum vcpu_count kind_of(uint32_t exit_reason)
{
	switch (exit_reason) {
	case KVM_EXIT_IO: return VCPU_PIO;
	case KVM_EXIT_MMIO: return VCPU_MMIO;
	case KVM_EXIT_INTERNAL_ERROR: return VCPU_ASSIST;
	case KVM_EXIT_INTR: return VCPU_SIGNAL;
	default: return VCPU_OTHER;
	}
}

/* EXIT_NONE: run on. */
static int on_exit_of_kvm(struct vcpu *v)
{
	char what[64];

	v->count[kind_of(v->run->exit_reason)]++;
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO: return on_pio(v);
	case KVM_EXIT_MMIO: return on_mmio(v);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT: return EXIT_NONE; /* the in-kernel APIC waits for the next interrupt */
	case KVM_EXIT_SHUTDOWN: return end_at_rip(v, EXIT_CRASH, "triple fault");
	case KVM_EXIT_INTERNAL_ERROR: return on_internal_error(v);
	case KVM_EXIT_SYSTEM_EVENT: return on_system_event(v);
	case KVM_EXIT_FAIL_ENTRY:
		return end(v, EXIT_ERROR, "vCPU %u cannot be entered: hardware reason %#" PRIx64,
			   v->id, (uint64_t)v->run->fail_entry.hardware_entry_failure_reason);
	default:
		(void)snprintf(what, sizeof(what), "KVM exit %u", v->run->exit_reason);
		return end_at_rip(v, EXIT_ERROR, what);
	}
}

/* One turn of KVM_RUN and what it led to; EXIT_NONE: go on. *ret_ran: false when a kick kept it from the
 * guest. */
static int turn(struct vcpu *v, bool *ret_ran)
{
	char what[64];

	*ret_ran = ioctl(v->fd, KVM_RUN, 0) == 0;
	if (*ret_ran)
		return on_exit_of_kvm(v);
	if (errno == EINTR || errno == EAGAIN) {
		/* EAGAIN: a secondary vCPU was woken, now or before its start-up message */
		v->count[VCPU_SIGNAL]++;
		return EXIT_NONE;
	}
	(void)snprintf(what, sizeof(what), "KVM_RUN: %s", strerror(errno));
	return end_at_rip(v, EXIT_ERROR, what);
}

static void wait_at_gate(struct vcpu *v)
{
	pthread_mutex_lock(&v->gate->lock);
	v->parked = true;
	if (!v->posted)
		loop_post(v->loop, &v->parking);
	v->posted = true;
	while (atomic_load(&v->pause) && !atomic_load(&v->stop))
		pthread_cond_wait(&v->gate->opened, &v->gate->lock);
	v->parked = false;
	pthread_mutex_unlock(&v->gate->lock);
}

/* With immediate_exit set KVM_RUN finishes what the last exit left to be done, and no more: an access may
 * fall into several exits. */
static int park(struct vcpu *v)
{
	bool ran = true;
	int r = EXIT_NONE;

	while (ran && r == EXIT_NONE)
		r = turn(v, &ran);
	if (r != EXIT_NONE)
		return r;
	wait_at_gate(v);
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (atomic_load(&v->pause) || atomic_load(&v->stop)) /* the next kick came in between */
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	return EXIT_NONE;
}

static void *run_loop(void *arg)
{
	struct vcpu *v = arg;
	int r = EXIT_NONE;
	bool ran;
	char name[16];

	(void)snprintf(name, sizeof(name), "vcpu %u", v->id);
	(void)pthread_setname_np(pthread_self(), name); /* for top */
	if (v->on_start)
		v->on_start(v);
	wait_at_gate(v);
	while (r == EXIT_NONE && !atomic_load(&v->stop))
		r = atomic_load(&v->pause) ? park(v) : turn(v, &ran);
	loop_post(v->loop, &v->gone);
	return NULL;
}

static void on_gone_call(struct loop_call *c)
{
	struct vcpu *v = container_of(c, struct vcpu, gone);

	v->on_gone(v);
}

static void on_parking(struct loop_call *c)
{
	struct vcpu *v = container_of(c, struct vcpu, parking);

	/* That it comes is all: it wakes the loop. */
	pthread_mutex_lock(&v->gate->lock);
	v->posted = false;
	pthread_mutex_unlock(&v->gate->lock);
}

int vcpu_init(struct vcpu *v, const struct vcpu_env *env, unsigned id, struct err *e)
{
	*v = (struct vcpu){
		.id = id,
		.run = MAP_FAILED,
		.run_bytes = env->kvm->run_bytes,
		.mmio = env->mmio,
		.pio = env->pio,
		.loop = env->loop,
		.gone = {.fn = on_gone_call},
		.parking = {.fn = on_parking},
		.pause = true,
		.gate = env->gate,
		.on_start = env->on_start,
		.on_gone = env->on_gone,
	};
	v->fd = ioctl(env->kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (v->fd < 0)
		return err_errno(e, "create vCPU %u", id);
	v->run = mmap(NULL, v->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		return err_errno(e, "map vCPU %u", id);

	struct cpu_shape shape = {
		.apic_id = id, .ncpus = env->ncpus, .tsc_deadline = env->kvm->tsc_deadline};
	cpu_template(env->cpuid, &shape);
	int r = cpu_set_up(v->fd, env->cpuid, e);
	if (r < 0)
		return r;
	v->assist = assist_new(env->kvm->fd, env->kvm->vm_fd, v->fd, v->run, env->mem, e);
	return v->assist ? 0 : err_wrap(e, -EIO, "vCPU %u", id);
}

int vcpu_start(struct vcpu *v, struct err *e)
{
	int r = pthread_create(&v->thread, NULL, run_loop, v);

	if (r != 0)
		return err_set(e, r, "start the thread of vCPU %u: %s", v->id, strerror(r));
	v->started = true;
	return 0;
}

static void kick(struct vcpu *v, atomic_bool *why)
{
	if (!v->started)
		return;
	atomic_store(why, true);
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST); /* the kernel's partner */
	(void)pthread_kill(v->thread, SIGRTMIN); /* not joined yet, so the thread id is valid */
}

static void open_gate(struct vcpu *v)
{
	pthread_mutex_lock(&v->gate->lock);
	pthread_cond_broadcast(&v->gate->opened);
	pthread_mutex_unlock(&v->gate->lock);
}

void vcpu_stop(struct vcpu *v)
{
	if (!v->started)
		return;
	kick(v, &v->stop);
	open_gate(v);
}

void vcpu_pause(struct vcpu *v)
{
	kick(v, &v->pause);
}

bool vcpu_is_parked(struct vcpu *v)
{
	pthread_mutex_lock(&v->gate->lock);
	bool parked = v->parked;
	pthread_mutex_unlock(&v->gate->lock);
	return parked;
}

void vcpu_resume(struct vcpu *v)
{
	atomic_store(&v->pause, false);
	open_gate(v);
}

void vcpu_print_counts(const struct vcpu *v)
{
	struct assist_count finished[32];
	size_t n = assist_counts(v->assist, finished, countof(finished));

	fprintf(stderr,
		"conker-vmm: vCPU %u left KVM for ports %" PRIu64 ", MMIO %" PRIu64
		", instructions %" PRIu64 ", signals %" PRIu64 ", other %" PRIu64 "\n",
		v->id, v->count[VCPU_PIO], v->count[VCPU_MMIO], v->count[VCPU_ASSIST],
		v->count[VCPU_SIGNAL], v->count[VCPU_OTHER]);
	for (size_t i = 0; i < min_(n, countof(finished)); i++)
		if (finished[i].n)
			fprintf(stderr, "conker-vmm:   %s %" PRIu64 "\n", finished[i].name,
				finished[i].n);
}

void vcpu_fini(struct vcpu *v)
{
	if (v->started)
		pthread_join(v->thread, NULL);
	assist_free(v->assist);
	if (v->run && v->run != MAP_FAILED)
		munmap(v->run, v->run_bytes);
	if (v->fd >= 0)
		close(v->fd);
	*v = (struct vcpu){.fd = -1};
}
