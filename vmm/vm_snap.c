/* SPDX-License-Identifier: Apache-2.0 */
/* vm_snap.c - a machine stands still, is written out, and goes on, there or in another process.
 *
 * Standing still: the devices are held (what the guest asks of them waits), the vCPUs leave KVM with nothing half done,
 * disk requests under way end. Then nothing moves, and what there is, is read: vCPUs, interrupt controllers and clock from
 * KVM, plain data from the devices, memory page by page. What the loop still owes the guest is not lost: the guest's
 * notifications are served again by whoever goes on, and interrupts raised anew where InterruptStatus says that they were due.
 *
 * Restoring is the machine's set-up with the memory mapped from the snapshot instead of a kernel loaded into it, and the
 * state put in as its last step. Nothing of that grows with the memory.
 *
 * The files are written by one process at a time, and by nobody but it: it empties them when it begins, and when it fails
 * it gives their space back at once. A machine does not end before it has seen that what it goes on with is whole, and can
 * be found: whoever takes the files away meanwhile keeps it running.
 *
 * #syscalls loop: getrandom? ftruncate? fstat? fcntl:F_SETLK?
 */
#include "vmm/vm_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/box.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/snap/file.h"
#include "vmm/virtio/vsock.h"

enum {
	STILL_US = 5000000, /* longest wait for vCPUs and disks */
	LOOK_MS = 100,
	AGAIN_US = 20000000, /* from a suspend of the guest's that failed to the next */
	FAILURES_TOLD = 100, /* at most: the guest can have them repeated */
};

DEFINE_AUTO(struct machine_state, machine_free);

/* --- standing still ------------------------------------------------------------------------------ */

static bool is_still(struct vm *v)
{
	unsigned parked = 0;

	for (unsigned i = 0; i < v->ncpus; i++)
		parked += vcpu_is_parked(&v->cpu[i]);
	for (unsigned i = 0; i < v->nslots; i++)
		if (virtio_port_busy(v->slot[i].port))
			return false;
	return parked == v->running;
}

static int stand_still(struct vm *v, struct err *e)
{
	uint64_t until_us = trace_now_us() + STILL_US;

	for (unsigned i = 0; i < v->nslots; i++)
		virtio_port_hold(v->slot[i].port);
	for (unsigned i = 0; i < v->ncpus; i++)
		vcpu_pause(&v->cpu[i]);
	while (v->report.reason == EXIT_NONE && !is_still(v)) {
		if (trace_now_us() > until_us)
			return err_set(e, ETIMEDOUT,
				       "the box did not come to a stop: a disk is too slow");
		int r = loop_step(&v->loop, LOOK_MS);

		assert(r >= 0);
	}
	return v->report.reason == EXIT_NONE ? 0 : err_set(e, ESHUTDOWN, "the box is ending");
}

void vm_go_on(struct vm *v)
{
	for (unsigned i = 0; i < v->nslots; i++)
		virtio_port_release(v->slot[i].port);
	for (unsigned i = 0; i < v->ncpus; i++)
		vcpu_resume(&v->cpu[i]);
}

/* --- writing ------------------------------------------------------------------------------------- */

static int read_machine(struct vm *v, struct machine_state *m, struct err *e)
{
	int r = 0;

	m->cpuid_hash = v->cpuid_hash;
	m->memory_bytes = mem_bytes(&v->mem);
	for (unsigned i = 0; i < v->ncpus && r == 0; i++) {
		r = vstate_get(&v->kvm, v->cpu[i].fd, v->msrs, &m->cpu[i], e);
		if (r < 0)
			return err_wrap(e, r, "state of vCPU %u", i);
	}
	if (r == 0)
		r = board_get(&v->kvm, &m->board, e);
	for (unsigned i = 0; i < v->nslots && r == 0; i++)
		r = virtio_port_save(v->slot[i].port, &m->device[i].state);
	return r < 0 && !e->code ? err_set(e, -r, "a device is busy") : r;
}

static int write_file(int fd, const uint8_t *p, size_t len, struct err *e)
{
	if (ftruncate(fd, 0) < 0)
		return err_errno(e, "make the state file");
	int r = io_pwrite_all(fd, p, len, 0);
	return r < 0 ? err_set(e, -r, "write the state file: %s", strerror(-r)) : 0;
}

static int write_state(struct machine_state *m, int fd, struct err *e)
{
	auto_free uint8_t *file = NULL;
	size_t len;
	int r = machine_pack(m, &file, &len, e);

	return r < 0 ? r : write_file(fd, file, len, e);
}

