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
#ifndef INIT_SERVER_H
#define INIT_SERVER_H

#include "guest-init/box.h"
#include "guest-init/cg.h"
#include "guest-init/client.h"
#include "guest-init/exec.h"
#include "guest-init/spawn.h"

enum {
	CLIENTS_MAX = 16,
};

enum ev_kind { KIND_LISTEN, KIND_REAPER, KIND_CLIENT, KIND_EXIT, KIND_OUTPUT, KIND_INPUT };

/* Whose event it is; fits into epoll's 64 bits. */
struct ev_name {
	uint32_t gen;
	uint16_t index; /* of the client or execution */
	uint8_t stream;
	uint8_t kind; /* enum ev_kind */
};
_Static_assert(sizeof(struct ev_name) == sizeof(uint64_t), "epoll_data");

struct server {
	int ep, listen_fd;
	int64_t now_us;       /* at the beginning of the turn */
	int64_t power_off_us; /* 0, or when to end the machine at the latest */
	struct box box;
	struct cg cg;
	uint64_t last_exec_id;
	int n_active;
	uint16_t active[EXEC_MAX]; /* slots that are not free, in no order */
	struct exec exec[EXEC_MAX];
	struct spawn_area spawn;
	char *vec[ARGS_MAX + 8]; /* argv and env of the process being started */
	struct arena arena;
	struct client client[CLIENTS_MAX];

	/* Each on pages of its own, so that using one touches no other. */
	_Alignas(4096) uint8_t arena_mem[ARENA_MAX_BYTES];
	uint8_t inbox_mem[CLIENTS_MAX][INBOX_BYTES];
	uint8_t out_mem[CLIENTS_MAX][OUTBOX_BYTES];
	uint8_t in_mem[EXEC_MAX][STDIN_WINDOW_BYTES];
};

/* Maps a server. NULL: no memory. */
struct server *server_new(void);

/* Serves until a client asks to power off. box and cg are filled already; listen_fd is a listening
 * stream socket, vsock in a machine. -errno when serving cannot go on. */
must_check int server_run(struct server *s, int listen_fd);

/* epoll_ctl(): op is EPOLL_CTL_ADD or _MOD. 0 or -errno. */
must_check int server_watch(struct server *s, int op, int fd, uint32_t events, struct ev_name name);

/* Takes fd out of the epoll set. */
void server_unwatch(struct server *s, int fd);

#endif
