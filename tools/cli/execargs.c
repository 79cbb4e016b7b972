/* SPDX-License-Identifier: Apache-2.0 */
/* execargs.c - the options that run, exec and shell share, and what they become. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

#define EXEC(field) offsetof(struct exec_args, field)

const struct opt exec_opt_table[] = {
	{"interactive", 'i', OPT_FLAG, EXEC(interactive), NULL, "pass our standard input to it"},
	{"tty", 't', OPT_FLAG, EXEC(tty), NULL, "give it a terminal"},
	{"env", 'e', OPT_LIST, EXEC(env), "NAME[=VALUE]",
	 "set a variable of its environment, or pass ours"},
	{"env-file", 0, OPT_LIST, EXEC(env_files), "FILE", "likewise, from lines of a file"},
	{"workdir", 'w', OPT_STRING, EXEC(workdir), "DIR", "where it starts (the image's, or /)"},
	{"user", 'u', OPT_STRING, EXEC(user), "USER[:GROUP]",
	 "who it is, by name or number (the image's, or root)"},
	{"timeout", 0, OPT_TIMEOUT, EXEC(timeout_ms), "SECONDS",
	 "end it after that time: status 124"},
	{"grace", 0, OPT_SECONDS, EXEC(grace_ms), "SECONDS",
	 "from there to SIGKILL at its timeout (2)"},
	{"stop-signal", 0, OPT_SIGNAL, EXEC(stop_signal), "SIGNAL",
	 "what asks it to end then, and when its box is stopped (the image's, or TERM)"},
	{"merge", 0, OPT_FLAG, EXEC(merge), NULL, "its stderr goes into its stdout, in order"},
	{"leave-children", 0, OPT_FLAG, EXEC(leave_children), NULL,
	 "what it left behind lives on at its end"},
	{"restart", 0, OPT_RESTART, EXEC(restart), "POLICY",
	 "never, on-failure[:MAX] or always[:MAX]"},
	{"backoff", 0, OPT_SECONDS, EXEC(backoff_ms), "SECONDS",
	 "before the first restart, then doubling (0.5)"},
	{"sh", 0, OPT_TEXT, EXEC(sh), "STRING",
	 "have a shell run STRING; CMD... are its arguments"},
	{"shell", 0, OPT_STRING, EXEC(shell), "PATH", "which shell that is (/bin/sh)"},
	{"verbose", 'v', OPT_FLAG, EXEC(verbose), NULL, "say what happens, step by step"},
};
const size_t exec_opt_count = countof(exec_opt_table);

const struct opt limit_opt_table[] = {
	{"limit-memory", 0, OPT_MIB, EXEC(memory_bytes), "MIB",
	 "of it and all it starts (the box's); or with K, M, G"},
	{"limit-pids", 0, OPT_UINT, EXEC(pids), "N", "processes and threads at a time"},
	{"limit-cpu", 0, OPT_CPUS, EXEC(cpu_permille), "N", "CPUs, as 0.5 or 2"},
	{"rlimit", 0, OPT_RLIMIT, EXEC(rlimits), "NAME=SOFT[:HARD]",
	 "of each process: nofile, core, stack, ..."},
	{"log-size", 0, OPT_BYTES, EXEC(log_bytes), "SIZE", "newest output kept per stream (128K)"},
};
const size_t limit_opt_count = countof(limit_opt_table);

/* ---- the environment ----------------------------------------------------------------------------- */

/* A later value of a name replaces an earlier one: what programs make of two is their own taste. */
static int env_set(struct strings *env, const char *item)
{
	size_t name = strcspn(item, "=") + 1;

	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], item, name) == 0) {
			env->v[i] = item;
			return 0;
		}
	}
	return strings_add(env, item) < 0 ? fail("no memory") : 0;
}

static int is_setting(const char *s)
{
	return strchr(s, '=') && s[0] != '=';
}

/* The lines of a text; "#" begins a comment, at the start of a line only. */
static int env_from_text(struct strings *env, const char *path, char *text)
{
	int number = 0;

	for (char *line; (line = strsep(&text, "\n"));) {
		number++;
		if (!*line || *line == '#')
			continue;
		if (!is_setting(line))
			return fail("--env-file: %s, line %d: '%s' is not NAME=VALUE", path, number,
				    line);
		int r = env_set(env, line);
		if (r)
			return r;
	}
	return 0;
}

/* Reads a file behind a pointer to the texts of the files before it. */
static char *read_text(const char *path, char *before)
{
	enum { MAX_BYTES = 4 << 20 };
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *text = fd < 0 ? NULL : malloc(sizeof(before) + MAX_BYTES + 1);
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		return NULL;
	memcpy(text, &before, sizeof(before));
	while (n > 0 && len < MAX_BYTES) {
		n = read(fd, text + sizeof(before) + len, MAX_BYTES - len);
		if (n < 0)
			return NULL;
		len += (size_t)n;
	}
	if (n > 0) {
		errno = EFBIG;
		return NULL;
	}
	text[sizeof(before) + len] = 0;
	return take_ptr(text);
}

static int env_from_file(struct exec_plan *p, const char *path)
{
	char *text = read_text(path, p->env_text);

	if (!text)
		return fail("--env-file: %s: %s", path, strerror(errno));
	p->env_text = text;
	return env_from_text(&p->env, path, text + sizeof(text));
}

