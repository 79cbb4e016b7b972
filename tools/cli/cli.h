/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - the conker command on one page.
 *
 *	main.c      the table of subcommands
 *	cmd_*.c     one subcommand each, or two that belong together
 *	opts.c      option tables: parsing, help, usage errors
 *	values.c    what the values of options may be
 *	boxargs.c   the options that run and create share, and what they become
 *	execargs.c  likewise of run, exec and shell
 *	getting.c   images fetched and made, with progress
 *	session.c   one execution of a box between our stdin, stdout and stderr
 *	sink.c      one of our output descriptors, which may be slow
 *	term.c      the terminal: raw mode, size
 *	signals.c   the signals that end us
 *	report.c    executions as text, as JSON and as exit statuses
 *	print.c     errors, text, JSON
 *
 * The command uses conker.h only, as any other program would. One thread.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/conker.h"
#include "util/util.h"

enum { /* exit statuses, as docker's */
       EXIT_TIMED_OUT = 124,
       EXIT_CONKER = 125,
       EXIT_CANNOT_EXEC = 126,
       EXIT_NOT_FOUND = 127,
       EXIT_BY_SIGNAL = 128,
};

struct cli {
	const char *command; /* "run", "image import" */
	int64_t start_us;    /* when the process began, CLOCK_MONOTONIC */
};

struct command {
	const char *name;
	int (*run)(struct cli *c, int argc,
		   char **argv); /* argv[0] is the first argument; exit status */
	const char *summary;
};

int cmd_attach(struct cli *c, int argc, char **argv);
int cmd_bench(struct cli *c, int argc, char **argv);
int cmd_cp(struct cli *c, int argc, char **argv);
int cmd_create(struct cli *c, int argc, char **argv);
int cmd_doctor(struct cli *c, int argc, char **argv);
int cmd_exec(struct cli *c, int argc, char **argv);
int cmd_forward(struct cli *c, int argc, char **argv);
int cmd_fork(struct cli *c, int argc, char **argv);
int cmd_forget(struct cli *c, int argc, char **argv);
int cmd_fs(struct cli *c, int argc, char **argv);
int cmd_image(struct cli *c, int argc, char **argv);
int cmd_template(struct cli *c, int argc, char **argv);
int cmd_info(struct cli *c, int argc, char **argv);
int cmd_kill(struct cli *c, int argc, char **argv);
int cmd_logs(struct cli *c, int argc, char **argv);
int cmd_ls(struct cli *c, int argc, char **argv);
int cmd_ps(struct cli *c, int argc, char **argv);
int cmd_restore(struct cli *c, int argc, char **argv);
int cmd_resume(struct cli *c, int argc, char **argv);
int cmd_rm(struct cli *c, int argc, char **argv);
int cmd_run(struct cli *c, int argc, char **argv);
int cmd_shell(struct cli *c, int argc, char **argv);
int cmd_snapshot(struct cli *c, int argc, char **argv);
int cmd_stats(struct cli *c, int argc, char **argv);
int cmd_stop(struct cli *c, int argc, char **argv);
int cmd_suspend(struct cli *c, int argc, char **argv);
int cmd_wait(struct cli *c, int argc, char **argv);

/* Finds argv[0] in a table and runs it. */
int command_dispatch(struct cli *c, const struct command *table, size_t n, int argc, char **argv);
void command_list(FILE *f, const struct command *table, size_t n);

/* ---- print.c ------------------------------------------------------------------------------------- */

/* One line on stderr, "conker: ...", fit for a terminal whatever is in it, and EXIT_CONKER. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Likewise, of what is no failure. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A usage error: names the subcommand and its --help. EXIT_CONKER. */
int fail_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The library's last message; or nothing, when one of our signals interrupted it. The exit status. */
int fail_lib(void);
/* 0, or EXIT_CONKER with a message: paths in a box are absolute. */
int check_box_path(const char *path);
/* Flushes stdout: 0, or EXIT_CONKER with a message when it could not all be written. main() does so after every
 * command; who calls it before does not go on in vain. */
int finish_output(void);

