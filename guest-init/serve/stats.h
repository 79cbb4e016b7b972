/* stats.h - figures about executions and the box, as the protocol tells them. */
#ifndef INIT_SERVE_STATS
#define INIT_SERVE_STATS

#include <stdint.h>

#include "proto/codec.h"

struct server;
struct client;
struct exec;

/* Of all runs of x; of the one that goes on, by a dozen system calls. */
void stats_of_exec(struct server *s, struct exec *x, Conker__Usage *ret);

/* Answers a Stats. */
void stats_send(struct server *s, struct client *c, uint32_t channel);

#endif
