/* SPDX-License-Identifier: Apache-2.0 */
/* lib_events.c - any bytes as what a box leaves behind for the library: its VMM's event lines (less trusted than we),
 * its console (the guest's), the description. Whatever they say, what comes out is bounded text of one line, the same
 * however the bytes were cut. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/host/boxdir.h"

enum { CUT = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int dir = -1;

static void clean_up(void)
{
	static const char *const files[] = {"box", "state", "console"};
	char path[64], link[32];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	for (size_t i = 0; i < countof(files); i++)
		(void)unlinkat(dir, files[i], 0);
	path[n > 0 ? n : 0] = 0;
	(void)rmdir(path);
}

static void set_up(void)
{
	char memory[] = "/dev/shm/conker-fuzz-XXXXXX", path[] = "/tmp/conker-fuzz-XXXXXX";
	const char *made = mkdtemp(memory);

	if (!made)
		made = mkdtemp(path);
	assert(made);
	dir = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(dir >= 0);
	(void)atexit(clean_up);
}

static void put(const char *name, const uint8_t *p, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	close(fd);
}

static void check_line(const char *s, size_t room)
{
	const char *end = memchr(s, 0, room);

	assert(end);
	for (const uint8_t *p = (const uint8_t *)s; p < (const uint8_t *)end; p++) {
		assert(*p >= 0x20 && *p != 0x7f);
		assert(*p != 0xc2 || p[1] < 0x80 || p[1] >= 0xa0);
	}
}

static void feed(struct vm_events *v, const uint8_t *p, size_t len, size_t piece)
{
	struct line_buf lb = {0};

	memset(v, 0, sizeof(*v));
	for (size_t at = 0; at < len; at += piece)
		events_feed(v, &lb, (const char *)p + at, min_(piece, len - at));
}

static void check_events(const uint8_t *p, size_t len)
{
	struct vm_events whole, cut, loaded;
	char reason[REASON_BYTES];

	feed(&whole, p, len, len ? len : 1);
	feed(&cut, p, len, CUT);
	events_load(&loaded, dir);
	assert(whole.over == cut.over && whole.end == cut.end && whole.error == cut.error);
	assert(strcmp(whole.detail, cut.detail) == 0 && strcmp(whole.unjailed, cut.unjailed) == 0);
	assert(loaded.over == cut.over && strcmp(loaded.detail, cut.detail) == 0);
	check_line(whole.detail, sizeof(whole.detail));
	check_line(whole.unjailed, sizeof(whole.unjailed));
	assert(whole.error >= 0 && whole.error < 4096);
	events_reason(&whole, dir, reason, sizeof(reason));
	check_line(reason, sizeof(reason));
}

static void check_console(void)
{
	char text[256], tail[64];

	console_panic(dir, text, sizeof(text));
	check_line(text, sizeof(text));
	console_farewell(dir, text, sizeof(text));
	check_line(text, sizeof(text));
	console_tail(dir, tail, sizeof(tail));
	check_line(tail, sizeof(tail));
}

static void check_description(void)
{
	struct meta m;

	if (meta_load(dir, &m) < 0)
		return;
	assert(m.name[0] && memchr(m.name, 0, sizeof(m.name)));
	assert(memchr(m.id, 0, sizeof(m.id)) && memchr(m.image, 0, sizeof(m.image)));
}

/* Events up to the first NUL, description up to the next, the rest is console. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	const uint8_t *a = size ? memchr(data, 0, size) : NULL;
	const uint8_t *events_end = a ? a : end;
	const uint8_t *box = a ? a + 1 : end;
	const uint8_t *b = box < end ? memchr(box, 0, (size_t)(end - box)) : NULL;

	if (dir < 0)
		set_up();
	put("state", data, (size_t)(events_end - data));
	put("box", box, (size_t)((b ? b : end) - box));
	put("console", b ? b + 1 : end, b ? (size_t)(end - b - 1) : 0);
	check_events(data, (size_t)(events_end - data));
	check_description();
	check_console();
	return 0;
}
