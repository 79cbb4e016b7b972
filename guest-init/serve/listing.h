/* list.h - what can be asked about executions: List, Attach, Detach, Forget, Signal; and how an Exit is
 * made up.
 *
 * A List may be longer than its client's outbox: it stops when that is full, goes on when it has room,
 * and no other request of that client is looked at until it is through.
 */
#ifndef INIT_SERVE_LISTING
#define INIT_SERVE_LISTING

#include "proto/codec.h"

struct server;
struct client;
struct exec;
struct view;

/* The Exit of x as it is now, for a view's channel. */
void list_send_exit(struct server *s, struct exec *x, struct client *c, uint32_t channel);

/* Its status now. A system call for one that runs. */
must_check Conker__Status list_status(const struct exec *x);

/* Error, to a request for an execution that is not known, or for which it is too late. */
void list_no_such(struct client *c, uint32_t channel, const Conker__ExecRef *ref);
void list_has_ended(struct client *c, uint32_t channel, const struct exec *x);

/* Requests; they answer by themselves. */
void list_begin(struct server *s, struct client *c, uint32_t channel, const Conker__List *m);
void list_attach(struct server *s, struct client *c, uint32_t channel, const Conker__Attach *m);
void list_detach(struct server *s, struct view *v);
void list_forget(struct server *s, struct client *c, uint32_t channel, const Conker__Forget *m);
void list_signal(struct server *s, struct client *c, uint32_t channel, const Conker__Signal *m);

/* Of Start with a key that is known: the channel becomes a view of x from its first byte kept. */
void list_start_existing(struct server *s, struct client *c, uint32_t channel, struct exec *x,
			 const Conker__Start *m);

/* Started, for any view. A lazy one waits for company. */
void list_send_started(struct server *s, struct view *v, int existing);

/* c has room again. */
void list_go_on(struct server *s, struct client *c);

#endif
