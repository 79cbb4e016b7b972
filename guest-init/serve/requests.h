/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what a client can ask. */
#ifndef INIT_SERVE_REQUESTS_H
#define INIT_SERVE_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

struct client;

/* A client_handle_fn(); user is the server. */
int requests_handle(void *user, struct client *c, const uint8_t *msg, size_t len, int is_last);

#endif
