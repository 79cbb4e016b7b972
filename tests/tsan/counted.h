/* SPDX-License-Identifier: Apache-2.0 */
/* counted.h - executions whose callbacks are counted, for the plain programs that use the library from threads.
 *
 * Everything is static; `box` is what start() starts on.
 */
#ifndef TESTS_TSAN_COUNTED_H
#define TESTS_TSAN_COUNTED_H

#include <stdio.h>
#include <stdlib.h>

#include "lib/conker.h"
#include "tests/lib/fakeinit.h"

enum { LIMIT_MS = 20000 };

static conker_box *box;

#define CHECK(x)                                                                   \
	do {                                                                       \
		if (!(x)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __func__, __LINE__, #x, \
				conker_errmsg());                                  \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

struct count {
	size_t bytes;
	int ends, frees;
};

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct count *c = user;

	(void)e;
	if (ev == CONKER_STDOUT)
		c->bytes += data->output.len;
	c->ends += ev == CONKER_EXIT || ev == CONKER_LOST;
}

static void on_free(void *user)
{
	((struct count *)user)->frees++;
}

static conker_exec *start(struct count *c, uint32_t flags, const char *const *argv)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = argv, .flags = flags};
	conker_exec_cb cb = {on_event, c, on_free};
	conker_exec *e = NULL;

	CHECK(conker_exec_start(box, &o, cb, &e) == 0);
	return e;
}

#endif
