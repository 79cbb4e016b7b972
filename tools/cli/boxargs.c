/* boxargs.c - the options that run, create and exec share, and what they become. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BOX(field)  offsetof(struct box_args, field)
#define EXEC(field) offsetof(struct exec_args, field)

const struct opt box_opt_table[] = {
	{"image", 0, OPT_STRING, BOX(image), "NAME",
	 "root file system (default: the built-in base image)"},
	{"memory", 'm', OPT_UINT, BOX(memory_mib), "MIB", "memory (128)"},
	{"cpus", 0, OPT_UINT, BOX(cpus), "N", "virtual CPUs (1)"},
	{"kernel", 0, OPT_STRING, BOX(kernel), "FILE", "vmlinux or bzImage of your own"},
	{"append", 0, OPT_STRING, BOX(append), "WORDS", "more words for the kernel's command line"},
	{"disk", 0, OPT_LIST, BOX(disks), "FILE[:ro]", "a raw disk: /dev/vdb, then vdc, ..."},
	{"ready-timeout", 0, OPT_SECONDS, BOX(ready_timeout_ms), "SECONDS",
	 "patience with its boot (60)"},
};
const size_t box_opt_count = countof(box_opt_table);

const struct opt exec_opt_table[] = {
	{"interactive", 'i', OPT_FLAG, EXEC(interactive), NULL, "pass our standard input to it"},
	{"tty", 't', OPT_FLAG, EXEC(tty), NULL, "give it a terminal"},
	{"env", 'e', OPT_LIST, EXEC(env), "NAME=VALUE", "set a variable of its environment"},
	{"workdir", 'w', OPT_STRING, EXEC(workdir), "DIR", "where it starts (/)"},
	{"user", 'u', OPT_STRING, EXEC(user), "USER[:GROUP]",
	 "who it is, by name or number (root)"},
	{"timeout", 0, OPT_SECONDS, EXEC(timeout_ms), "SECONDS",
	 "end it after that time: status 124"},
	{"sh", 0, OPT_STRING, EXEC(sh), "STRING",
	 "have /bin/sh run STRING; CMD... are its arguments"},
	{"verbose", 'v', OPT_FLAG, EXEC(verbose), NULL, "say what happens, step by step"},
};
const size_t exec_opt_count = countof(exec_opt_table);

static void log_line(const char *line, void *user)
{
	const struct cli *c = user;

	fprintf(stderr, "conker: [%7.1f ms] %s\n", (double)(now_us() - c->start_us) / 1000, line);
}

static int wants_log(const struct box_args *a)
{
	const char *log = getenv("CONKER_LOG");

	return a->verbose || (log && strcmp(log, "debug") == 0);
}

int box_create(const struct cli *c, const struct box_args *a, uint32_t flags, conker_box **ret)
{
	conker_box_opts o = {
		.size = sizeof(o),
		.name = a->name,
		.image = a->image,
		.kernel = a->kernel,
		.memory_mib = a->memory_mib,
		.cpus = a->cpus,
		.flags = flags,
		.ready_timeout_ms = a->ready_timeout_ms,
		.disks = a->disks.v,
		.cmdline_append = a->append,
		.log = wants_log(a) ? log_line : NULL,
		.log_user = (void *)c,
	};
	int r = -EINTR;

	while (r == -EINTR && !signals_caught())
		r = conker_box_create(&o, ret);
	return r;
}

static int check_env(const struct cli *c, const struct strings *env)
{
	for (size_t i = 0; i < env->n; i++)
		if (!strchr(env->v[i], '=') || env->v[i][0] == '=')
			return fail_usage(c, "--env: '%s' is not NAME=VALUE", env->v[i]);
	return 0;
}

const char **exec_argv(const struct cli *c, const struct exec_args *a, int argc, char **argv,
		       int *ret_status)
{
	const char **v;
	int n = 0;

	*ret_status = argc == 0 && !a->sh ? fail_usage(c, "no command given; it comes after '--'")
					  : check_env(c, &a->env);
	if (*ret_status)
		return NULL;
	v = calloc((size_t)argc + 5, sizeof(*v));
	if (!v) {
		*ret_status = fail("no memory");
		return NULL;
	}
	if (a->sh) {
		v[n++] = "/bin/sh";
		v[n++] = "-c";
		v[n++] = a->sh;
		v[n++] = "sh";
	}
	for (int i = 0; i < argc; i++)
		v[n++] = argv[i];
	return v;
}
