/* print.c - errors, and text for people and programs. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static void begin(void)
{
	fflush(stdout); /* what came before stays before */
	fprintf(stderr, "conker: ");
}

int fail(const char *fmt, ...)
{
	va_list ap;

	begin();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_CONKER;
}

int check_box_path(const char *path)
{
	return path[0] == '/' ? 0 : fail("the path '%s' in the box is not absolute", path);
}

int fail_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	begin();
	fprintf(stderr, "%s: ", c->command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see 'conker %s --help')\n", c->command);
	return EXIT_CONKER;
}

int fail_lib(void)
{
	if (signals_caught())
		return exit_by_signal(signals_caught());
	return fail("%s", conker_errmsg());
}

int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno == EPIPE ? exit_by_signal(SIGPIPE)
			      : fail("write to standard output: %s", strerror(errno));
}

static int is_control(unsigned char ch)
{
	return ch < 0x20 || ch == 0x7f;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), of at most len bytes; or 0. */
static size_t utf8_len(const unsigned char *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (n > len || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

int is_utf8(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_len((const unsigned char *)s, len);

		if (n == 0)
			return 0;
		s += n;
		len -= n;
	}
	return 1;
}

void print_clean(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t len = strlen(s);

	while (len > 0) {
		size_t n = utf8_len(p, len);

		/* U+0080 to U+009f are control characters too, to some terminals. */
		if (n == 0 || is_control(*p) || (p[0] == 0xc2 && p[1] < 0xa0))
			putchar('?');
		else
			fwrite(p, 1, n, stdout);
		p += n ? n : 1;
		len -= n ? n : 1;
	}
}

void json_bytes(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	putchar('"');
	while (len > 0) {
		size_t n = utf8_len(p, len);

		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (is_control(*p))
			printf("\\u%04x", *p);
		else if (n == 0)
			printf("\\ufffd");
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