struct snapshot_fds { /* where a snapshot is written to */
	int state, memory;
};

static int write_machine(struct vm *v, const struct snapshot_fds *to, uint64_t *ret_bytes,
			 struct err *e)
{
	cleanup_(machine_freep_) struct machine_state *m = machine_new(v->ncpus, v->nslots);

	if (!m)
		return err_set(e, ENOMEM, "the machine's state: out of memory");
	if (getrandom(&m->id, sizeof(m->id), GRND_NONBLOCK) != sizeof(m->id))
		return err_errno(e, "random bytes");
	int r = read_machine(v, m, e);
	if (r == 0)
		r = memfile_write(&v->mem, to->memory, v->config->fd[VMM_FD_RESTORE_MEMORY],
				  v->config->fd[VMM_FD_PAGEMAP], &m->id, ret_bytes, e);
	return r < 0 ? r : write_state(m, to->state, e);
}

/* What a machine goes on with that is about to end. */
static int check_file(int fd, uint64_t size_bytes, const char *what, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "look at the %s file", what);
	if (st.st_nlink == 0)
		return err_set(e, ESTALE, "the %s file was removed meanwhile", what);
	if (size_bytes ? (uint64_t)st.st_size != size_bytes : st.st_size == 0)
		return err_set(e, ESTALE, "the %s file was changed meanwhile", what);
	return 0;
}

static int check_files(const struct vm *v, const struct snapshot_fds *to, struct err *e)
{
	int r = check_file(to->memory, memfile_bytes(&v->mem), "memory", e);

	return r < 0 ? r : check_file(to->state, 0, "state", e);
}

/* Nobody but us writes them. A descriptor that cannot be emptied takes no space. */
static void give_back(const struct snapshot_fds *to)
{
	(void)!ftruncate(to->state, 0);
	(void)!ftruncate(to->memory, 0);
}

/* While the machine is written out nothing else is served. Who waits sees it by the second byte of the lock, which is then
 * not ours: the rest says that the box lives. */
static void show_writing(const struct vm *v, bool writing)
{
	struct flock l = {.l_type = writing ? F_UNLCK : F_WRLCK,
			  .l_whence = SEEK_SET,
			  .l_start = LOCK_IDLE_BYTE,
			  .l_len = 1};

	if (v->config->fd[VMM_FD_LOCK] >= 0)
		(void)!fcntl(v->config->fd[VMM_FD_LOCK], F_SETLK, &l);
}

/* What the rest of its life is, for who lets it go on. */
static void tell_life(const struct vm *v)
{
	uint64_t now_us = trace_now_us();

	if (v->life_end_us)
		events_emit(v->events, "life %" PRIu64,
			    v->life_end_us > now_us ? (v->life_end_us - now_us) / 1000 + 1 : 1);
}

struct outcome {
	uint64_t pause_us, memory_bytes;
};

static int write_out(struct vm *v, const struct snapshot_fds *to, bool end, struct outcome *ret,
		     struct err *e)
{
	show_writing(v, true);
	int r = write_machine(v, to, &ret->memory_bytes, e);
	if (r == 0 && end)
		r = check_files(v, to, e);
	if (r < 0)
		give_back(to);
	show_writing(v, false);
	return r;
}

/* A machine that ended meanwhile is left to its end. */
static int take(struct vm *v, const struct snapshot_fds *to, bool end, struct outcome *ret,
		struct err *e)
{
	uint64_t from_us = trace_now_us();
	int r = stand_still(v, e);

	if (r == 0)
		r = write_out(v, to, end, ret, e);
	if (r == 0 && end) {
		v->suspended = true;
		tell_life(v);
		vm_stop(v, EXIT_STOPPED, "suspended");
	} else {
		vm_go_on(v);
	}
	ret->pause_us = trace_now_us() - from_us;
	return r;
}

static void serve_host(struct vm *v, const struct ctl_request *q)
{
	struct outcome o = {0};
	struct err e = {0};

	const struct snapshot_fds to = {.state = q->fds[0], .memory = q->fds[1]};
	vsock_keep(v->vsock, q->keep_port);
	if (take(v, &to, q->stop, &o, &e) < 0)
		ctl_answer(&v->ctl, "failed %d %s", e.code, e.msg);
	else
		ctl_answer(&v->ctl, "done %" PRIu64 " %" PRIu64, o.pause_us, o.memory_bytes);
}

static void on_guest_failed(struct vm *v, const struct err *e)
{
	v->suspend_again_us = trace_now_us() + AGAIN_US;
	if (v->suspends_failed++ < FAILURES_TOLD)
		events_emit(v->events, "unsuspended %d %s", e->code, e->msg);
}

