/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - errors, and text for people and programs. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/clean.h"

/* "conker: ", and on one line what the format says. Names in it are whoever's who gave them. */
static void vsay(const char *before, const char *fmt, va_list ap, const char *after)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	else
		clean_text(text);
	fflush(stdout); /* what came before stays before */
	fprintf(stderr, "conker: %s%s%s\n", before, text ? text : "no memory", after);
	free(text);
}

int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay("", fmt, ap, "");
	va_end(ap);
	return EXIT_CONKER;
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay("", fmt, ap, "");
	va_end(ap);
}

int check_box_path(const char *path)
{
	return path[0] == '/' ? 0 : fail("the path '%s' in the box is not absolute", path);
}

int fail_usage(const struct cli *c, const char *fmt, ...)
{
	char before[64], after[80];
	va_list ap;

	(void)snprintf(before, sizeof(before), "%s: ", c->command);
	(void)snprintf(after, sizeof(after), " (see 'conker %s --help')", c->command);
	va_start(ap, fmt);
	vsay(before, fmt, ap, after);
	va_end(ap);
	return EXIT_CONKER;
}

int fail_lib(void)
{
	if (signals_caught())
		return exit_by_signal(signals_caught());
	return fail("%s", conker_errmsg());
}

/* stdio forgets why: a pipe without a reader shows it again, as does what cannot be written to. */
static int why_not(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return EBADF;
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
		return EPIPE;
	return EIO;
}

int finish_output(void)
{
	int why = fflush(stdout) == 0 ? 0 : errno;

	if (ferror(stdout) && !why)
		why = why_not();
	clearerr(stdout); /* it is said once */
	if (!why)
		return 0;
	return why == EPIPE ? exit_by_signal(SIGPIPE)
			    : fail("write to standard output: %s", strerror(why));
}

/* In pieces, because they may be many. */
static void print_fit(const char *s, size_t len, const char *keep)
{
	char piece[1024];

	while (len > 0) {
		size_t n = min_(len, sizeof(piece));

		memcpy(piece, s, n);
		n = clean_piece(piece, n, keep, len > n);
		fwrite(piece, 1, n, stdout);
		s += n;
		len -= n;
	}
}

void print_clean(const char *s)
{
	print_fit(s, strlen(s), "");
}

void print_clean_line(const char *s, size_t len)
{
	print_fit(s, len, "\t");
}

void print_column(const char *s, size_t width)
{
	size_t n = 0;

	for (const char *p = s; *p; p++)
		n += (*p & 0xc0) != 0x80; /* a character, not a byte */
	print_clean(s);
	printf("%*s", (int)(n < width ? width - n : 0), "");
}

void json_bytes(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	putchar('"');
	while (len > 0) {
		size_t n = utf8_length((const char *)p, len);

		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (n == 0)
			printf("\\ufffd");
		else if (clean_is_control((const char *)p, n))
			printf("\\u%04x", p[n - 1]); /* of C1, too, the last byte is the number */
		else
			fwrite(p, 1, n, stdout);
		p += n ? n : 1;
		len -= n ? n : 1;
	}
	putchar('"');
}

void json_string(const char *s)
{
	json_bytes(s, strlen(s));
}

const char *state_name(enum conker_box_state s)
{
	switch (s) {
	case CONKER_BOX_STARTING: return "starting";
	case CONKER_BOX_RUNNING: return "running";
	case CONKER_BOX_POWEROFF: return "poweroff";
	case CONKER_BOX_REBOOT: return "reboot";
	case CONKER_BOX_PANIC: return "panic";
	case CONKER_BOX_CRASH: return "crash";
	case CONKER_BOX_STOPPED: return "stopped";
	case CONKER_BOX_ERROR: return "error";
	case CONKER_BOX_KILLED: return "killed";
	case CONKER_BOX_SUSPENDED: return "suspended";
	}
	return "unknown";
}

const char *age_text(int64_t seconds, char *buf, size_t size)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
	int64_t s = seconds < 0 ? 0 : seconds;

	for (size_t i = 0; i < countof(units); i++) {
		if (s < 2 * units[i].seconds)
			continue;
		(void)snprintf(buf, size, "%lld%c", (long long)(s / units[i].seconds),
			       units[i].unit);
		return buf;
	}
	(void)snprintf(buf, size, "%llds", (long long)s);
	return buf;
}

const char *size_text(uint64_t bytes, char *buf, size_t size)
{
	static const char units[] = "KMGT";
	double v = (double)bytes / 1024;
	size_t unit = 0;

	while (v >= 1000 && units[unit + 1]) {
		v /= 1024;
		unit++;
	}
	(void)snprintf(buf, size, v < 100 && unit ? "%.1f%c" : "%.0f%c", v, units[unit]);
	return buf;
}

const char *time_text(int64_t unix_us, char *buf, size_t size)
{
	time_t s = (time_t)(unix_us / 1000000);
	char seconds[32] = "?";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		(void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf, size, "%s.%06lldZ", seconds, (long long)(unix_us % 1000000));
	return buf;
}
