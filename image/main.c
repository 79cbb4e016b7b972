/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - conker-image: a foreign archive into an image. README.md has the command line and what comes out.
 *
 * Two processes: the keeper, which is this one, has the directories; the reader, its child, has the archive and the jail.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/blobs.h"
#include "image/door.h"
#include "image/jail.h"
#include "image/make.h"
#include "util/cleanup.h"
#include "util/num.h"

enum { KEPT = 6 /* descriptors of the reader */, PLATFORM_BYTES = 64, FILE_SLACK_BYTES = 1 << 30 };

struct options {
	struct keeper keeper;
	struct make_job job;
	enum jail_mode jail;
	int plan; /* lines about a manifest are wanted, and no image */
	char platform[PLATFORM_BYTES];
};

/* "EINVAL 'x': why": one line, the word first. */
static int complain(const struct err *e)
{
	const char *word = strerrorname_np(e->code);

	(void)fprintf(stderr, "%s %s\n", word ? word : "EIO", e->msg);
	return 1;
}

/* ---- the command line -------------------------------------------------------------------------------- */

static int parse_number(const char *s, uint64_t max, uint64_t *ret)
{
	return num_parse(s, strlen(s), 10, max, ret) < 0 ? -EINVAL : 0;
}

static int parse_fd(const char *s, int *ret)
{
	uint64_t v;

	if (parse_number(s, INT32_MAX, &v) < 0 || fcntl((int)v, F_GETFD) < 0)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

/* "os/arch" or "os/arch/variant", cut in place. */
static int parse_platform(struct options *o, const char *s)
{
	char *rest = o->platform;

	if (strlen(s) >= sizeof(o->platform))
		return -EINVAL;
	memcpy(o->platform, s, strlen(s) + 1);
	o->job.want.os = strsep(&rest, "/");
	o->job.want.arch = rest ? strsep(&rest, "/") : "";
	o->job.want.variant = rest ? rest : "";
	return *o->job.want.os && *o->job.want.arch ? 0 : -EINVAL;
}

static int option_parse(struct options *o, int option, const char *value)
{
	struct limits *l = &o->job.limits;

	switch (option) {
	case 'w': return parse_fd(value, &o->keeper.work);
	case 'i': return parse_fd(value, &o->job.input);
	case 'l': return parse_fd(value, &o->keeper.layers);
	case 'b': return parse_fd(value, &o->keeper.blobs);
	case 'p': return parse_fd(value, &o->job.progress.fd);
	case 'P': return parse_platform(o, value);
	case 'r': o->job.want.ref = value; return 0;
	case 'n': o->plan = 1; return 0;
	case 'j': return jail_mode_parse(value, &o->jail);
	case 'e': return parse_number(value, UINT32_MAX, &l->entries);
	case 's': return parse_number(value, INT64_MAX, &l->bytes);
	case 'x':
		return parse_number(value, UINT32_MAX, &l->ratio) < 0 || l->ratio == 0 ? -EINVAL
										       : 0;
	default: return -EINVAL;
	}
}

static const struct option known[] = {
	{"work-fd", required_argument, NULL, 'w'},
	{"input-fd", required_argument, NULL, 'i'},
	{"layers-fd", required_argument, NULL, 'l'},
	{"blobs-fd", required_argument, NULL, 'b'},
	{"progress-fd", required_argument, NULL, 'p'},
	{"platform", required_argument, NULL, 'P'},
	{"ref", required_argument, NULL, 'r'},
	{"jail", required_argument, NULL, 'j'},
	{"max-entries", required_argument, NULL, 'e'},
	{"max-bytes", required_argument, NULL, 's'},
	{"max-ratio", required_argument, NULL, 'x'},
	{"plan", no_argument, NULL, 'n'},
	{0},
};

static int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	int option, which = 0;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, &which)) >= 0) {
		if (option == '?')
			return err_set(e, EINVAL, "%s: not an option, or without its value",
				       argv[optind - 1]);
		if (option_parse(o, option, optarg) < 0)
			return err_set(e, EINVAL, "--%s %s: not a value of it", known[which].name,
				       optarg);
	}
	if (optind < argc)
		return err_set(e, EINVAL, "%s: not an option", argv[optind]);
	return o->keeper.work < 0 && !o->plan ? err_set(e, EINVAL, "--work-fd is missing") : 0;
}

/* A directory is the keeper's. */
static int take_input(struct options *o, struct err *e)
{
	struct stat st;

	if (fstat(o->job.input, &st) < 0)
		return err_errno(e, "look at the input");
	if (S_ISDIR(st.st_mode)) {
		o->keeper.layout = o->job.input;
		o->job.input = -1;
	}
	return 0;
}

/* ---- the two processes ------------------------------------------------------------------------------- */

static int plan(const struct options *o, struct err *e)
{
	auto_json json_t *document = NULL;
	struct span s = span_of(o->job.input);
	int r = json_read(&s, NULL, "the manifest", NULL, &document, e);

	return r < 0 ? r : oci_plan(document, &o->job.want, STDOUT_FILENO, e);
}

static int reader(struct options *o, struct err *e)
{
	int keep[KEPT] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO,
			  o->job.door,  o->job.input,  o->job.progress.fd};
	struct jail j = {.mode = o->jail,
			 .told = o->job.progress.fd,
			 .file_bytes = o->job.limits.bytes + FILE_SLACK_BYTES,
			 .e = e};
	int r = jail_enter(&j, keep, countof(keep));

	if (r < 0)
		return r;
	return o->plan ? plan(o, e) : make_image(&o->job, e);
}

_Noreturn static void reader_main(struct options *o, int door, const sigset_t *was)
{
	struct err e = {0};

	(void)sigprocmask(SIG_SETMASK, was, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* who does not listen to progress is no reason to stop */
	o->job.door = door;
	json_object_seed(0); /* looks for random bytes, at a path */
	_exit(reader(o, &e) < 0 ? complain(&e) : 0);
}

static int run_both(struct options *o)
{
	int pair[2];
	sigset_t set, was;
	struct err e = {0};

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, &was) < 0) {
		(void)!err_errno(&e, "make a socket pair");
		return complain(&e);
	}
	pid_t pid = fork();
	if (pid == 0)
		reader_main(o, pair[1], &was);
	(void)close(pair[1]);
	if (pid < 0) {
		(void)!err_errno(&e, "fork");
		return complain(&e);
	}
	o->keeper.door = pair[0];
	int status = keeper_serve(&o->keeper, pid, &set, &e);
	if (e.code)
		(void)complain(&e);
	return status;
}

/* Descriptors are numbers here: none of ours may be taken for one of the three. */
static int open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
	return fd;
}

int main(int argc, char **argv)
{
	struct options o = {
		.keeper = {.door = -1, .work = -1, .layout = -1, .blobs = -1, .layers = -1},
		.job = {.input = STDIN_FILENO,
			.want = {.os = "linux", .arch = "amd64", .variant = ""},
			.limits = {LIMIT_ENTRIES, LIMIT_BYTES, LIMIT_RATIO},
			.progress = {.fd = -1}},
		.jail = JAIL_ON,
	};
	struct err e = {0};

	if (open_standard() < 0 || options_parse(&o, argc, argv, &e) < 0 || take_input(&o, &e) < 0)
		return complain(&e);
	return run_both(&o);
}
