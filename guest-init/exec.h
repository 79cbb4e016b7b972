/* exec.h - executions: from Start to Exit.
 *
 * An execution owns its pidfd, its ends of the pipes (or the terminal's master) and a cgroup. The
 * client that started it owns it: when that client goes, so does the execution. exec.c is the only
 * place that knows.
 *
 * Output is read when three agree: epoll (there is something), the client's credit, and room in
 * the client's outbox. When one of the latter is missing, the descriptor leaves the epoll set (a mask of 0
 * would not do: a hang-up is reported regardless) and comes back with credit or room.
 *
 * The pipes stay in blocking mode on both ends, which saves two calls: init reads once per event, and
 * such a read cannot block.
 */
#ifndef INIT_EXEC_H
#define INIT_EXEC_H

#include <stdint.h>
#include <sys/types.h>

#include "guest-init/exec_fsm.h"
#include "guest-init/flow.h"
#include "proto/codec.h"

enum {
	EXEC_MAX = 512,
	EXEC_ARGV_BYTES = 512, /* of argv kept for List; longer ones are cut at an argument */
	DRAIN_CHECK_MS = 50,   /* first look, when output does not end; the next ones come later */
	DRAIN_CHECK_MAX_MS = 1000,
	KILL_AGAIN_MS = 1000,
};

struct server;
struct client;
struct ev_name;

/* One output: a pipe, or a terminal's master. */
struct exec_out {
	struct out_flow flow;
	int fd;    /* -1: ended */
	int armed; /* in the epoll set */
};

struct exec {
	enum exec_state state;
	uint32_t gen; /* counts the uses of this slot: tells a late event from one of ours */
	uint32_t channel;
	struct client *client; /* who started it; NULL: gone */
	uint64_t id;
	pid_t pid, box_pid;
	int pidfd; /* -1: reaped */
	int cg;
	int tty; /* out[0].fd is a terminal's master, and stdin goes there too */

	struct exec_out out[2]; /* STDOUT, STDERR */
	int in_fd;              /* -1: closed */
	int in_armed, in_eof;   /* waits for room in the pipe; close it once the queue is empty */
	int in_used;            /* the queue's memory was touched */
	struct in_flow in;

	int64_t start_us, deadline_us; /* deadline of the current state; 0: none */
	uint32_t timeout_ms, grace_ms, check_ms;
	int timed_out;
	int code, signo;
	int64_t end_us, user_us, sys_us, max_rss_kib;

	char name[NAME_MAX_BYTES + 1];
	uint16_t n_argv, argv_len;
	char argv[EXEC_ARGV_BYTES]; /* n_argv strings */
};

/* Requests, each from a client on a channel. They answer by themselves. Negative: the client broke the
 * protocol, *ret_why says how. */
void exec_start(struct server *s, struct client *c, uint32_t channel, const Conker__Start *m);
must_check int exec_stdin(struct server *s, struct exec *x, const Conker__Stdin *m,
			  const char **ret_why);
void exec_credit(struct server *s, struct exec *x, const Conker__Credit *m);
void exec_resize(struct exec *x, const Conker__Resize *m);
must_check int exec_signal(struct server *s, struct exec *x, int signo, Conker__Scope scope);
void exec_list(struct server *s, struct client *c, uint32_t channel);

/* The running execution that c started on channel, or that has this id; NULL when there is none. */
struct exec *exec_by_channel(struct server *s, const struct client *c, uint32_t channel);
struct exec *exec_by_id(struct server *s, uint64_t id);

/* Events from the loop. */
void exec_on_exit(struct server *s, struct exec *x);
void exec_on_output(struct server *s, struct exec *x, int stream, uint32_t revents);
void exec_on_input(struct server *s, struct exec *x);
void exec_on_timer(struct server *s, struct exec *x);

/* Kills everything there is, for the end of the machine. */
void exec_kill_all(struct server *s);

/* For start.c: the execution runs; or it does not, and its slot with everything in it is free again. */
void exec_started(struct server *s, struct exec *x);
void exec_release(struct server *s, struct exec *x);

/* Adds one of its descriptors to the epoll set; kind and stream of name are the caller's. */
must_check int exec_watch(struct server *s, const struct exec *x, int fd, uint32_t events,
			  struct ev_name name);

/* The client's outbox has room again: what waited for it goes on. */
void exec_resume(struct server *s, struct client *c);

/* The client has gone: everything it started is killed. */
void exec_client_gone(struct server *s, struct client *c);

#endif