/* Text that somebody else may have chosen, fit for a terminal (util/clean.h). */
void print_clean(const char *s);
/* Likewise of a line of output, which keeps its tabs. */
void print_clean_line(const char *s, size_t len);
/* Likewise, and blanks up to that many characters. */
void print_column(const char *s, size_t width);
void json_string(const char *s);
void json_bytes(const char *s, size_t len);
const char *state_name(enum conker_box_state s);
/* "41s", "12m", "3h", "5d". */
const char *age_text(int64_t seconds, char *buf, size_t size);
/* "812K", "3.4M", "1.2G". */
const char *size_text(uint64_t bytes, char *buf, size_t size);
/* "2026-11-21T04:00:00.123456Z". */
const char *time_text(int64_t unix_us, char *buf, size_t size);

/* ---- opts.c -------------------------------------------------------------------------------------- */

enum opt_kind {
	OPT_FLAG,   /* int: 1 when given */
	OPT_STRING, /* const char *, not empty: that is a variable which was not set, and no value */
	OPT_TEXT,   /* const char *, which may be */
	OPT_UINT,   /* uint32_t, above zero */
	OPT_SECONDS, /* int of milliseconds; fractions allowed */
	OPT_TIMEOUT, /* likewise; 0 becomes CONKER_NO_TIMEOUT */
	OPT_AGE,     /* int64_t of seconds: 90s, 12h, 7d, 2w */
	OPT_LIST,    /* struct strings, none empty: may be given again */
	OPT_SIGNAL,  /* int: TERM, SIGTERM, RTMIN+3 or 15 */
	OPT_BYTES,   /* uint64_t, above zero: 1000, 64K, 1.5M, 2G */
	OPT_MIB,     /* likewise, but a number without a letter is of MiB */
	OPT_MEMORY,  /* uint32_t of MiB, which it must be whole ones of; otherwise likewise */
	OPT_CPUS,    /* uint32_t of thousandths: 1.5 */
	OPT_RESTART, /* struct restart_arg: never, on-failure[:MAX], always[:MAX] */
	OPT_RLIMIT,  /* struct rlimits: NAME=SOFT[:HARD]; may be given again */
	OPT_PORT,    /* struct ports: may be given again */
	OPT_OFFSETS, /* struct offsets: OFFSET[:STDERR_OFFSET] */
	OPT_KEYS,    /* struct keys: "ctrl-p,ctrl-q"; empty: none */
	OPT_RATE,    /* conker_rate: BYTES[:OPS], 20M:1000, :500; 0 becomes CONKER_NO_LIMIT */
};

struct strings {
	const char **v; /* NULL-terminated when not NULL; the strings are argv's */
	size_t n;
};

struct restart_arg {
	enum conker_restart policy;
	uint32_t max; /* 0: unlimited */
};

enum { KEYS_MAX = 8 };

struct rlimits {
	conker_rlimit v[CONKER_RLIMITS_MAX];
	size_t n;
};

struct ports {
	uint16_t v[CONKER_PORTS_MAX];
	size_t n;
};

struct offsets {
	uint64_t out, err;
	int given;
};

struct keys { /* a sequence of keys, looked for in what is typed */
	unsigned char v[KEYS_MAX], held[KEYS_MAX];
	size_t n, n_held;
};

struct opt {
	const char *name; /* without the dashes */
	char letter;      /* or 0 */
	enum opt_kind kind;
	size_t offset;   /* in the structure of its group */
	const char *arg; /* what the help calls the value; NULL for OPT_FLAG */
	const char *help;
};

struct opt_group {
	const struct opt *opts;
	size_t n;
	void *into;
};

struct usage {
	const char *operands; /* "[OPTIONS] BOX..." */
	const char *text;     /* paragraphs below, or NULL */
	struct opt_group group[5];
	int operands_min, operands_max; /* max < 0: any number */
	int command_after; /* this many operands before a command, whose options are its own; < 0: none */
};

/* Reads options anywhere before "--" (or before the command), gathers operands at the front of argv.
 * The number of operands, or -1 with *ret_status: after --help and usage errors. */
must_check int opts_parse(const struct cli *c, const struct usage *u, int argc, char **argv,
			  int *ret_status);

must_check int strings_add(struct strings *l, const char *s);

/* ---- values.c ------------------------------------------------------------------------------------ */

/* The value of an option into what its kind says. 0; -EINVAL: it is not value_expected(); or what
 * value_wrong() has words for: "is too large". */
must_check int value_parse(enum opt_kind kind, const char *s, void *ret);
/* "a whole number above zero" */
const char *value_expected(enum opt_kind kind);
const char *value_wrong(int r);
/* What a user calls an execution: its number, its name, or "key:KEY". Points into s. What none can be called the library
 * refuses, with the reason. */
