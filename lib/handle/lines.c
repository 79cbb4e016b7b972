/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - output as it comes, or cut into lines.
 *
 * What has no newline yet waits in a buffer of LINE_BYTES per stream, made when it is first needed; a line
 * that does not fit comes in pieces. The bytes were received all the same, so that a command that never
 * writes a newline is not stalled by its window.
 */
#include "lib/handle/exec.h"

#include <stdlib.h>
#include <string.h>

static enum conker_event lines_event(int i)
{
	return i ? CONKER_STDERR : CONKER_STDOUT;
}

static void lines_deliver(conker_exec *e, int i, const uint8_t *data, size_t len)
{
	const conker_event_data d = {.output = {.bytes = data,
						.len = len,
						.offset = e->event_offset,
						.time_us = (int64_t)e->event_time_us}};

	exec_call(e, lines_event(i), &d);
	e->event_offset += len;
}

/* What waits begins an event; its own offset and time go with it. */
static void lines_flush(conker_exec *e, int i)
{
	struct line *l = &e->line[i];
	uint64_t offset = e->event_offset, time_us = e->event_time_us;
	size_t len = l->len;

	e->event_offset = l->offset;
	e->event_time_us = l->time_us;
	l->len = 0;
	lines_deliver(e, i, l->buf, len);
	e->event_offset = offset;
	e->event_time_us = time_us;
}

/* Keeps the n bytes at data for later, delivering what does not fit. */
static void lines_keep(conker_exec *e, int i, const uint8_t *data, size_t n)
{
	struct line *l = &e->line[i];

	if (!l->buf)
		l->buf = malloc(LINE_BYTES);
	if (!l->buf) { /* then in pieces */
		lines_deliver(e, i, data, n);
		return;
	}
	while (n > 0) {
		size_t k = min_(n, LINE_BYTES - l->len);

		if (l->len == 0) {
			l->offset = e->event_offset;
			l->time_us = e->event_time_us;
		}
		memcpy(l->buf + l->len, data, k);
		l->len += k;
		e->event_offset += k;
		data += k;
		n -= k;
		if (l->len == LINE_BYTES)
			lines_flush(e, i);
	}
}

/* One whole line, of which the beginning may have been kept. */
static void lines_whole(conker_exec *e, int i, const uint8_t *data, size_t n)
{
	struct line *l = &e->line[i];

	if (l->len == 0) {
		lines_deliver(e, i, data, n);
		return;
	}
	lines_keep(e, i, data, n);
	if (l->len > 0)
		lines_flush(e, i);
}

void lines_put(conker_exec *e, int i, const uint8_t *data, size_t len)
{
	if (!(e->flags & CONKER_EXEC_LINES)) {
		lines_deliver(e, i, data, len);
		return;
	}
	while (len > 0) {
		const uint8_t *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) + 1 : len;

		if (nl)
			lines_whole(e, i, data, n);
		else
			lines_keep(e, i, data, n);
		data += n;
		len -= n;
	}
}

void lines_end(conker_exec *e, int i)
{
	if (e->line[i].len > 0)
		lines_flush(e, i);
}
