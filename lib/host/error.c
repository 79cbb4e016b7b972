/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - this thread's message, and whether it is inside a callback.
 *
 * Both are thread-local, of fixed size and without a destructor, so that the library can be unloaded.
 */
#include "lib/host/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static _Thread_local struct err thread_err;
static _Thread_local enum conker_errkind thread_kind;
static _Thread_local char thread_step[STEP_BYTES];
static _Thread_local int callback_depth;

struct err *api_enter(void)
{
	thread_err.code = 0;
	thread_err.msg[0] = 0;
	thread_kind = CONKER_ERR_CALL;
	thread_step[0] = 0;
	return &thread_err;
}

int api_kind(enum conker_errkind kind, const char *step, int r)
{
	thread_kind = kind;
	(void)snprintf(thread_step, sizeof(thread_step), "%s", step);
	return r;
}

const char *conker_errmsg(void)
{
	return thread_err.msg;
}

enum conker_errkind conker_errkind(void)
{
	return thread_kind;
}

const char *conker_errstep(void)
{
	return thread_step;
}

int api_may_wait(struct err *e)
{
	if (callback_depth > 0)
		return err_set(e, EDEADLK, "a call that waits was made inside a callback");
	return 0;
}

void api_callback_begin(void)
{
	callback_depth++;
}

void api_callback_end(void)
{
	callback_depth--;
}

int api_descriptors(int r, struct err *e)
{
	struct rlimit l;

	if (r != -EMFILE || getrlimit(RLIMIT_NOFILE, &l) < 0)
		return r;
	const struct err was = *e;
	return err_set(e, EMFILE,
		       "%s; this process may have %llu open (ulimit -n), a box takes up to %d "
		       "and one for each layer of its image",
		       was.msg, (unsigned long long)l.rlim_cur, BOX_DESCRIPTORS);
}

int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
