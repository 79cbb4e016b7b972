/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_fs.c - conker fs: single files and directories of a box. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/num.h"

enum {
	MODE_MAX = 07777,
	CHUNK_BYTES = 64 << 10,
	FILE_MAX_BYTES = 1 << 30, /* of cat and write, which hold it in memory; cp does not */
};

struct fs {
	int json, recursive, parents;
	const char *user, *mode;
	uint32_t timeout_ms, count;

	struct row *rows; /* of ls */
	size_t n, cap;
	uint32_t seen; /* by watch */
};

struct row {
	conker_file_info info;
	char *name, *target;
};

/* What every fs command has, and what some have. */
#define USER_OPT                                                                    \
	{                                                                           \
		"user", 'u', OPT_STRING, offsetof(struct fs, user), "USER[:GROUP]", \
			"who does it in the box (root)"                             \
	}
#define JSON_OPT                                                                     \
	{                                                                            \
		"json", 0, OPT_FLAG, offsetof(struct fs, json), NULL, "for programs" \
	}

struct action {
	const char *name, *operands, *text;
	int min, max;
	const struct opt *opts;
	size_t n_opts;
	int (*run)(struct fs *f, conker_box *b, int argc, char **argv); /* exit status */
};

static int parse_mode(const char *s, uint32_t *ret)
{
	uint64_t v;

	*ret = 0;
	if (!s)
		return 0;
	if (num_parse(s, strlen(s), 8, MODE_MAX, &v) < 0 || v == 0)
		return fail("'%s' is not a mode: octal digits, as 644", s);
	*ret = (uint32_t)v;
	return 0;
}

/* ---- ls and stat ---------------------------------------------------------------------------------- */

static const char *kind_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "directory";
	case S_IFLNK: return "symlink";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	default: return "unknown";
	}
}

static void json_file(const conker_file_info *i)
{
	printf("{\"name\":");
	json_string(i->name);
	printf(",\"type\":\"%s\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,\"nlink\":%u,"
	       "\"bytes\":%llu,\"allocated_bytes\":%llu,\"mtime_us\":%lld",
	       kind_of(i->mode), i->mode & MODE_MAX, i->uid, i->gid, i->nlink,
	       (unsigned long long)i->bytes, (unsigned long long)i->allocated_bytes,
	       (long long)i->mtime_us);
	if (S_ISLNK(i->mode)) {
		printf(",\"target\":");
		json_string(i->target);
	}
	putchar('}');
}

/* "drwxr-xr-x" */
static void mode_text(uint32_t mode, char ret[11])
{
	static const char bits[] = "rwxrwxrwx";
	const char *kind = kind_of(mode);

	ret[0] = S_ISREG(mode) ? '-' : S_ISFIFO(mode) ? 'p' : kind[0];
	if (S_ISLNK(mode))
		ret[0] = 'l';
	for (int i = 0; i < 9; i++)
		ret[i + 1] = mode & (0400u >> i) ? bits[i] : '-';
	for (int i = 0; i < 3; i++)
		if (mode & (04000u >> i)) {
			char *x = &ret[3 * i + 3];

			*x = *x == 'x' ? "sst"[i] : "SST"[i];
		}
	ret[10] = 0;
}

static void text_file(const conker_file_info *i)
{
	char mode[11], time[40];

	mode_text(i->mode, mode);
	time_text(i->mtime_us, time, sizeof(time));
	time[19] = 0; /* to the second */
	printf("%s %3u %5u %5u %12llu %s ", mode, i->nlink, i->uid, i->gid,
	       (unsigned long long)i->bytes, time);
	print_clean(i->name);
	if (S_ISLNK(i->mode)) {
		printf(" -> ");
		print_clean(i->target);
	}
	putchar('\n');
}

static void print_file(const struct fs *f, const conker_file_info *i)
{
	if (f->json) {
		json_file(i);
		putchar('\n');
	} else {
		text_file(i);
	}
}

static int run_stat(struct fs *f, conker_box *b, int argc, char **argv)
{
	int status = 0;

	for (int i = 0; i < argc && !status; i++) {
		conker_file_info *info = NULL;

		if (over_again(conker_file_stat(b, argv[i], f->user, &info)) < 0 || !info)
			status = fail_lib();
		else
			print_file(f, info);
		conker_file_info_free(info);
	}
	return status ? status : finish_output();
}