conker_exec_ref exec_ref_of(const char *s);
/* Whether data[0..len) completes the keys. *ret_len bytes are put to out, which may be data, if there are
 * KEYS_MAX bytes of room before it, and begin there: what is to be passed on. The beginning of the keys is
 * held back until the next byte decides, so that the command never sees one of them. */
int keys_typed(struct keys *k, const char *data, size_t len, char *out, size_t *ret_len);

/* ---- boxargs.c ----------------------------------------------------------------------------------- */

struct box_args {
	const char *name, *image, *kernel, *append, *from;
	uint32_t memory_mib, cpus;
	int ready_timeout_ms, idle_timeout_ms, idle_suspend_ms, max_life_ms;
	struct strings disks;
	conker_rate disk_rate, vsock_rate, console_rate;
	int verbose, require_jail, warm;
};

extern const struct opt box_opt_table[], life_opt_table[];
extern const size_t box_opt_count, life_opt_count;

/* Creates the box, over again when a stopped and continued terminal job interrupted it. A library
 * error; -EINTR when one of our signals did. */
int box_create(const struct cli *c, const struct box_args *a, uint32_t flags, conker_box **ret);
/* Creates one that stays: its name on stdout. The exit status. */
int box_create_and_print(const struct cli *c, const struct box_args *a);

/* ---- execargs.c ---------------------------------------------------------------------------------- */

struct exec_args {
	int interactive, tty, verbose, merge, detach, leave_children, keep_alive;
	const char *workdir, *user, *name, *key, *sh, *shell;
	int timeout_ms, grace_ms, backoff_ms, await_timeout_ms;
	uint64_t memory_bytes, log_bytes;
	uint32_t pids, cpu_permille;
	struct strings env, env_files;
	struct restart_arg restart;
	struct rlimits rlimits;
	struct ports ports;
	struct keys detach_keys;
};

/* ctrl-p,ctrl-q as an initialiser */
#define DETACH_KEYS                                   \
	{                                             \
		.v = {'p' & 0x1f, 'q' & 0x1f}, .n = 2 \
	}

extern const struct opt exec_opt_table[], limit_opt_table[];
extern const size_t exec_opt_count, limit_opt_count;

/* What the library is to start; the strings are those of the arguments. */
struct exec_plan {
	conker_exec_opts opts;
	struct strings argv, env;
	char *env_text; /* of the last file, which links to the ones before */
};

/* The plan from options, operands and --sh: 0, or the exit status after a message. */
int exec_plan_init(struct exec_plan *p, const struct cli *c, const struct exec_args *a, int argc,
		   char **argv);
void exec_plan_fini(struct exec_plan *p);
/* What option lists of *a hold. */
void exec_args_fini(struct exec_args *a);

/* ---- getting.c ----------------------------------------------------------------------------------- */

struct getting {
	const char *platform, *ref, *creds; /* NULL: not said */
	int quiet;
};

/* Pulls an image, or imports one, showing how far it is. The exit status, after a message; 128 + N when signal N ended it.
 * A pull says the whole name before the first byte is asked for. */
int image_get_pull(const struct getting *g, const char *ref);
int image_get_import(const struct getting *g, const char *name, const char *path);
/* Pure: one line of it, without a newline. bytes_per_s 0: not known yet. */
void image_progress_text(const conker_image_progress *p, uint64_t bytes_per_s, char *ret,
			 size_t size);

/* ---- report.c ------------------------------------------------------------------------------------ */

/* For programs ("timed_out") and for people ("timed out", "exited (3)"). */
const char *exec_state_name(enum conker_exec_state s);
const char *exec_state_text(enum conker_exec_state s, const conker_status *st, char *buf,
			    size_t size);
int exit_status_of(const conker_status *st);
int exit_status_of_failure(const conker_failure *f);
/* One line on stderr, with the name of the box unless a step of a start failed. The exit status. */
int report_failure(conker_box *b, const conker_failure *f);
void report_gap(const conker_gap *g, const char *end_of_line);
void json_status(const conker_status *st);
void json_usage(const conker_usage *u);
void json_exec(const conker_exec_info *i, int with_usage);
void json_box(const conker_box_info *i);
/* On one line; pretty: for people, too. */
void json_image(const conker_image *i, int pretty);
void print_argv(const char *const *argv);

