/* SPDX-License-Identifier: Apache-2.0 */
/* vguest.h - a guest that speaks vsock through the fake driver, and clients at its listener.
 *
 * For unit tests: what must work is asserted inside. Everything is on the test's thread; calls that
 * send or receive run the loop until it rests.
 */
#ifndef TESTS_FAKE_VGUEST_H
#define TESTS_FAKE_VGUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/vsock_conn.h"

enum { VGUEST_RX, VGUEST_TX, VGUEST_EVENT }; /* queues */
enum {
	VGUEST_RX_BUFS = 32,           /* the device's rx queue size */
	VGUEST_RX_BUF_BYTES = 3776,    /* as Linux has them */
	VGUEST_BUF_BYTES = 256 * 1024, /* a stream's buffer in the guest */
	VGUEST_SERVICE = 1,            /* the guest port behind the listener */
};

struct vguest {
	struct fake f;
	int fds_before;
	int listener;            /* each device has a copy */
	struct sockaddr_un addr; /* of the listener */
	socklen_t addr_len;
	unsigned ready; /* calls of on_ready */
	gpa_t rx_buf[VGUEST_RX_BUFS], tx_hdr, tx_data;
	struct vsock_pkt p;                /* the last packet received ... */
	uint8_t data[VGUEST_RX_BUF_BYTES]; /* ... and its payload */
};

/* ---- life ---- */
struct vguest *vguest_start(uint64_t features); /* driver up (0: all features); no rx buffers yet */
struct vguest *vguest_serve(uint64_t features); /* and with rx buffers, and PORT_READY rung */
void vguest_stop(struct vguest *g);             /* also fails on a leaked descriptor */
bool vguest_is_broken(struct vguest *g);
/* The loop has nothing to do: not even one event that nobody handles. */
bool vguest_is_idle(struct vguest *g);

/* ---- packets ---- */
/* From the guest's src_port to the host's dst_port; other fields may be set before it is sent. */
struct vsock_pkt vguest_packet(enum vsock_op op, uint32_t src_port, uint32_t dst_port);
/* Exposes a packet in tx without a kick; its payload is the first p->len bytes of tx_data. */
void vguest_put(struct vguest *g, const struct vsock_pkt *p);
void vguest_send(struct vguest *g, const struct vsock_pkt *p);
/* From the service to host port `port`. data NULL: whatever tx_data holds. */
void vguest_send_op(struct vguest *g, enum vsock_op op, uint32_t port, uint32_t flags);
void vguest_send_data(struct vguest *g, uint32_t port, const void *data, uint32_t n);
void vguest_send_credit(struct vguest *g, uint32_t port, uint32_t buf_alloc, uint32_t fwd_cnt);
void vguest_ring(struct vguest *g);
/* Sends within credit until neither client nor device takes more. Returns the bytes sent. */
uint32_t vguest_clog(struct vguest *g, uint32_t port);
/* The next packet in rx: its op, or 0. recv gives the buffer back, take does not. */
unsigned vguest_take(struct vguest *g);
unsigned vguest_recv(struct vguest *g);
void vguest_post_rx(struct vguest *g, gpa_t at, uint32_t len);
void vguest_post_all_rx(struct vguest *g);

/* ---- clients: non-blocking sockets ---- */
int vguest_dial(struct vguest *g);
int vguest_dial_open(struct vguest *g, uint32_t *ret_port); /* the guest accepted; its host port */
ssize_t vguest_client_read(int fd, void *buf, size_t n);    /* bytes, 0 at the end, -errno */
size_t vguest_client_fill(int fd, size_t max);              /* writes what the socket takes */
bool vguest_client_is_open(int fd);                         /* and has nothing to read */

#endif