static int keep_row(const conker_file_info *i, void *data)
{
	struct fs *f = data;

	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct row *rows = realloc(f->rows, cap * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		f->rows = rows;
		f->cap = cap;
	}
	struct row *r = &f->rows[f->n];
	*r = (struct row){.info = *i, .name = strdup(i->name), .target = strdup(i->target)};
	f->n++;
	r->info.name = r->name;
	r->info.target = r->target;
	return r->name && r->target ? 0 : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void print_rows(const struct fs *f)
{
	if (f->json)
		putchar('[');
	for (size_t i = 0; i < f->n; i++) {
		if (f->json && i > 0)
			fputs(",\n ", stdout);
		if (f->json)
			json_file(&f->rows[i].info);
		else
			text_file(&f->rows[i].info);
	}
	if (f->json)
		puts("]");
}

static void drop_rows(struct fs *f)
{
	for (; f->n > 0; f->n--) {
		free(f->rows[f->n - 1].name);
		free(f->rows[f->n - 1].target);
	}
}

static int run_ls(struct fs *f, conker_box *b, int argc, char **argv)
{
	(void)argc;
	int r = over_again((drop_rows(f), conker_file_list(b, argv[0], f->user, keep_row, f)));
	int status = r == -ENOMEM ? fail("no memory for the list") : r < 0 ? fail_lib() : 0;

	if (status == 0) {
		if (f->n)
			qsort(f->rows, f->n, sizeof(*f->rows), by_name);
		print_rows(f);
		status = finish_output();
	}
	drop_rows(f);
	free(f->rows);
	return status;
}

/* ---- contents ------------------------------------------------------------------------------------- */

static int run_cat(struct fs *f, conker_box *b, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		char *data;
		size_t len;

		if (conker_file_read(b, argv[i], f->user, FILE_MAX_BYTES, &data, &len) < 0)
			return fail_lib();
		fwrite(data, 1, len, stdout);
		free(data);
	}
	return finish_output();
}

/* All of stdin; to be freed. */
static char *read_stdin(size_t *ret_len)
{
	char *data = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	do {
		if (cap - len < CHUNK_BYTES) {
			cap = cap ? 2 * cap : 2UL * CHUNK_BYTES;
			char *p = cap > FILE_MAX_BYTES ? NULL : realloc(data, cap);
			if (!p) {
				free(data);
				fail("more than fits: use conker cp for large files");
				return NULL;
			}
			data = p;
		}
		n = read(STDIN_FILENO, data + len, cap - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR && !signals_caught()));
	if (n < 0) {
		free(data);
		if (!signals_caught())
			fail("read standard input: %s", strerror(errno));
		return NULL;
	}
	*ret_len = len;
	return data;
}

static int run_write(struct fs *f, conker_box *b, int argc, char **argv)
{
	uint32_t mode;
	size_t len;

	(void)argc;
	if (parse_mode(f->mode, &mode))
		return EXIT_CONKER;
	char *data = read_stdin(&len);
	if (!data)
		return signals_caught() ? exit_by_signal(signals_caught()) : EXIT_CONKER;
	int r = conker_file_write(b, argv[0], f->user, data, len, mode);
	free(data);
	return r < 0 ? fail_lib() : 0;
}

/* ---- names ---------------------------------------------------------------------------------------- */

static int run_rm(struct fs *f, conker_box *b, int argc, char **argv)
{
	int status = 0;

	for (int i = 0; i < argc; i++)
		if (conker_file_remove(b, argv[i], f->user,
				       f->recursive ? CONKER_FILE_RECURSIVE : 0) < 0)
			status = fail_lib();
	return status;
}

static int run_mkdir(struct fs *f, conker_box *b, int argc, char **argv)
{
	uint32_t mode;
	int status = 0;

	if (parse_mode(f->mode, &mode))
		return EXIT_CONKER;
	for (int i = 0; i < argc; i++)
		if (conker_file_mkdir(b, argv[i], f->user, mode,
				      f->parents ? CONKER_FILE_RECURSIVE : 0) < 0)
			status = fail_lib();
	return status;
}

static int run_mv(struct fs *f, conker_box *b, int argc, char **argv)
{
	(void)argc;
	return conker_file_rename(b, argv[0], argv[1], f->user) < 0 ? fail_lib() : 0;
}

/* ---- watch ---------------------------------------------------------------------------------------- */

enum { WATCH_ENOUGH = 1 };

static const char *change_name(enum conker_change c)
{
	switch (c) {
	case CONKER_CREATED: return "created";
	case CONKER_MODIFIED: return "modified";
	case CONKER_REMOVED: return "removed";
	case CONKER_MOVED_FROM: return "moved_from";
	case CONKER_MOVED_TO: return "moved_to";
	case CONKER_OVERFLOW: return "overflow";
	}
	return "unknown";
}

static void say_change(const struct fs *f, const char *what, const char *name)
{
	if (f->json) {
		printf("{\"change\":\"%s\",\"name\":", what);
		json_string(name);
		puts("}");
	} else {
		printf("%-10s ", what);
		print_clean(name);
		putchar('\n');
	}
	fflush(stdout);
}

static void on_ready(void *data)
{
	say_change(data, "ready", "");
}

static int on_change(enum conker_change what, const char *name, void *data)
{
	struct fs *f = data;

	say_change(f, change_name(what), name);
	return ++f->seen == f->count || ferror(stdout) ? WATCH_ENOUGH : 0;
}

static int run_watch(struct fs *f, conker_box *b, int argc, char **argv)
{
	int timeout_ms = f->timeout_ms ? (int)f->timeout_ms : -1;

	(void)argc;
	int r = conker_file_watch(b, argv[0], f->user, timeout_ms, on_ready, on_change, f);
	if (r == -ETIMEDOUT)
		return EXIT_TIMED_OUT;
	return r < 0 ? fail_lib() : finish_output();
}

