/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - the end of a box's console, for error messages.
 *
 * The file is what the guest wrote: any bytes, possibly with a hole where old output was dropped.
 */
#include "lib/host/boxdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_BYTES = 8 << 10, TAIL_LINES = 10 };

/* The last TAIL_BYTES as a string. Bytes that end no C string are made into spaces. */
static size_t load_tail(int dirfd, char buf[TAIL_BYTES + 1])
{
	struct stat st;
	auto_close int fd = openat(dirfd, "console", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	buf[0] = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;

	off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	ssize_t n = pread(fd, buf, TAIL_BYTES, from);
	if (n < 0)
		n = 0;
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] == 0 || buf[i] == '\r')
			buf[i] = ' ';
	buf[n] = 0;
	return (size_t)n;
}

/* Takes the last line that is not blank off s, without blanks at its ends; NULL when none is left. */
static char *last_line(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && strchr(" \n\t", s[n - 1]))
		s[--n] = 0;
	if (n == 0)
		return NULL;

	char *nl = strrchr(s, '\n');
	if (!nl)
		return s;
	*nl = 0;
	return nl + 1 + strspn(nl + 1, " \t");
}

void console_tail(int dirfd, char *ret, size_t size)
{
	char buf[TAIL_BYTES + 1];
	char *lines[TAIL_LINES];
	int n = 0;
	size_t total = 0, at = 0;

	*ret = 0;
	load_tail(dirfd, buf);
	while (n < TAIL_LINES) {
		char *line = last_line(buf);
		if (!line || total + strlen(line) + 3 >= size)
			break;
		total += strlen(line) + 3;
		lines[n++] = line;
		if (line == buf)
			break;
	}
	while (n-- > 0)
		at += (size_t)snprintf(ret + at, size - at, "%s%s", lines[n], n ? " | " : "");
	clean_text(ret);
}

/* The last line that init said for itself, in s; or NULL. It gives a reason before it ends. */
static char *init_said(char *s)
{
	static const char mark[] = "conker-init: ";
	char *found = NULL;

	for (char *p = s; (p = strstr(p, mark)); p++)
		if (p == s || p[-1] == '\n' || p[-1] == ' ')
			found = p + sizeof(mark) - 1;
	if (found)
		found[strcspn(found, "\n")] = 0;
	return found;
}

int console_panic(int dirfd, char *ret, size_t size)
{
	static const char mark[] = "Kernel panic - not syncing: ",
			  by_init[] = "Attempted to kill init";
	char buf[TAIL_BYTES + 1];
	char *found = NULL, *said = NULL;

	load_tail(dirfd, buf);
	for (char *p = buf; (p = strstr(p, mark)); p++)
		found = p + sizeof(mark) - 1;
	if (found && strncmp(found, by_init, sizeof(by_init) - 1) == 0)
		said = init_said(buf);
	if (found)
		found[strcspn(found, "\n")] = 0;
	else
		found = last_line(buf);
	(void)snprintf(ret, size, "%s", said ? said : found ? found : "");
	clean_text(ret);
	return said != NULL;
}

void console_farewell(int dirfd, char *ret, size_t size)
{
	static const char mark[] = "conker-init: the box ";
	char buf[TAIL_BYTES + 1];

	load_tail(dirfd, buf);
	const char *line = last_line(buf);
	int is_one = line && strncmp(line, mark, sizeof(mark) - 1) == 0;
	(void)snprintf(ret, size, "%s", is_one ? line + sizeof("conker-init: ") - 1 : "");
	clean_text(ret);
}