/* If it fails the guest goes on by itself after a while. */
static void serve_guest(struct vm *v)
{
	struct outcome o = {0};
	struct err e = {0};

	const struct snapshot_fds to = {.state = v->config->fd[VMM_FD_SUSPEND_STATE],
					.memory = v->config->fd[VMM_FD_SUSPEND_MEMORY]};
	v->suspend_asked = false;
	vsock_keep(v->vsock, 0);
	if (take(v, &to, true, &o, &e) < 0)
		on_guest_failed(v, &e);
}

void vm_serve_snapshots(struct vm *v)
{
	const struct ctl_request *q = ctl_pending(&v->ctl);

	if (q && v->report.reason == EXIT_NONE)
		serve_host(v, q);
	if (v->suspend_asked && v->report.reason == EXIT_NONE)
		serve_guest(v);
}

/* --- reading ------------------------------------------------------------------------------------- */

static int read_file(int fd, uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "the state file");
	if (!S_ISREG(st.st_mode) || st.st_size > SNAP_HEADER_BYTES + SNAP_BODY_MAX_BYTES)
		return err_set(e, EINVAL, "the state file is none");
	auto_free uint8_t *p = malloc((size_t)st.st_size + 1);
	if (!p)
		return err_set(e, ENOMEM, "the state file: out of memory");
	ssize_t n = io_pread_all(fd, p, (size_t)st.st_size, 0);
	if (n < 0)
		return err_set(e, (int)-n, "read the state file: %s", strerror((int)-n));
	*ret = take_ptr(p);
	*ret_len = (size_t)n;
	return 0;
}

static int check_shape(const struct vm *v, const struct machine_state *m, struct err *e)
{
	const struct config *c = v->config;

	if (m->memory_bytes != (uint64_t)c->memory_mib << 20)
		return err_set(e, EINVAL, "the snapshot has %" PRIu64 " MiB of memory, not %u",
			       m->memory_bytes >> 20, c->memory_mib);
	if (m->ncpus != c->cpus)
		return err_set(e, EINVAL, "the snapshot has %u vCPUs, not %u", m->ncpus, c->cpus);
	if (m->ndevices != v->nslots)
		return err_set(e, EINVAL, "the snapshot has %u disks, not %u",
			       m->ndevices - min_(m->ndevices, (unsigned)FIXED_DEVICES), c->ndisks);
	return memfile_check(c->fd[VMM_FD_RESTORE_MEMORY], m->memory_bytes, &m->id, e);
}

int vm_restore_open(struct vm *v, struct err *e)
{
	auto_free uint8_t *file = NULL;
	size_t len = 0;

	int r = read_file(v->config->fd[VMM_FD_RESTORE_STATE], &file, &len, e);
	if (r == 0)
		r = machine_unpack(file, len, &v->restored, e);
	return r < 0 ? r : check_shape(v, v->restored, e);
}

/* Before anything runs: the interrupt is the first thing that the guest's kernel sees, and it reseeds its generator then.
 * Where a stream goes on the guest's processes stand still until a Resume comes through it, which makes init do that: it
 * need not come before the answer to a ping. */
static int new_generation(struct vm *v, struct err *e)
{
	const struct streams_state *s = &v->restored->device[VSOCK_SLOT].state.vsock;
	int r = boot_generation(&v->mem, e);

	return r < 0 || s->kept.host_port ? r : kvm_pulse(&v->kvm, LAYOUT_GENERATION_PIN, e);
}

int vm_restore(struct vm *v, struct err *e)
{
	const struct machine_state *m = v->restored;
	int r = 0;

	if (m->cpuid_hash != v->cpuid_hash)
		return err_set(e, EINVAL,
			       "the snapshot was taken on another processor or another "
			       "version of KVM: make it anew on this host");
	for (unsigned i = 0; i < v->ncpus && r == 0; i++) {
		r = vstate_set(&v->kvm, v->cpu[i].fd, &m->cpu[i], e);
		if (r < 0)
			return err_wrap(e, r, "put the state into vCPU %u", i);
	}
	if (r == 0)
		r = board_set(&v->kvm, &m->board, e);
	if (r == 0)
		r = new_generation(v, e);
	for (unsigned i = 0; i < v->nslots && r == 0; i++) {
		r = virtio_port_restore(v->slot[i].port, &m->device[i].state, e);
		if (r < 0)
			return err_wrap(e, r, "device %u", i);
	}
	machine_free(take_ptr(v->restored));
	return r;
}
