/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - the VMM's event lines, as vmm/README.md lists them, from its owner socket or state file.
 *
 * One line is ours: `stopping`, which the library appends before it asks a guest to power off, so that
 * the power-off which follows is told apart from one that the guest thought of by itself.
 */
#include "lib/host/boxdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/num.h"

static const struct {
	const char *word;
	enum conker_box_state state;
} reasons[] = {
	{"poweroff", CONKER_BOX_POWEROFF}, {"reboot", CONKER_BOX_REBOOT},
	{"panic", CONKER_BOX_PANIC},       {"crash", CONKER_BOX_CRASH},
	{"stopped", CONKER_BOX_STOPPED},   {"error", CONKER_BOX_ERROR},
};

/* Cuts the first word off; returns it. */
static char *word(char **s)
{
	char *w = *s;
	size_t n = strcspn(w, " ");

	*s = w + n;
	if (w[n]) {
		w[n] = 0;
		*s = w + n + 1;
	}
	return w;
}

static void on_exited(struct vm_events *v, char *rest)
{
	const char *why = word(&rest);

	v->over = 1;
	v->end = CONKER_BOX_ERROR;
	for (size_t i = 0; i < countof(reasons); i++)
		if (strcmp(why, reasons[i].word) == 0)
			v->end = reasons[i].state;
	if (v->end == CONKER_BOX_STOPPED && strcmp(rest, "suspended") == 0)
		v->end = CONKER_BOX_SUSPENDED;
	if (v->stopping && v->end == CONKER_BOX_POWEROFF)
		v->end = CONKER_BOX_STOPPED;
	(void)snprintf(v->detail, sizeof(v->detail), "%.*s", REASON_BYTES - 1, rest);
}

static void on_failed(struct vm_events *v, char *rest)
{
	uint64_t code = num_at(word(&rest));

	v->over = 1;
	v->end = CONKER_BOX_ERROR;
	v->error = code > 0 && code < 4096 ? (int)code : EIO;
	(void)snprintf(v->detail, sizeof(v->detail), "%.*s", REASON_BYTES - 1, rest);
}

static void on_unjailed(struct vm_events *v, char *rest)
{
	const char *layer = word(&rest);
	size_t len = strlen(v->unjailed);

	(void)snprintf(v->unjailed + len, sizeof(v->unjailed) - len, "%s%s (%s)", len ? ", " : "",
		       layer, rest);
}

void events_line(struct vm_events *v, char *line)
{
	clean_text(line);
	const char *what = word(&line);

	if (v->over)
		return;
	if (strcmp(what, "started") == 0) {
		v->started = 1;
		v->setup_us = num_at(line);
	} else if (strcmp(what, "ready") == 0) {
		v->ready = 1;
		v->boot_us = num_at(line);
	} else if (strcmp(what, "stopping") == 0) {
		v->stopping = 1;
	} else if (strcmp(what, "life") == 0) {
		v->life_ms = num_at(line);
	} else if (strcmp(what, "unsuspended") == 0) {
		(void)word(&line); /* its number */
		(void)snprintf(v->unsuspended, sizeof(v->unsuspended), "%.*s", REASON_BYTES - 1,
			       line);
	} else if (strcmp(what, "unjailed") == 0) {
		on_unjailed(v, line);
	} else if (strcmp(what, "exited") == 0) {
		on_exited(v, line);
	} else if (strcmp(what, "failed") == 0) {
		on_failed(v, line);
	}
}

void events_feed(struct vm_events *v, struct line_buf *lb, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (buf[i] != '\n') {
			if (lb->len < sizeof(lb->buf) - 1)
				lb->buf[lb->len++] = buf[i];
			continue;
		}
		lb->buf[lb->len] = 0;
		lb->len = 0;
		events_line(v, lb->buf);
	}
}

int events_load(struct vm_events *v, int dirfd)
{
	enum { STATE_MAX_BYTES = 64 << 10 };
	struct line_buf lb = {0};
	char buf[1024];
	size_t total = 0;
	ssize_t n = 0;

	memset(v, 0, sizeof(*v));
	auto_close int fd = openat(dirfd, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while (total < STATE_MAX_BYTES && (n = read(fd, buf, sizeof(buf))) > 0) {
		events_feed(v, &lb, buf, (size_t)n);
		total += (size_t)n;
	}
	return n < 0 ? -errno : 0;
}

void events_reason(const struct vm_events *v, int dirfd, char *ret, size_t size)
{
	char line[REASON_BYTES] = "";

	switch (v->end) {
	case CONKER_BOX_POWEROFF:
		console_farewell(dirfd, line, sizeof(line));
		(void)snprintf(ret, size, "%s", *line ? line : "the guest powered off");
		return;
	case CONKER_BOX_REBOOT: (void)snprintf(ret, size, "the guest rebooted"); return;
	case CONKER_BOX_PANIC:
		if (console_panic(dirfd, line, sizeof(line)))
			(void)snprintf(ret, size, INIT_GAVE_UP "%s", line);
		else
			(void)snprintf(ret, size, "the guest kernel panicked%s%s",
				       *line ? ": " : "", line);
		return;
	case CONKER_BOX_CRASH:
		(void)snprintf(ret, size, "the guest crashed (triple fault)");
		return;
	case CONKER_BOX_STOPPED:
		(void)snprintf(ret, size, "stopped%s%s", *v->detail ? ": " : "", v->detail);
		return;
	case CONKER_BOX_ERROR: (void)snprintf(ret, size, "%s", v->detail); return;
	case CONKER_BOX_SUSPENDED: (void)snprintf(ret, size, "suspended"); return;
	case CONKER_BOX_KILLED: (void)snprintf(ret, size, "its conker-vmm was killed"); return;
	case CONKER_BOX_RUNNING:
		if (*v->unsuspended)
			(void)snprintf(ret, size, "could not suspend itself: %.*s",
				       REASON_BYTES - 32, v->unsuspended);
		else
			*ret = 0;
		return;
	case CONKER_BOX_STARTING: break;
	}
	*ret = 0;
}
