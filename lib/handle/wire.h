/* wire.h - frames to and from guest-init (wire.c). */
#ifndef LIB_HANDLE_WIRE_H
#define LIB_HANDLE_WIRE_H

#include "lib/host/api.h"
#include "proto/codec.h"

enum chan_kind { CHAN_EXEC, CHAN_REQUEST };

struct chan { /* one conversation; embedded in conker_exec or struct request */
	struct chan *next;
	uint32_t number; /* 0: not in the table */
	enum chan_kind kind;
};

struct out { /* bytes the socket has not taken yet: buf[head..tail) */
	uint8_t *buf;
	size_t head, tail, cap;
};

enum { CHAN_BUCKETS = 64 };

/* ---- wire.c: frames out and in ---------------------------------------------------------------------- */

enum {
	OUT_DATA_BYTES = 512 << 10,  /* stdin is refused when this much is buffered */
	OUT_START_BYTES = 8 << 20,   /* starts and requests likewise */
	OUT_CONTROL_BYTES = 9 << 20, /* signals, sizes and credit likewise */
};

must_check int wire_connect(conker_box *b, struct err *e);
must_check int wire_begin(conker_box *b); /* says Hello on b->conn, a connected stream socket */
void chan_add(conker_box *b, struct chan *c, enum chan_kind kind); /* [locked] */
void chan_del(conker_box *b, struct chan *c);                      /* [locked] */
struct chan *chan_find(conker_box *b, uint32_t number);            /* [locked] */
size_t wire_room(const conker_box *b, size_t limit); /* [locked] bytes below the limit */
/* Sends or buffers. -EAGAIN: more than limit would be buffered; -ENOMEM; -E2BIG. [locked] */
must_check int wire_send(conker_box *b, const Conker__ClientMsg *m, size_t limit);
void wire_flush(conker_box *b);       /* [locked] */
void wire_on_readable(conker_box *b); /* [leader] */
void wire_stop(conker_box *b);        /* [locked] no byte more in either direction */
void out_free(struct out *o);

#endif