/* ---- the commands --------------------------------------------------------------------------------- */

static const struct opt plain_opts[] = {USER_OPT};
static const struct opt json_opts[] = {JSON_OPT, USER_OPT};
static const struct opt rm_opts[] = {
	{"recursive", 'r', OPT_FLAG, offsetof(struct fs, recursive), NULL,
	 "directories with all that is in them"},
	USER_OPT,
};
static const struct opt mkdir_opts[] = {
	{"parents", 'p', OPT_FLAG, offsetof(struct fs, parents), NULL,
	 "its parents too; it may exist"},
	{"mode", 'm', OPT_STRING, offsetof(struct fs, mode), "OCTAL", "its permissions (755)"},
	USER_OPT,
};
static const struct opt write_opts[] = {
	{"mode", 'm', OPT_STRING, offsetof(struct fs, mode), "OCTAL",
	 "its permissions (644, or those of the file replaced)"},
	USER_OPT,
};
static const struct opt watch_opts[] = {
	{"count", 'n', OPT_UINT, offsetof(struct fs, count), "N", "end after so many changes"},
	{"timeout", 0, OPT_SECONDS, offsetof(struct fs, timeout_ms), "SECONDS",
	 "end after that time; the exit status is 124"},
	JSON_OPT,
	USER_OPT,
};

static const struct action actions[] = {
	{"ls", "[OPTIONS] BOX DIR", "Lists a directory.", 1, 1, json_opts, countof(json_opts),
	 run_ls},
	{"stat", "[OPTIONS] BOX PATH...", "Says what a path is. Links are not followed.", 1, -1,
	 json_opts, countof(json_opts), run_stat},
	{"cat", "[OPTIONS] BOX FILE...", "Prints files, of at most 1 GiB.", 1, -1, plain_opts,
	 countof(plain_opts), run_cat},
	{"write", "[OPTIONS] BOX FILE",
	 "Makes standard input a file, replacing one that is there at once, when it is complete;\n"
	 "a device or a FIFO is written into.",
	 1, 1, write_opts, countof(write_opts), run_write},
	{"rm", "[OPTIONS] BOX PATH...", "Removes files, and with -r directories.", 1, -1, rm_opts,
	 countof(rm_opts), run_rm},
	{"mkdir", "[OPTIONS] BOX DIR...", "Makes directories.", 1, -1, mkdir_opts,
	 countof(mkdir_opts), run_mkdir},
	{"mv", "[OPTIONS] BOX FROM TO", "Renames FROM to TO, replacing a file that is there.", 2, 2,
	 plain_opts, countof(plain_opts), run_mv},
	{"watch", "[OPTIONS] BOX PATH",
	 "Prints a line when watching has begun, then one per change of a file, or of the names in "
	 "a\n"
	 "directory (not below). Ends when the path itself is gone.",
	 1, 1, watch_opts, countof(watch_opts), run_watch},
};

static int in_box(const struct action *a, struct fs *f, int argc, char **argv)
{
	conker_box *b;

	for (int i = 1; i < argc; i++)
		if (check_box_path(argv[i]))
			return EXIT_CONKER;
	signals_init();
	if (over_again(conker_box_open(argv[0], &b)) < 0)
		return fail_lib();
	int status = a->run(f, b, argc - 1, argv + 1);
	conker_box_free(b);
	return status;
}

static int act(struct cli *c, const struct action *a, int argc, char **argv)
{
	struct fs f = {0};
	struct usage u = {
		.operands = a->operands,
		.text = a->text,
		.group = {{a->opts, a->n_opts, &f}},
		.operands_min = a->min + 1,
		.operands_max = a->max < 0 ? -1 : a->max + 1,
		.command_after = -1,
	};
	char command[16];
	int status;

	(void)snprintf(command, sizeof(command), "fs %s", a->name);
	c->command = command;
	int n = opts_parse(c, &u, argc, argv, &status);
	if (n >= 0)
		status = in_box(a, &f, n, argv);
	c->command = "fs";
	return status;
}

int cmd_fs(struct cli *c, int argc, char **argv)
{
	static const char list[] = "ls, stat, cat, write, rm, mkdir, mv or watch";

	if (argc == 0)
		return fail_usage(c, "%s?", list);
	for (size_t i = 0; i < countof(actions); i++)
		if (strcmp(argv[0], actions[i].name) == 0)
			return act(c, &actions[i], argc - 1, argv + 1);
	if (argv[0][0] == '-') {
		struct usage u = {.operands = "ls|stat|cat|write|rm|mkdir|mv|watch ...",
				  .text = "Single files and directories of a box. 'conker fs "
					  "COMMAND --help' tells more.",
				  .operands_min = 1,
				  .command_after = -1};
		int status;

		return opts_parse(c, &u, argc, argv, &status) < 0 ? status : EXIT_CONKER;
	}
	return fail_usage(c, "no command '%s'; it is %s", argv[0], list);
}
