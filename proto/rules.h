/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - what a message must obey beside its schema: ranges, no NUL in strings, fields that exclude
 * each other. Pure; codec.c applies them to every message it decodes.
 */
#ifndef PROTO_RULES_H
#define PROTO_RULES_H

#include "proto/codec.h"

/* The rule that m breaks, for Error.text; NULL: none. */
must_check const char *rules_client(const Conker__ClientMsg *m);
must_check const char *rules_server(const Conker__ServerMsg *m);

/* Why nothing may be started by that name, which is not empty; NULL: it may. Each way to name an execution (a number,
 * a name, "key:KEY") must mean one thing only, and a list must show what it is. Not a rule of the wire: init answers
 * with Error{EINVAL}, and what was named before there was this check can be listed and ended. */
must_check const char *rules_exec_name(const char *name, size_t len);

#endif
