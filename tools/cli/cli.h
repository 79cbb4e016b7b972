/* cli.h - the conker command on one page.
 *
 *	main.c     the table of subcommands
 *	cmd_*.c    one subcommand each
 *	opts.c     option tables: parsing, help, usage errors
 *	boxargs.c  the options that run, create and exec share, and what they become
 *	session.c  one command of a box between our stdin, stdout and stderr
 *	sink.c     one of our output descriptors, which may be slow
 *	term.c     the terminal: raw mode, size
 *	signals.c  the signals that end us
 *	print.c    errors, tables, JSON
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

#define CONKER_VERSION "0.1.0"

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

int cmd_create(struct cli *c, int argc, char **argv);
int cmd_doctor(struct cli *c, int argc, char **argv);
int cmd_exec(struct cli *c, int argc, char **argv);
int cmd_image(struct cli *c, int argc, char **argv);
int cmd_info(struct cli *c, int argc, char **argv);
int cmd_kill(struct cli *c, int argc, char **argv);
int cmd_logs(struct cli *c, int argc, char **argv);
int cmd_ls(struct cli *c, int argc, char **argv);
int cmd_ps(struct cli *c, int argc, char **argv);
int cmd_rm(struct cli *c, int argc, char **argv);
int cmd_run(struct cli *c, int argc, char **argv);
int cmd_shell(struct cli *c, int argc, char **argv);
int cmd_stop(struct cli *c, int argc, char **argv);

/* Finds argv[0] in a table and runs it. */
int command_dispatch(struct cli *c, const struct command *table, size_t n, int argc, char **argv);
void command_list(FILE *f, const struct command *table, size_t n);

/* ---- print.c ------------------------------------------------------------------------------------- */

/* One line on stderr, "conker: ...", and EXIT_CONKER. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A usage error: names the subcommand and its --help. EXIT_CONKER. */
int fail_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The library's last message. EXIT_CONKER. */
int fail_lib(void);
/* Flushes stdout: 0, or EXIT_CONKER with a message when it could not all be written. */
int finish_output(void);

/* Text that a guest may have chosen, fit for a terminal: control characters become '?'. */
void print_clean(const char *s);
void json_string(const char *s);
const char *state_name(enum conker_box_state s);
/* "41s", "12m", "3h", "5d". */
const char *age_text(int64_t seconds, char *buf, size_t size);

/* ---- opts.c -------------------------------------------------------------------------------------- */

enum opt_kind {
	OPT_FLAG,    /* int: 1 when given */
	OPT_STRING,  /* const char * */
	OPT_UINT,    /* uint32_t, above zero */
	OPT_SECONDS, /* uint32_t of milliseconds; fractions allowed */
	OPT_LIST,    /* struct strings: may be given again */
	OPT_SIGNAL,  /* int: TERM, SIGTERM or 15 */
};

struct strings {
	const char **v; /* NULL-terminated when not NULL; the strings are argv's */
	size_t n;
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
	struct opt_group group[3];
	int operands_min, operands_max; /* max < 0: any number */
	int command_after; /* this many operands before a command, whose options are its own; < 0: none */
};

/* Reads options anywhere before "--" (or before the command), gathers operands at the front of argv.
 * The number of operands, or -1 with *ret_status: after --help and usage errors. */
must_check int opts_parse(const struct cli *c, const struct usage *u, int argc, char **argv,
			  int *ret_status);

/* ---- boxargs.c ----------------------------------------------------------------------------------- */

struct box_args {
	const char *name, *image, *kernel, *append;
	uint32_t memory_mib, cpus, ready_timeout_ms;
	struct strings disks;
	int verbose;
};

struct exec_args {
	int interactive, tty, verbose;
	const char *workdir, *user, *name, *sh;
	uint32_t timeout_ms;
	struct strings env;
};

extern const struct opt box_opt_table[], exec_opt_table[];
extern const size_t box_opt_count, exec_opt_count;

/* Creates the box, over again when a stopped and continued terminal job interrupted it. A library
 * error; -EINTR when one of our signals did. */
int box_create(const struct cli *c, const struct box_args *a, uint32_t flags, conker_box **ret);

/* The command to run from operands and --sh: NULL-terminated, to be freed; NULL with *ret_status. */
const char **exec_argv(const struct cli *c, const struct exec_args *a, int argc, char **argv,
		       int *ret_status);

/* ---- session.c ----------------------------------------------------------------------------------- */

enum session_end {
	SESSION_EXITED, /* status is the exit status to use */
	SESSION_FAILED, /* could not be started, box lost, ...: message printed, status likewise */
	SESSION_BROKEN, /* a signal of ours, or nobody reads our output: the command may still run */
};

struct session {
	enum session_end end;
	int status;
	conker_status result; /* with SESSION_EXITED */
	int64_t started_us, ended_us;
};

/* Runs the command to its end between our descriptors. On SESSION_BROKEN it has been killed when
 * must_kill is set; else the caller ends the box. The terminal is as it was before. */
enum { SESSION_KILL = 1 << 0 };
void session_run(struct session *s, conker_box *b, const struct exec_args *a, const char **argv,
		 int flags);

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

/* Raw mode while an interactive terminal is ours; undone by term_restore(), which may come twice. */
struct term;
struct term *term_raw(void); /* NULL when stdin is no terminal */
struct term *term_restore(struct term *t);
/* Size of the terminal on stdin, stdout or stderr; leaves the values alone when there is none. */
void term_size(uint16_t *rows, uint16_t *cols);

/* ---- signals.c ----------------------------------------------------------------------------------- */

/* From here on SIGINT, SIGTERM, SIGQUIT and SIGHUP are remembered and interrupt what waits; SIGPIPE is
 * ignored and SIGWINCH noticed. */
void signals_init(void);
/* The first of them that came, or 0. */
int signals_caught(void);
/* Whether SIGWINCH came since the last call. */
int signals_resized(void);
/* Delivers them in ppoll() with *ret_in_poll only, so that none slips in before it. */
void signals_hold(sigset_t *ret_in_poll);

static inline int exit_by_signal(int signo)
{
	return EXIT_BY_SIGNAL + signo;
}

int64_t now_us(void);

#endif
