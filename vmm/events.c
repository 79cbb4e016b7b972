/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - see events.h.
 *
 * #syscalls loop: write sendto
 */
#include "vmm/events.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/util.h"

static const struct {
	const char *name;
	int status;
} reasons[] = {
	[EXIT_NONE] = {"none", STATUS_FAILED}, [EXIT_POWEROFF] = {"poweroff", 0},
	[EXIT_REBOOT] = {"reboot", 3},         [EXIT_PANIC] = {"panic", 4},
	[EXIT_CRASH] = {"crash", 5},           [EXIT_STOPPED] = {"stopped", 0},
	[EXIT_ERROR] = {"error", 6},
};
_Static_assert(countof(reasons) == EXIT_REASONS, "each reason has a name and a status");

const char *exit_reason_name(enum exit_reason r)
{
	assert(r < EXIT_REASONS);
	return reasons[r].name;
}

int exit_reason_status(enum exit_reason r)
{
	assert(r < EXIT_REASONS);
	return reasons[r].status;
}

void events_emit(const struct events *ev, const char *fmt, ...)
{
	char line[ERR_MSG_BYTES + 64];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	for (char *p = line; (p = strchr(p, '\n'));) /* a message can never look like two events */
		*p = ' ';

	size_t len = strlen(line);
	line[len++] = '\n';
	if (ev->state_fd >= 0)
		(void)!write(ev->state_fd, line, len);
	if (ev->owner_fd >= 0)
		(void)!send(ev->owner_fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (ev->state_fd < 0 && ev->owner_fd < 0)
		(void)!write(STDERR_FILENO, line, len);
}
