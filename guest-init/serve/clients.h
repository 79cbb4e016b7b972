/* SPDX-License-Identifier: Apache-2.0 */
/* clients.h - connections: frames in, frames out.
 *
 * A client that breaks the protocol is told why and cut off; nobody else notices. One that sends
 * requests without reading the answers is no longer read; one that does not read output stalls the
 * executions that it watches losslessly.
 *
 * What a message asks for is not known here: each goes to `handle`, in the order in which they came.
 */
#ifndef INIT_SERVE_CLIENTS_H
#define INIT_SERVE_CLIENTS_H

#include "guest-init/exec/execs.h"
#include "guest-init/serve/freezer.h"
#include "guest-init/serve/listing.h"
#include "guest-init/serve/ports.h"

/* A quiet client costs a descriptor and three pages; one that does not read what it asked for up to OUTBOX_DATA_BYTES of
 * output and the answers, one that sends a large request up to INBOX_BYTES, until it is gone. */
enum {
	CLIENTS_USING_MAX = 64, /* that have started, attached or waited for something */
	CLIENTS_MAX = CLIENTS_USING_MAX + 8,  /* and room for those that look and end */
	INBOX_BYTES = FRAME_MAX_BYTES + 4096, /* the largest frame with its header, in pages */
	READ_BYTES = 128 << 10,               /* asked of a client's socket at once */
	OUTBOX_BYTES = 1 << 20,
	KEEP_BYTES = 32 << 10, /* of each buffer, for the next client; more is given back */
	RESTING_MS = 1000,     /* a client without a conversation may then give way to another */
};

struct client {
	int fd; /* -1: free */
	uint32_t gen;
	uint32_t events; /* what epoll watches for */
	int greeted;
	int wants_write;    /* the socket took less than all */
	int backlog;        /* requests in the inbox wait for room in the outbox */
	int waits;          /* a Start, and what follows it, waits for the thaw */
	int big;            /* the inbox had a large message in it: give the pages back */
	int is_using;       /* has started, attached or waited for something */
	int64_t heard_us;   /* when it last said something */
	uint32_t n_freezes; /* when it came */
	struct listing list;
	size_t in_len;
	uint8_t *in; /* INBOX_BYTES */
	struct outbox out;
};

/* One message, as it came. 0; -EAGAIN: it must wait for the thaw; else the connection ends, and its client has been
 * told why. is_last: nothing is behind it. */
typedef int client_handle_fn(void *user, struct client *c, const uint8_t *msg, size_t len,
			     int is_last);

struct clients {
	struct poller *poller;
	struct execs *execs;
	struct freezer *freezer;
	struct awaits *awaits;
	client_handle_fn *handle;
	void *user;   /* its argument */
	uint8_t kind; /* of their events */
	uint64_t refused_frames;
	unsigned n_slots; /* client[0 .. n_slots) were used at least once */
	unsigned n_using, n_waiting, n_closed;
	struct client client[CLIENTS_MAX];
	_Alignas(4096) uint8_t in_mem[CLIENTS_MAX][INBOX_BYTES];
	uint8_t out_mem[CLIENTS_MAX][OUTBOX_BYTES];
};

/* A new connection; takes fd over (non-blocking). Too many: one that rests gives way; else this one is told, and closed. */
void clients_accept(struct clients *t, int fd);

/* Event of client number `index`, generation gen. */
void clients_on_event(struct clients *t, struct ev_name name, uint32_t revents);

/* It uses the box from now on. 0: too many do, and it has been told so. */
must_check int client_admit(struct clients *t, struct client *c, uint32_t channel);

/* The host's port of the connection, 0: it has none. */
must_check uint32_t client_host_port(const struct client *c);

/* Once a turn: sends what is pending, as far as it leaves; requests and output that waited for that go on. */
void clients_flush(struct clients *t);

/* Sends what is pending for anybody, as far as it leaves at once; closes nobody, handles no requests. */
void clients_push(struct clients *t);

/* Whether clients_flush() has something to do. */
must_check int clients_have_news(const struct clients *t);

/* The box is thawed: what waited for that goes on. */
void clients_go_on(struct clients *t);

/* After a Resume: ends those that came before the last freeze, but one. */
void clients_drop_old(struct clients *t, const struct client *except);

must_check unsigned clients_count(const struct clients *t);

#endif
