/* SPDX-License-Identifier: Apache-2.0 */
/* snap_device - any device of a state file over any memory: refused with a reason, or a device that runs,
 * whatever its rings then hold, and that can be saved and restored again.
 *
 * Input: 16 bits of length, a message Device of so many bytes, guest memory from its first byte on. The
 * message is tried as it is, and as if it were of the very device that is there: else no input would get
 * past the comparison. */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ports.h"
#include "tests/fake/fake.h"
#include "vmm/snap/device.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/vsock.h"

enum { DISK_BYTES = 64 * 512, STEPS = 40, ROUNDS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake f;
static struct disk_worker *worker;
static uint32_t kind;
static int out; /* of a console; the disk; the listener */

static int listen_somewhere(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(bind(fd, (void *)&a, sizeof(sa_family_t)) == 0 && listen(fd, 8) == 0);
	return fd;
}

static struct virtio_dev *remake(struct fake *fk)
{
	if (kind == VIRTIO_ID_CONSOLE)
		return console_new(&fk->loop, out, NULL);
	if (kind == VIRTIO_ID_BLOCK)
		return blk_new(worker, out, 0, NULL);

	struct vsock_config c = {
		.guest_cid = GUEST_CID,
		.nlisteners = 1,
		.listener = {{listen_somewhere(), PORT_EXEC}},
	};
	return vsock_new(&fk->loop, &c, NULL);
}

static void run(void)
{
	for (int i = 0; i < STEPS && loop_step(&f.loop, 0) > 0; i++)
		;
}

/* Into a fresh port. */
static bool restore(const struct port_state *s)
{
	struct err e = {0};

	virtio_port_free(f.port);
	fake_attach(&f, remake(&f));
	int r = virtio_port_restore(f.port, s, &e);
	assert(r == 0 || (r == -EINVAL && e.code == EINVAL && e.msg[0]));
	return r == 0;
}

/* As if the file were about the device that is there. */
static void adopt(struct port_state *s)
{
	const struct virtio_dev *d = f.dev;

	if (s->status & VIRTIO_CONFIG_S_FEATURES_OK) {
		s->driver_features = (s->driver_features & d->offered) | UINT64_C(1) << 32;
		s->alien_features = false;
	}
	s->offered = d->offered;
	s->config_bytes = (uint32_t)d->config_len;
	if (d->config_len)
		memcpy(s->config, d->config, d->config_len);
	s->nqueues = d->cls->nvqs;
}

/* What could be restored runs, and what ran can be saved: for ever. */
static void live(struct port_state *s)
{
	for (int i = 0; i < ROUNDS; i++) {
		virtio_port_release(f.port);
		run();
		for (unsigned q = 0; q < f.dev->cls->nvqs; q++)
			fake_kick(&f, q);
		run();
		fake_save(&f, s);
		fake_through_file(s);
		assert(restore(s));
	}
}

static void set_up(const uint8_t *ram, size_t len)
{
	struct err e = {0};

	fake_init(&f);
	f.remake = remake;
	memcpy(f.ram, ram, len > FAKE_RAM_BYTES ? FAKE_RAM_BYTES : len);
	out = memfd_create("fuzz", MFD_CLOEXEC);
	if (kind == VIRTIO_ID_BLOCK) {
		assert(ftruncate(out, DISK_BYTES) == 0);
		worker = disk_worker_new(&f.loop, NULL, &e);
		assert(worker);
	}
}

static void tear_down(void)
{
	virtio_port_free(f.port);
	f.port = NULL;
	disk_worker_free(worker);
	worker = NULL;
	fake_fini(&f);
	close(out);
}

static void try(struct port_state *s, const uint8_t *ram, size_t len)
{
	kind = s->device_id;
	set_up(ram, len);
	if (!restore(s)) {
		adopt(s);
		if (!restore(s))
			goto out;
	}
	live(s);
out:
	tear_down();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};

	if (size < 2)
		return 0;
	size_t n = data[0] | (size_t)data[1] << 8;
	if (n > size - 2)
		n = size - 2;
	Conker__State__Device *m = conker__state__device__unpack(NULL, n, data + 2);
	if (!m)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	struct port_state *s = malloc(sizeof(*s));
	int r = snap_device_get(m, s, &e);
	conker__state__device__free_unpacked(m, NULL);
	if (r == 0)
		try(s, data + 2 + n, size - 2 - n);
	else
		assert(r == -EINVAL && e.code == EINVAL && e.msg[0]);
	free(s);
	return 0;
}
