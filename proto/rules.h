/* rules.h - what a message must obey beside its schema: ranges, no NUL in strings, fields that exclude
 * each other. Pure; codec.c applies them to every message it decodes.
 */
#ifndef PROTO_RULES_H
#define PROTO_RULES_H

#include "proto/codec.h"

/* The rule that m breaks, for Error.text; NULL: none. */
must_check const char *rules_client(const Conker__ClientMsg *m);
must_check const char *rules_server(const Conker__ServerMsg *m);

#endif
