/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_cp.c - conker cp: files and directories in and out of boxes. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clean.h"

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
	char size[16], tail[TAIL + 1];

	if (now - p->begun_us < PROGRESS_AFTER_US || now - p->told_us < PROGRESS_EVERY_US)
		return;
	p->told_us = now;
	p->told = 1;
	(void)snprintf(tail, sizeof(tail), "%s", len > TAIL ? path + len - TAIL : path);
	clean_text(tail);
	fprintf(stderr, "\r\033[K%s  %s%s", size_text(bytes, size, sizeof(size)),
		len > TAIL ? "..." : "", tail);
	fflush(stderr);
}

static void end_progress(const struct cp *p)
{
	if (p->told)
		fputs("\r\033[K", stderr);
}

static void on_note(const char *text, void *user)
{
	struct cp *p = user;

	end_progress(p);
	p->told = 0;
	note("%s", text);
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

/* What is asked for: n paths of one side into dst, of the other. */
struct request {
	const char *box, *dst;
	char **src;
	int n, in;
};

/* Several have no place in anything else. */
static int check_is_directory(conker_box *b, const struct request *q, const char *user)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/.", q->dst) >= (int)sizeof(path))
		return fail("%s: %s", q->dst, strerror(ENAMETOOLONG));
	if (q->in) {
		conker_file_info *f = NULL;
		int r = over_again(conker_file_stat(b, path, user, &f));

		conker_file_info_free(f);
		return r < 0 ? fail_lib() : 0;
	}
	return stat(path, &st) < 0 ? fail("%s: %s", q->dst, strerror(errno)) : 0;
}

static int copy_all(struct cp *p, const struct request *q)
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
		.note = on_note,
		.note_data = p,
	};
	conker_box *b = NULL;

	signals_init();
	if (over_again(conker_box_open(q->box, &b)) < 0)
		return fail_lib();
	p->begun_us = now_us();
	int status = q->n > 1 ? check_is_directory(b, q, p->user) : 0;
	for (int i = 0; i < q->n && status == 0; i++)
		status = copy(b, q->src[i], q->dst, q->in, &o);
	conker_box_free(b);
	end_progress(p);
	return status;
}

/* BOX:PATH as two texts, *box and *s; another BOX than that of the one before is an error. */
static int split(const struct cli *c, char **s, const char **box)
{
	char *colon = colon_of(*s);

	*colon = 0;
	if (*box && strcmp(*box, *s) != 0)
		return fail_usage(c, "all of them come from one box, not from '%s' and '%s'", *box,
				  *s);
	*box = *s;
	*s = colon + 1;
	return **s ? check_box_path(*s) : fail_usage(c, "no path behind '%s:'", *box);
}

static int cp(struct cp *p, const struct cli *c, int n, char **v)
{
	struct request q = {.src = v, .n = n - 1, .in = colon_of(v[n - 1]) != NULL};
	int r = 0;

	for (int i = 0; i < q.n; i++) {
		if (!colon_of(v[i]) == !q.in)
			return fail_usage(
				c, q.in ? "boxes do not copy to each other; go through the host"
					: "one of SRC and DST is BOX:PATH");
		if (q.n > 1 && strcmp(v[i], "-") == 0)
			return fail_usage(c, "an archive is copied alone");
	}
	for (int i = q.in ? q.n : 0; i < (q.in ? n : q.n) && r == 0; i++)
		r = split(c, &v[i], &q.box);
	q.dst = v[n - 1];
	return r ? r : copy_all(p, &q);
}

int cmd_cp(struct cli *c, int argc, char **argv)
{
	struct cp p = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX:SRC... DST  |  [OPTIONS] SRC... BOX:DST",
		.text = "Copies files or directories with all in them, with modes, times, links "
			"and "
			"holes. An existing\n"
			"directory as DST takes them in under their own names, as several must be. "
			"`-` instead of a path of the\n"
			"host is a tar archive on standard input, unpacked into DST, or on "
			"standard "
			"output.",
		.group = {{cp_opts, countof(cp_opts), &p}},
		.operands_min = 2,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	return n < 0 ? status : cp(&p, c, n, argv);
}
