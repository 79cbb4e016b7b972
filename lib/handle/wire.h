/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - frames to and from guest-init over one connection, which many conversations share (wire.c).
 *
 * The wire knows neither executions nor boxes: a message goes to whoever owns the conversation (struct chan_ops), and
 * what becomes of the connection to whoever owns the wire (struct wire_ops).
 */
#ifndef LIB_HANDLE_WIRE_H
#define LIB_HANDLE_WIRE_H

#include "lib/host/api.h"
#include "proto/codec.h"

enum {
	CHAN_BUCKETS = 64,
	OUT_DATA_BYTES = 512 << 10,  /* stdin is refused when this much is buffered */
	OUT_START_BYTES = 8 << 20,   /* starts and requests likewise */
	OUT_CONTROL_BYTES = 9 << 20, /* signals, sizes and credit likewise */
};

struct chan;
struct wire;

struct chan_ops { /* what one kind of conversation does */
	/* One message for it. 0 or -EPROTO with *ret_why. [locked][leader] */
	int (*on_msg)(struct chan *c, const Conker__ServerMsg *m, const char **ret_why);
	/* Nothing more will be said: it leaves the table. [locked] */
	void (*on_lost)(struct chan *c, int code, const char *reason);
	/* NULL, or: the outgoing buffer has room again. [locked] */
	void (*on_drain)(struct chan *c);
};

struct chan { /* one conversation; embedded in conker_exec or struct request */
	struct chan *next;
	uint32_t number; /* 0: not in the table */
	const struct chan_ops *ops;
};

struct wire_ops { /* what the owner of the wire does. [leader], without the lock */
	/* A message of a conversation. 0 or -EPROTO with *ret_why. */
	int (*on_msg)(struct wire *w, const Conker__ServerMsg *m, const char **ret_why);
	/* The guest broke the protocol, or turned us away: the owner stops the wire. */
	void (*on_lost)(struct wire *w, int code, const char *reason);
	/* There is nothing more to be read. */
	void (*on_end)(struct wire *w);
};

struct out { /* bytes the socket has not taken yet: buf[head..tail) */
	uint8_t *buf;
	size_t head, tail, cap;
};

struct wire {
	const struct wire_ops *ops;
	int ep, conn;
	uint64_t tag; /* of the connection's events in the epoll ep */

	struct out out;
	int over;         /* no byte more goes either way; the fd stays until the end */
	int out_armed;    /* EPOLLOUT is asked for */
	int drain_wanted; /* someone waits for the buffer to drain */

	uint8_t *in; /* [leader] bytes received, in_len of them */
	size_t in_len;
	struct arena arena; /* [leader] */
	int hello_seen;     /* [leader] */

	struct chan *chans[CHAN_BUCKETS];
	uint32_t last_number;
};

void wire_init(struct wire *w, const struct wire_ops *ops);
void wire_fini(struct wire *w); /* the descriptors are the owner's */
/* Says Hello on w->conn, a connected stream socket, whose events ep then has. [locked] */
must_check int wire_begin(struct wire *w, int ep, uint64_t tag);
void chan_add(struct wire *w, struct chan *c, const struct chan_ops *ops); /* [locked] */
void chan_del(struct wire *w, struct chan *c);                             /* [locked] */
struct chan *chan_find(struct wire *w, uint32_t number);                   /* [locked] */
/* Text as a field of a message, which only reads it. NULL is empty. */
ProtobufCBinaryData wire_text(const char *s);
size_t wire_room(const struct wire *w, size_t limit); /* [locked] bytes below the limit */
/* Sends or buffers. -EAGAIN: more than limit would be buffered; -ENOMEM; -E2BIG. [locked] */
must_check int wire_send(struct wire *w, const Conker__ClientMsg *m, size_t limit);
/* The same with a number of its own: nobody waits for the answer. [locked] */
must_check int wire_send_aside(struct wire *w, Conker__ClientMsg *m, size_t limit);
void wire_flush(struct wire *w);       /* [locked] */
void wire_on_readable(struct wire *w); /* [leader] */
void wire_stop(struct wire *w);        /* [locked] no byte more in either direction */
/* Every conversation ends. [locked] */
void wire_lose_all(struct wire *w, int code, const char *reason);

#endif
