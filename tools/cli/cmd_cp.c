/* cmd_cp.c - conker cp: files and directories in and out of boxes. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	PROGRESS_EVERY_US = 100000,
	PROGRESS_AFTER_US = 500000, /* what is over sooner shows none */
};

struct cp {
	int follow, owners, no_clobber, parents, quiet;
	const char *user;
	int64_t begun_us, told_us;
	int told; /* a line stands on the terminal */
};

static const struct opt cp_opts[] = {
	{"follow", 'L', OPT_FLAG, offsetof(struct cp, follow), NULL,
	 "copy what SRC points to, if it is a symbolic link"},
	{"owners", 'a', OPT_FLAG, offsetof(struct cp, owners), NULL,
	 "keep owner and group numbers (out of a box: root only)"},
	{"no-clobber", 'n', OPT_FLAG, offsetof(struct cp, no_clobber), NULL,
	 "fail rather than replace a file"},
	{"parents", 'p', OPT_FLAG, offsetof(struct cp, parents), NULL,
	 "make missing parents of DST"},
	{"user", 'u', OPT_STRING, offsetof(struct cp, user), "USER[:GROUP]",
	 "who reads and writes in the box (root)"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct cp, quiet), NULL, "no progress on a terminal"},
};

/* ---- progress ------------------------------------------------------------------------------------- */

static void show_progress(uint64_t bytes, const char *path, void *user)
{
	enum { TAIL = 48 };
	struct cp *p = user;
	int64_t now = now_us();
	size_t len = strlen(path);
	char size[16];

	if (now - p->begun_us < PROGRESS_AFTER_US || now - p->told_us < PROGRESS_EVERY_US)
		return;
	p->told_us = now;
	p->told = 1;
	fprintf(stderr, "\r\033[K%s  %s", size_text(bytes, size, sizeof(size)),
		len > TAIL ? "..." : "");
	for (const char *s = len > TAIL ? path + len - TAIL : path; *s; s++)
		fputc((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s, stderr);
	fflush(stderr);
}

static void end_progress(const struct cp *p)
{
	if (p->told)
		fputs("\r\033[K", stderr);
}

/* ---- what to copy --------------------------------------------------------------------------------- */

/* The ':' of BOX:PATH, or NULL: a path of the host, which may have one behind a '/'. */
static char *colon_of(char *s)
{
	size_t n = strcspn(s, ":/");

	return s[n] == ':' && n > 0 ? s + n : NULL;
}

static int tar_out(conker_box *b, const char *path, const conker_copy_opts *o)
{
	if (!isatty(STDOUT_FILENO))
		return conker_tar_out(b, path, STDOUT_FILENO, o) < 0 ? fail_lib() : 0;
	return fail("an archive is not for a terminal; redirect standard output");
}

/* A path given is copied over again when a stopped and continued terminal job interrupted it. */
static int copy(conker_box *b, const char *src, const char *dst, int in, const conker_copy_opts *o)
{
	int r;

	if (strcmp(in ? src : dst, "-") == 0 && in)
		return conker_tar_in(b, STDIN_FILENO, dst, o) < 0 ? fail_lib() : 0;
	if (strcmp(in ? src : dst, "-") == 0)
		return tar_out(b, src, o);
	do
		r = in ? conker_copy_in(b, src, dst, o) : conker_copy_out(b, src, dst, o);
	while (r == -EINTR && !signals_caught() && !(o->flags & CONKER_COPY_NO_CLOBBER));
	return r < 0 ? fail_lib() : 0;
}

static int in_box(struct cp *p, const char *box, const char *src, const char *dst, int in)
{
	conker_copy_opts o = {
		.size = sizeof(o),
		.flags = (p->follow ? CONKER_COPY_FOLLOW : 0u) |
			 (p->owners ? CONKER_COPY_OWNERS : 0u) |
			 (p->no_clobber ? CONKER_COPY_NO_CLOBBER : 0u) |
			 (p->parents ? CONKER_COPY_PARENTS : 0u),
		.user = p->user,
		.progress = !p->quiet && isatty(STDERR_FILENO) ? show_progress : NULL,
		.progress_data = p,
	};
	conker_box *b = NULL;

	signals_init();
	if (over_again(conker_box_open(box, &b)) < 0)
		return fail_lib();
	p->begun_us = now_us();
	int status = copy(b, src, dst, in, &o);
	conker_box_free(b);
	return status;
}

static int cp(struct cp *p, const struct cli *c, char *src, char *dst)
{
	char *from = colon_of(src), *to = colon_of(dst), *colon = from ? from : to;

	if (!from == !to)
		return fail_usage(c, from ? "boxes do not copy to each other; go through the host"
					  : "one of SRC and DST is BOX:PATH");
	if (!colon[1])
		return fail_usage(c, "no path behind '%s'", from ? src : dst);
	*colon = 0;
	const char *path = colon + 1;
	if (check_box_path(path))
		return EXIT_CONKER;
	int status = in_box(p, from ? src : dst, from ? path : src, from ? dst : path, !from);
	end_progress(p);
	return status;
}

int cmd_cp(struct cli *c, int argc, char **argv)
{
	struct cp p = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX:SRC DST  |  [OPTIONS] SRC BOX:DST",
		.text = "Copies a file or a directory with all in it, with modes, times, links and "
			"holes. An existing\n"
			"directory as DST takes SRC in under its own name. `-` instead of a path "
			"of the host is a tar\n"
			"archive on standard input, unpacked into DST, or on standard output.",
		.group = {{cp_opts, countof(cp_opts), &p}},
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	return cp(&p, c, argv[0], argv[1]);
}
