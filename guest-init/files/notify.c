/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - watch: what happens to a file, or to the names in a directory, as it happens.
 *
 * inotify queues what we do not fetch, up to a limit of its own, and then says that it lost something; so a
 * reader that is slow sees an OVERFLOW, and this process never holds more than one read of events.
 */
#include "guest-init/files/operations.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "proto/files.h"
#include "util/cleanup.h"

enum {
	EVENTS_BYTES = 16 << 10,
	WATCHED = IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
		  IN_DELETE_SELF | IN_MOVE_SELF,
	GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED,
};

static const struct {
	uint32_t mask;
	enum files_change change;
} changes[] = {
	{IN_Q_OVERFLOW, FILES_OVERFLOW},  {IN_CREATE, FILES_CREATED},
	{IN_CLOSE_WRITE, FILES_MODIFIED}, {IN_ATTRIB, FILES_MODIFIED},
	{IN_DELETE, FILES_REMOVED},       {IN_MOVED_FROM, FILES_MOVED_FROM},
	{IN_MOVED_TO, FILES_MOVED_TO},
};

static int say(enum files_kind kind, enum files_change change, const char *name)
{
	static uint8_t buf[FILES_RECORD_MAX];
	struct files_record r = {.kind = kind, .change = change, .name = name, .target = ""};
	int n = files_put(&r, buf);

	return n < 0 ? n : files_send(buf, (size_t)n);
}

static int notify_event(const struct inotify_event *ev, const char *path)
{
	for (size_t i = 0; i < countof(changes); i++)
		if (ev->mask & changes[i].mask)
			return say(FILES_CHANGE, changes[i].change, ev->len ? ev->name : path);
	return ev->mask & GONE ? -ENOENT : 0;
}

static int follow(int fd, const char *path)
{
	static char buf[EVENTS_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));

	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(buf + at);
			int r = notify_event(ev, path);

			if (r < 0)
				return r;
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
}

int files_watch(int argc, char **argv, struct err *e)
{
	auto_close int fd = inotify_init1(IN_CLOEXEC);

	(void)argc;
	if (fd < 0 || inotify_add_watch(fd, argv[1], WATCHED) < 0)
		return err_errno(e, "%s", argv[1]);
	int r = say(FILES_READY, 0, argv[1]);
	if (r == 0)
		r = follow(fd, argv[1]);
	return err_set(e, -r, "%s: %s", argv[1],
		       r == -ENOENT ? "it is no longer there" : strerror(-r));
}
