/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - figures of the box, as the protocol tells them. */
#ifndef INIT_SERVE_STATS_H
#define INIT_SERVE_STATS_H

#include <stdint.h>

struct server;
struct outbox;

/* Answers a Stats. */
void stats_send(struct server *s, struct outbox *out, uint32_t channel);

#endif
