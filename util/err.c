/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - see err.h. */
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/clean.h"

/* Messages name files, boxes and what a guest said: whatever is in them, they end up on a terminal. */

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -code;
	va_start(ap, fmt);
	e->code = code;
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	clean_text(e->msg);
	return -code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
	int code = errno;
	va_list ap;

	if (!e)
		return -code;
	va_start(ap, fmt);
	e->code = code;
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);

	size_t n = strlen(e->msg);
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(code));
	clean_text(e->msg);
	return -code;
}

int err_wrap(struct err *e, int r, const char *fmt, ...)
{
	char inner[ERR_MSG_BYTES];
	va_list ap;

	if (!e)
		return r;
	memcpy(inner, e->msg, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);

	size_t n = strlen(e->msg);
	if (inner[0])
		(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", inner);
	clean_text(e->msg);
	return r;
}