/* What --env says: itself, or of a mere name the variable of ours; NULL: neither. */
static const char *env_item(const char *s)
{
	size_t len = strlen(s);

	if (is_setting(s))
		return s;
	for (char **v = environ; len > 0 && *v; v++)
		if (strncmp(*v, s, len) == 0 && (*v)[len] == '=')
			return *v;
	return NULL;
}

/* The terminal's name is for what has none; one too long for that is a variable like any other, and comes first, so
 * that --env may replace it. */
static int env_term(struct exec_plan *p)
{
	if (!p->opts.term || (*p->opts.term && strlen(p->opts.term) <= CONKER_TERM_MAX))
		return 0;
	const char *item = *p->opts.term ? env_item("TERM") : NULL;
	p->opts.term = NULL;
	return item ? env_set(&p->env, item) : 0;
}

static int plan_env(struct exec_plan *p, const struct cli *c, const struct exec_args *a)
{
	int r = env_term(p);

	for (size_t i = 0; i < a->env_files.n && r == 0; i++)
		r = env_from_file(p, a->env_files.v[i]);
	for (size_t i = 0; i < a->env.n && r == 0; i++) {
		const char *item = env_item(a->env.v[i]);

		r = item ? env_set(&p->env, item)
			 : fail_usage(c, "--env: '%s' is neither NAME=VALUE nor a variable of ours",
				      a->env.v[i]);
	}
	p->opts.env = p->env.v;
	return r;
}

/* ---- the command --------------------------------------------------------------------------------- */

static int plan_argv(struct exec_plan *p, const struct cli *c, const struct exec_args *a, int argc,
		     char **argv)
{
	const char *shell[] = {a->shell ? a->shell : "/bin/sh", "-c", a->sh, "sh"};
	size_t n_shell =
		argc > 0 ? countof(shell) : countof(shell) - 1; /* $0 stands before arguments */
	int r = 0;

	if (argc == 0 && !a->sh && !a->is_run)
		return fail_usage(c, "no command given; it comes after '--'");
	if (a->sh && a->entrypoint)
		return fail_usage(c, "either --sh or --entrypoint");
	if (a->entrypoint && *a->entrypoint)
		r = strings_add(&p->argv, a->entrypoint);
	for (size_t i = 0; a->sh && i < n_shell && r == 0; i++)
		r = strings_add(&p->argv, shell[i]);
	for (int i = 0; i < argc && r == 0; i++)
		r = strings_add(&p->argv, argv[i]);
	p->opts.argv = p->argv.v;
	if (a->is_run && !a->sh && !a->entrypoint)
		p->opts.flags |= CONKER_EXEC_IMAGE_COMMAND;
	return r < 0 ? fail("no memory") : 0;
}

static uint32_t plan_flags(const struct exec_args *a)
{
	return (a->interactive ? CONKER_EXEC_STDIN : 0U) | (a->tty ? CONKER_EXEC_TTY : 0U) |
	       (a->merge ? CONKER_EXEC_MERGE_STDERR : 0U) | (a->detach ? CONKER_EXEC_KEEP : 0U) |
	       (a->leave_children ? CONKER_EXEC_LEAVE_CHILDREN : 0U) |
	       (a->keep_alive ? CONKER_EXEC_KEEP_ALIVE : 0U);
}

static conker_exec_opts plan_opts(const struct exec_args *a)
{
	conker_exec_opts o = {
		.size = sizeof(o),
		.flags = plan_flags(a),
		.cwd = a->workdir,
		.user = a->user,
		.name = a->name,
		.key = a->key,
		.timeout_ms = a->timeout_ms,
		.grace_ms = a->grace_ms,
		.stop_signal = a->stop_signal,
		.restart = a->restart.policy,
		.restart_max = a->restart.max,
		.backoff_ms = a->backoff_ms,
		.rlimits = a->rlimits.v,
		.n_rlimits = a->rlimits.n,
		.memory_max_bytes = a->memory_bytes,
		.pids_max = a->pids,
		.cpu_max_permille = a->cpu_permille,
		.log_bytes = (uint32_t)min_(a->log_bytes, (uint64_t)UINT32_MAX),
	};

	if (!a->keep_alive && a->timeout_ms == CONKER_NO_TIMEOUT)
		o.timeout_ms = 0;
	if (a->tty) {
		o.term = getenv("TERM");
		term_size(&o.rows, &o.cols);
	}
	return o;
}

int exec_plan_init(struct exec_plan *p, const struct cli *c, const struct exec_args *a, int argc,
		   char **argv)
{
	*p = (struct exec_plan){.opts = plan_opts(a)};
	int r = plan_argv(p, c, a, argc, argv);
	if (r == 0)
		r = plan_env(p, c, a);
	if (r)
		exec_plan_fini(p);
	return r;
}

void exec_plan_fini(struct exec_plan *p)
{
	while (p->env_text) {
		char *before;

		memcpy(&before, p->env_text, sizeof(before));
		free(p->env_text);
		p->env_text = before;
	}
	free(p->argv.v);
	free(p->env.v);
	*p = (struct exec_plan){0};
}

void exec_args_fini(struct exec_args *a)
{
	free(a->env.v);
	free(a->env_files.v);
}
