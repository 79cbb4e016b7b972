/* clients.h - one connection: frames in, frames out.
 *
 * A client that breaks the protocol is told why and cut off; nobody else notices. One that sends
 * requests without reading the answers is no longer read; one that does not read output stalls the
 * executions that it watches losslessly.
 */
#ifndef INIT_SERVE_CLIENTS
#define INIT_SERVE_CLIENTS

#include "guest-init/exec/execution.h"
#include "guest-init/exec/outbox.h"
#include "guest-init/exec/views.h"

enum {
	INBOX_BYTES = FRAME_MAX_BYTES + 4096, /* the largest frame with its header, in pages */
	READ_BYTES = 128 << 10,               /* asked of a client's socket at once */
	OUTBOX_BYTES = 1 << 20,
	OUTBOX_DATA_BYTES = 256 << 10, /* output is not read while more than this is pending */
	/* A request is not looked at while less is free, and List goes on only then. It is room for one
	 * answer (at most 4 KiB), and for the Exit and the dropped Credit that each view may have to say
	 * without being asked (less than 350 bytes). */
	OUTBOX_REPLY_BYTES = VIEWS_MAX * 512,
	KEEP_BYTES = 32 << 10, /* of each buffer, for the next client; more is given back */
	RESTING_MS = 1000,     /* a client without a conversation may then give way to another */
	LAZY_MS = 50,          /* how long a frame that nobody waits for may wait for company */
	POWER_OFF_MS = 100,    /* for Done to arrive before the lights go */
};

/* A List that is being answered. */
struct client_list {
	int active, all, usage;
	uint32_t channel;
	uint64_t next_id;
};

struct client {
	int fd; /* -1: free */
	uint32_t gen;
	uint32_t events; /* what epoll watches for */
	int greeted;
	int wants_write;    /* the socket took less than all */
	int backlog;        /* requests in the inbox wait for room in the outbox */
	int waits;          /* a Start, and what follows it, waits for the thaw */
	int stalled;        /* output of a view, or credit, does */
	int big;            /* the inbox had a large message in it: give the pages back */
	int is_using;       /* has started, attached or waited for something */
	int urgent;         /* what is pending should go out in this turn */
	int64_t lazy_us;    /* when it goes out otherwise */
	int64_t heard_us;   /* when it last said something */
	uint32_t n_freezes; /* when it came */
	uint32_t turn;      /* which view goes on first when there is room */
	struct client_list list;
	size_t in_len;
	uint8_t *in; /* INBOX_BYTES */
	struct outbox out;
};

/* Queues one frame for c; the outbox must have room, which OUTBOX_REPLY_BYTES sees to. A lazy one
 * travels with the next that is not, or LAZY_MS later. */
void client_send(struct client *c, const Conker__ServerMsg *m);
void client_send_lazy(struct server *s, struct client *c, const Conker__ServerMsg *m);
void client_done(struct client *c, uint32_t channel);
/* Of a Freeze: with the host's port of the connection. */
void client_done_frozen(struct client *c, uint32_t channel);
/* Of the request that is being handled: travels with the answer to what is pipelined behind it, if there is
 * something. */
void client_done_lazy(struct server *s, struct client *c, uint32_t channel);
void client_error(struct client *c, uint32_t channel, int code, const char *step, const char *text);

/* A new connection; takes fd over (non-blocking). Too many: one that rests gives way; else this one is told, and closed. */
void client_open(struct server *s, int fd);

/* Ends it, its views, and what it started and did not detach. */
void client_close(struct server *s, struct client *c);

void client_on_event(struct server *s, struct client *c, uint32_t revents);

/* Sends what is pending for anybody, as far as it leaves at once; closes nobody, handles no requests. */
void client_push_all(struct server *s);

/* The box is thawed: what waited for that goes on. */
void client_go_on_all(struct server *s);

/* Sends what is pending. May close c. */
void client_flush(struct server *s, struct client *c);

#endif
