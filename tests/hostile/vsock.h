/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.h - packets to and from the host, honest or not. See guest.h. */
#ifndef TESTS_HOSTILE_VSOCK_H
#define TESTS_HOSTILE_VSOCK_H

#include "tests/hostile/guest.h"

enum { VS_RX, VS_TX, VS_EVENT, RX_SIZE = 32, TX_SIZE = 64 };
enum { HOST_CID = 2, GUEST_CID = 3, TYPE_STREAM = 1 };
enum {
	OP_REQUEST = 1,
	OP_RESPONSE,
	OP_RST,
	OP_SHUTDOWN,
	OP_RW,
	OP_CREDIT_UPDATE,
	OP_CREDIT_REQUEST
};
enum { SHUT_RCV = 1, SHUT_SEND = 2 };
enum { HDR_BYTES = 44, RX_BYTES = 4096, PAYLOAD_BYTES = 70000, HOST_BUF_BYTES = 65536 };
enum {
	PORT_READY = 2,
	PORT_CONTROL = 1,
	PORT_VICTIM = 99
}; /* the guest's are what the test listens for */

struct packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

extern uint8_t vs_payload[PAYLOAD_BYTES]; /* what is sent */

/* Live, with or without rx buffers. */
bool vs_start(struct dev *d);
bool vs_start_mute(struct dev *d);
void vs_post_rx(struct dev *d); /* all buffers */

/* A well-formed packet to the host. */
struct packet vs_packet(uint16_t op, uint32_t src_port, uint32_t dst_port);
/* Sends the header and n bytes of payload, whatever the header says. False: the device broke. */
bool vs_send(struct dev *d, const struct packet *p, uint32_t n);
/* The same without waiting for the buffer to come back, and without a kick: up to TX_SIZE - 1. */
void vs_queue(struct dev *d, const struct packet *p);
/* Waits until all that was queued is taken. */
bool vs_settle(struct dev *d);

/* The next packet, its payload at *ret_data (NULL: not wanted). False: none comes. */
bool vs_recv(struct dev *d, struct packet *ret, const uint8_t **ret_data);
bool vs_recv_now(struct dev *d, struct packet *ret, const uint8_t **ret_data);
/* That packet is the reset that answers p, and came at once after what p was sent with. */
bool vs_is_reset_of(const struct packet *got, const struct packet *p);
/* Nothing waits to be received: the answer to a question asked now comes first. */
bool vs_is_silent(struct dev *d);

/* Streams in every state in which something is pending. */
void stuck_streams(struct dev *d);

#endif
