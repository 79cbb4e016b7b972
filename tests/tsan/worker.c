/* SPDX-License-Identifier: Apache-2.0 */
/* worker - two disks' clients that cancel at any moment: what was cancelled is never answered, and its memory is never
 * touched again, which here is written to and freed at once. What was not is answered once, rightly. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/disk/worker.h"

enum {
	CLIENTS = 2,
	ROUNDS = 150,
	AT_ONCE = 4,
	BYTES = (1 << 20) + 4096,
	FILE_BYTES = 2 << 20,
	LIMIT_MS = 10000
};

struct user {
	struct disk_client c;
	unsigned char *data[AT_ONCE];
	struct iovec seg[AT_ONCE];
	unsigned pending; /* bits: submitted, not answered */
	unsigned answered, cancelled;
};

static struct loop loop;

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "worker: %s\n", what);
	exit(1);
}

static void on_done(struct disk_client *c, uint16_t slot, int result)
{
	struct user *u = container_of(c, struct user, c);

	must(slot < AT_ONCE && (u->pending & 1U << slot), "an answer to nothing");
	must(result == 0, "a request failed");
	must(u->data[slot][0] == 'd' && u->data[slot][BYTES - 1] == 'd', "wrong data");
	u->pending &= ~(1U << slot);
	u->answered++;
}

static void on_batch(struct disk_client *c)
{
	(void)c;
}

static void submit(struct user *u, int fd, uint16_t slot)
{
	u->data[slot] = malloc(BYTES);
	u->data[slot][0] = 0;
	u->seg[slot] = (struct iovec){u->data[slot], BYTES};
	disk_submit(&u->c, &(struct disk_req){.op = DISK_READ,
					      .fd = fd,
					      .slot = slot,
					      .nsegs = 1,
					      .segs = &u->seg[slot],
					      .off_bytes = slot * 4096,
					      .len_bytes = BYTES});
	u->pending |= 1U << slot;
}

/* What a device does at a reset; then the memory is the guest's again. */
static void cancel(struct user *u)
{
	disk_cancel(&u->c);
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (u->pending & 1U << i) {
			memset(u->data[i], 'x', BYTES);
			u->cancelled++;
		}
	u->pending = 0;
}

static void drop(struct user *u)
{
	for (unsigned i = 0; i < AT_ONCE; i++) {
		free(u->data[i]);
		u->data[i] = NULL;
	}
}

static void round_of(struct user *u, int fd, unsigned round)
{
	for (int k = 0; k < CLIENTS; k++)
		for (uint16_t i = 0; i < AT_ONCE; i++)
			submit(&u[k], fd, i);
	usleep(round * 37 % 3000);
	for (unsigned i = 0; i < round % 4; i++)
		must(loop_step(&loop, 0) >= 0, "step");
	cancel(&u[round % CLIENTS]);
	struct user *other = &u[(round + 1) % CLIENTS];
	while (other->pending)
		must(loop_step(&loop, LIMIT_MS) > 0, "no answer in time");
	for (int k = 0; k < CLIENTS; k++)
		drop(&u[k]);
}

int main(void)
{
	struct err e = {0};
	struct user u[CLIENTS] = {0};
	int fd = memfd_create("disk", MFD_CLOEXEC);
	void *all = malloc(FILE_BYTES);

	memset(all, 'd', FILE_BYTES);
	must(write(fd, all, FILE_BYTES) == FILE_BYTES, "write");
	free(all);
	must(loop_init(&loop) == 0, "loop");
	struct disk_worker *w = disk_worker_new(&loop, NULL, &e);
	must(w != NULL, e.msg);
	for (int k = 0; k < CLIENTS; k++) {
		u[k].c.on_done = on_done;
		u[k].c.on_batch = on_batch;
		must(disk_attach(w, &u[k].c) == 0, "attach");
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		round_of(u, fd, round);
	for (int k = 0; k < CLIENTS; k++)
		disk_detach(&u[k].c);
	disk_worker_free(w);
	loop_fini(&loop);
	printf("worker: %u answered, %u cancelled\n", u[0].answered + u[1].answered,
	       u[0].cancelled + u[1].cancelled);
	return u[0].answered && u[0].cancelled ? 0 : 1;
}