/* ---- session.c ----------------------------------------------------------------------------------- */

enum session_end {
	SESSION_EXITED,   /* status is the exit status to use */
	SESSION_DETACHED, /* by the keys: message printed, status 0 */
	SESSION_FAILED, /* could not be started, box lost, ...: message printed, status likewise */
	SESSION_BROKEN, /* a signal of ours, or nobody reads our output: the command may still run */
	SESSION_AGAIN,  /* the box was suspended, nothing has happened: open it again */
};

struct session {
	enum session_end end;
	int status;
	conker_status result; /* with SESSION_EXITED */
	int64_t started_us, ended_us;
};

enum {
	SESSION_KILL = 1 << 0,    /* on SESSION_BROKEN the command has been killed */
	SESSION_FORWARD = 1 << 1, /* our ending signals go to the command instead of ending us */
};

/* Runs the command to its end between our descriptors. The terminal is as it was before. */
void session_run(struct session *s, conker_box *b, const struct exec_plan *plan, struct keys detach,
		 int flags);

/* Starts a command and leaves it once it runs: its number on stdout. Then waits for the ports, if any. s->status is
 * the exit status; s->end says only whether it is SESSION_AGAIN. */
void session_detached(struct session *s, conker_box *b, const struct exec_plan *plan,
		      const struct exec_args *a);

/* As session_run(), with an execution that is there; tty: it is on a terminal. */
struct session_view {
	conker_exec_ref exec;
	conker_view_opts opts;
	int tty;
};
void session_attach(struct session *s, conker_box *b, const struct session_view *v,
		    struct keys detach, int flags);

/* ---- sink.c -------------------------------------------------------------------------------------- */

struct sink {
	int fd, own_fd; /* own_fd: ours to close, or -1 */
	size_t chunk;   /* most that one write may take without blocking */
	char *buf;      /* bytes not written yet: buf[head..tail) */
	size_t head, tail, cap;
};

must_check int sink_init(struct sink *k, int fd, size_t cap);
void sink_fini(struct sink *k);
/* Takes all of it; the caller keeps what is in flight below cap. Writes what fits. Bytes written to the
 * descriptor, also older ones; or -errno. */
ssize_t sink_put(struct sink *k, const void *data, size_t len);
/* Writes more, after POLLOUT. As sink_put(). */
ssize_t sink_flush(struct sink *k);
static inline int sink_pending(const struct sink *k)
{
	return k->head < k->tail;
}

/* ---- term.c -------------------------------------------------------------------------------------- */

/* Raw mode while an interactive terminal on stdin is ours, and back. Both may come twice; a crash of ours
 * restores it too. term_raw() says whether it is raw now. */
int term_raw(void);
void term_restore(void);
/* Size of the terminal on stdin, stdout or stderr; leaves the values alone when there is none. */
void term_size(uint16_t *rows, uint16_t *cols);

/* ---- signals.c ----------------------------------------------------------------------------------- */

/* From here on the signals that would end us are remembered and interrupt what waits; SIGPIPE is ignored,
 * SIGWINCH and SIGCONT are noticed. */
void signals_init(void);
/* Likewise, but of the terminal nothing is noticed: for what goes on when its size changes. */
void signals_init_ending(void);
/* The first of them that came, or 0. */
int signals_caught(void);
/* A call that waits and may be made twice, over again when a stopped and continued job interrupted it. */
#define over_again(call)                                   \
	__extension__({                                    \
		int r_;                                    \
		do                                         \
			r_ = (call);                       \
		while (r_ == -EINTR && !signals_caught()); \
		r_;                                        \
	})
/* From here on they do not end us; signals_next() returns each that came once, or 0. */
void signals_forward(void);
int signals_next(void);
/* Whether SIGWINCH or SIGCONT came since the last call: the terminal may have changed. */
int signals_resized(void);
/* From here on SIGTSTP is noticed; signals_stop_asked() says whether it came since the last call. */
void signals_catch_stop(void);
int signals_stop_asked(void);
/* Stops us as SIGTSTP would have; returns when continued. */
void signals_stop(void);
/* Delivers them in ppoll() with *ret_in_poll only, so that none slips in before it. */
void signals_hold(sigset_t *ret_in_poll);

static inline int exit_by_signal(int signo)
{
	return EXIT_BY_SIGNAL + signo;
}

int64_t now_us(void);

#endif
