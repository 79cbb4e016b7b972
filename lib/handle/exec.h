/* SPDX-License-Identifier: Apache-2.0 */
/* exec.h - executions, as one handle sees them. */
#ifndef LIB_HANDLE_EXEC_H
#define LIB_HANDLE_EXEC_H

#include "lib/handle/handle.h"

/* ---- exec.c, start.c, view.c, flow.c, input.c, lines.c: executions -------------------------------------- */

enum exec_fate { FATE_NONE, FATE_EXIT, FATE_LOST, FATE_DETACHED };

enum {
	LINE_BYTES = 64 << 10,        /* a longer line comes in pieces */
	INPUT_QUEUE_BYTES = 64 << 20, /* conker_exec_write_all() refuses more */
};

struct input_block { /* one conker_exec_write_all() */
	struct input_block *next;
	uint64_t end; /* offset in stdin behind its last byte, once all of it was sent */
	size_t len, sent;
	uint8_t data[];
};

/* Bytes of stdin: queued here, sent to the guest, taken by the process. */
struct input {
	uint64_t credit;                   /* the guest takes this many more */
	uint64_t sent, taken;              /* ever */
	struct input_block *first, **last; /* not complete, oldest first */
	size_t queued_bytes;               /* of blocks, not sent yet */
	uint64_t tickets, completed;       /* given out; complete, in whatever way */
	uint64_t failed;                   /* the first ticket that failed; 0: none */
	int error;           /* why, and what a write says from now on: EPIPE or ESRCH */
	int held;            /* nothing is sent before Started says what may be */
	int closed, eof_due; /* by the user; EOF waits for the queue */
	int want_write, writable_due;
	uint64_t told; /* WRITTEN was delivered up to this ticket */
};

struct line { /* the beginning of a line that has no end yet */
	uint8_t *buf;
	size_t len;
	uint64_t offset, time_us;
};

struct conker_exec {
	struct chan chan; /* holds a reference while in the table */
	conker_box *box;
	unsigned refs; /* the handle, the table, the due list, a callback, a call that waits */
	conker_exec_cb cb;
	int cb_running, cb_freed;
	uint32_t flags, window;
	int freed;   /* the handle is gone; its output is taken and dropped */
	int builtin; /* runs a program of init's own */
	int started, existing;
	int view;            /* by conker_exec_attach() */
	int owner;           /* freeing the handle kills it */
	int detaching;       /* Detach was sent */
	enum exec_fate fate; /* how it ended ... */
	int told;            /* ... that fn was told, and is not called again ... */
	int done;            /* ... and that free was called, too: those who wait may go */
	uint64_t id;
	struct due due;

	/* Output per stream, [0] stdout: what came, what the user has, what the guest knows of that. */
	uint64_t received[2], taken[2], credited[2];
	uint64_t next[2]; /* offset that the next byte should have */
	int placed[2];    /* next is known */
	int takes[2];     /* the stream is wanted and exists */
	struct line line[2];
	uint64_t event_offset, event_time_us; /* of the output being delivered */
	struct input in;

	conker_status status;
	enum conker_errkind kind;
	int error;
	char step[STEP_BYTES], text[TEXT_BYTES];
};

/* ---- refs.c ------------------------------------------------------------------------------------------ */

must_check int exec_enter(const conker_exec *x, struct err **ret_e);
void exec_ref(conker_exec *x); /* [locked] */
/* May drop the box's last reference: box_unlock() sees. [locked] */
void exec_unref(conker_exec *x);

/* ---- callback.c -------------------------------------------------------------------------------------- */

/* Runs fn with the lock released. [locked][leader] */
void exec_call(conker_exec *e, enum conker_event ev, const conker_event_data *data);
/* Runs cb.free, once no call of fn can follow. [locked] */
void exec_drop_cb(conker_exec *e);
/* The last event was told. [locked][leader] */
void exec_finish(conker_exec *e);
/* Something is due: WRITABLE, WRITTEN or LOST. [locked] */
void exec_queue(conker_exec *e);

/* ---- lines.c, flow.c, input.c ------------------------------------------------------------------------ */

/* Delivers output, cut into lines if that was asked for. [locked][leader] */
void lines_put(conker_exec *e, int i, const uint8_t *data, size_t len);
void lines_end(conker_exec *e, int i); /* what lacks its newline */
must_check int flow_on_output(conker_exec *e, const Conker__Output *o, const char **ret_why);
must_check int flow_on_exit(conker_exec *e, const Conker__Exit *x, const char **ret_why);
void flow_credit(conker_exec *e); /* [locked] tells the guest what was taken, when it is worth it */
/* The guest took bytes of stdin, or will take none any more. 0 or -EPROTO. [locked][leader] */
must_check int input_on_credit(conker_exec *e, const Conker__Credit *c, const char **ret_why);
void input_on_started(conker_exec *e, const Conker__Started *s); /* [locked][leader] */
void input_pump(conker_exec *e); /* [locked] sends what is queued, queues WRITABLE when it is due */
void input_end(conker_exec *e, int error); /* [locked] nothing will be taken any more */
void input_tell(conker_exec *e);           /* [locked][leader] WRITTEN for what is complete */

/* ---- exec.c ------------------------------------------------------------------------------------------ */

/* A new execution's structure with the channel still closed; NULL: no memory. */
conker_exec *exec_new(conker_box *b, const conker_exec_cb *cb, uint32_t flags, uint32_t window);
/* Opens its channel with m, and hands it out. On failure it is freed. */
must_check int exec_open(conker_exec *x, Conker__ClientMsg *m, conker_exec **ret, struct err *e);
must_check int signal_check(int signo, int scope, struct err *e);

/* ---- start.c ----------------------------------------------------------------------------------------- */

/* As conker_exec_start(), of a program of init's own (proto/files.h). On failure cb->free was not called. */
must_check int exec_start_builtin(conker_box *b, const conker_exec_opts *opts,
				  const conker_exec_cb *cb, conker_exec **ret, struct err *e);

#endif
