/* vcpu.c - see vcpu.h.
 *
 * Kick: immediate_exit = 1, then a signal with an empty handler. The signal alone would be lost when
 * it arrives between the look at `stop` and the ioctl; the flag alone would not wake a halted vCPU.
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
	return reason;
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

static void *run_loop(void *arg)
{
	struct vcpu *v = arg;
	int r = EXIT_NONE;
	char name[16];

	(void)snprintf(name, sizeof(name), "vcpu %u", v->id);
	(void)pthread_setname_np(pthread_self(), name); /* for top and seccomp reports */
	while (r == EXIT_NONE && !atomic_load(&v->stop)) {
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			r = on_exit_of_kvm(v);
		} else if (errno == EINTR || errno == EAGAIN) {
			/* EAGAIN: a secondary vCPU was woken, now or before its start-up message */
			v->count[VCPU_SIGNAL]++;
		} else {
			char what[64];

			(void)snprintf(what, sizeof(what), "KVM_RUN: %s", strerror(errno));
			r = end_at_rip(v, EXIT_ERROR, what);
		}
	}
	loop_post(v->loop, &v->gone);
	return NULL;
}

static void on_gone_call(struct loop_call *c)
{
	struct vcpu *v = container_of(c, struct vcpu, gone);

	v->on_gone(v);
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

void vcpu_stop(struct vcpu *v)
{
	if (!v->started)
		return;
	atomic_store(&v->stop, true);
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST); /* the kernel's partner */
	(void)pthread_kill(v->thread, SIGRTMIN); /* not joined yet, so the thread id is valid */
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
