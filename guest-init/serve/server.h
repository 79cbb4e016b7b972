/* server.h - init after start-up: one thread, one epoll set, many clients, many executions.
 *
 * Order of one turn:
 *   1. wait for events or the nearest deadline;
 *   2. handle each event: accept, read requests, pump streams, reap;
 *   3. handle passed deadlines;
 *   4. send: one write per client that has something to say.
 *
 * An event carries no pointer but {kind, stream, index, generation}: one that is already in
 * the batch when its object goes away no longer matches and is dropped.
 *
 * Nothing is allocated after start: the whole server is one mapping. Most of it is buffers that are never
 * touched in a quiet box, and an untouched page costs nothing.
 */
#ifndef INIT_SERVE_SERVER
#define INIT_SERVE_SERVER

#include "guest-init/sys/namespaces.h"
#include "guest-init/sys/cg.h"
#include "guest-init/serve/clients.h"
#include "guest-init/exec/execution.h"
#include "guest-init/serve/forwards.h"
#include "guest-init/serve/freezer.h"
#include "guest-init/serve/idle.h"
#include "guest-init/exec/log.h"
#include "guest-init/serve/ports.h"
#include "guest-init/exec/pipes.h"
#include "guest-init/sys/child.h"
#include "guest-init/exec/views.h"

/* A quiet client costs a descriptor and three pages; one that does not read what it asked for up to OUTBOX_DATA_BYTES of
 * output and the answers, one that sends a large request up to INBOX_BYTES, until it is gone. */
enum {
	CLIENTS_USING_MAX = 64, /* that have started, attached or waited for something */
	CLIENTS_MAX = CLIENTS_USING_MAX + 8, /* and room for those that look and end */
};

enum ev_kind {
	KIND_LISTEN,
	KIND_REAPER,
	KIND_CLIENT,
	KIND_EXIT,
	KIND_OUTPUT,
	KIND_INPUT,
	KIND_FORWARD_LISTEN,
	KIND_FORWARD,
	KIND_GROUP,   /* cgroup.events of an execution that left children */
	KIND_FREEZER, /* and of the box */
};

/* Whose event it is; fits into epoll's 64 bits. */
struct ev_name {
	uint32_t gen;
	uint16_t index; /* of the client, execution or forwarded connection */
	uint8_t stream;
	uint8_t kind; /* enum ev_kind */
};
_Static_assert(sizeof(struct ev_name) == sizeof(uint64_t), "epoll_data");

/* A process that has been made, and may not run its program yet: exec_start_finish(). */
struct starting {
	struct exec *x; /* NULL: there is none */
	struct client *client;
	uint32_t channel;
	const Conker__Start *m;
	struct child_result process;
};

struct server {
	int ep, listen_fd;
	int forward_listen_fd; /* 0: nothing is forwarded */
	int64_t now_us;        /* at the beginning of the turn */
	int64_t power_off_us;  /* 0, or when to end the machine at the latest */
	struct namespaces box;
	struct cg cg;
	const char *self_path; /* init's own executable, as init sees it */
	int self_fd;           /* 0, or its copy for programs of init's own: self.h */
	uint64_t last_exec_id; /* also how many were ever started */
	uint64_t refused_frames;
	struct awaits awaits;
	struct idle idle;
	struct freeze freeze;
	int n_forwards;
	uint32_t forward_turns;
	struct forward forward[FORWARDS_MAX];

	/* exec[0 .. n_slots) were used at least once: live, ended or free. */
	unsigned n_slots, n_live, n_ended, n_free;
	uint16_t live[EXEC_MAX];  /* in no order */
	uint16_t free[SLOTS_MAX]; /* a stack: the last one used is the warmest */
	struct exec *oldest_ended, *newest_ended;
	struct exec *young; /* NULL, or the last one started: wait_young() */
	struct starting starting;
	struct exec exec[SLOTS_MAX];
	struct view_table views;
	struct log_store log; /* two a slot */
	const uint8_t *msg;   /* the message that is being handled */
	size_t msg_len;

	struct pipes pipes;
	struct child_area spawn;
	char *vec[ARGS_MAX + 8]; /* argv and env of the process being started */
	char term[TERM_MAX_BYTES + 8];
	struct arena arena;
	/* client[0 .. n_client_slots) were used at least once. */
	unsigned n_client_slots, n_using;
	struct client client[CLIENTS_MAX];

	/* Each on pages of its own, so that using one touches no other. */
	_Alignas(4096) uint8_t arena_mem[ARENA_MAX_BYTES];
	uint8_t inbox_mem[CLIENTS_MAX][INBOX_BYTES];
	uint8_t out_mem[CLIENTS_MAX][OUTBOX_BYTES];
	uint8_t in_mem[SLOTS_MAX][STDIN_WINDOW_BYTES];
	uint8_t log_mem[LOG_STORE_MAX_BYTES];
	uint8_t forward_mem[FORWARDS_MAX][2][FORWARD_BUF_BYTES];
	uint8_t stage[4096 + FRAME_DATA_BYTES]; /* output on its way: OUTPUT_HEAD_BYTES, data */
};
_Static_assert(LOGS_MAX == 2 * SLOTS_MAX, "two logs a slot");

/* Behind the last client there was. */
#define clients_end(s) ((s)->client + (s)->n_client_slots)

/* Maps a server, with a log store in proportion to the machine's memory. NULL: no memory. */
struct server *server_new(void);

/* Serves until a client asks to power off. box and cg are filled already; listen_fd is a listening
 * stream socket, vsock in a machine. -errno when serving cannot go on. */
must_check int server_run(struct server *s, int listen_fd);

/* epoll_ctl(): op is EPOLL_CTL_ADD or _MOD. 0 or -errno. */
must_check int server_watch(struct server *s, int op, int fd, uint32_t events, struct ev_name name);

/* The execution was started just now: it is waited for without the epoll set's help for a while, which for
 * short commands saves putting its descriptors in there. 0: there is another one. */
int server_take_young(struct server *s, struct exec *x);

/* It grew up, or its output shall not be read for now: into the epoll set with it. */
void server_graduate(struct server *s);

/* Takes fd out of the epoll set. */
void server_unwatch(struct server *s, int fd);

#endif
