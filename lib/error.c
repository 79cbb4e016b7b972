/* error.c - this thread's message, and whether it is inside a callback.
 *
 * Both are thread-local, of fixed size and without a destructor, so that the library can be unloaded.
 */
#include "lib/internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static _Thread_local struct err thread_err;
static _Thread_local int callback_depth;

struct err *api_enter(void)
{
	thread_err.code = 0;
	thread_err.msg[0] = 0;
	return &thread_err;
}

const char *conker_errmsg(void)
{
	return thread_err.msg;
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

void text_clean(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
