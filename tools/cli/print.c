/* print.c - errors, and text for people and programs. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

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

void print_clean(const char *s)
{
	for (; *s; s++)
		putchar(is_control((unsigned char)*s) ? '?' : *s);
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), or 0. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void json_string(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	putchar('"');
	while (*p) {
		size_t n = utf8_len(p);

		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (is_control(*p))
			printf("\\u%04x", *p);
		else if (n == 0)
			printf("\\ufffd");
		else
			fwrite(p, 1, n, stdout);
		p += n ? n : 1;
	}
	putchar('"');
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
