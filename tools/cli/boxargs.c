/* SPDX-License-Identifier: Apache-2.0 */
/* boxargs.c - the options that run and create share, and what they become. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BOX(field) offsetof(struct box_args, field)

const struct opt box_opt_table[] = {
	{"image", 0, OPT_STRING, BOX(image), "IMAGE",
	 "a local name, or as Docker has them: python:3.12-slim (the built-in base)"},
	{"pull", 0, OPT_STRING, BOX(pull), "WHEN",
	 "get it from its registry: always, missing (the default) or never"},
	{"memory", 'm', OPT_MEMORY, BOX(memory_mib), "MIB", "memory (128); or with K, M, G"},
	{"cpus", 0, OPT_UINT, BOX(cpus), "N", "virtual CPUs (1)"},
	{"kernel", 0, OPT_STRING, BOX(kernel), "FILE", "vmlinux or bzImage of your own"},
	{"append", 0, OPT_TEXT, BOX(append), "WORDS", "more words for the kernel's command line"},
	{"disk", 0, OPT_LIST, BOX(disks), "FILE[:ro]", "a raw disk: /dev/vdb, then vdc, ..."},
	{"disk-rate", 0, OPT_RATE, BOX(disk_rate), "BYTES[:OPS]",
	 "what each disk may move in a second (2G:100000)"},
	{"vsock-rate", 0, OPT_RATE, BOX(vsock_rate), "BYTES[:OPS]",
	 "likewise what passes in and out of it (2G:100000)"},
	{"console-rate", 0, OPT_RATE, BOX(console_rate), "BYTES[:OPS]",
	 "likewise its console (8M:20000)"},
	{"ready-timeout", 0, OPT_SECONDS, BOX(ready_timeout_ms), "SECONDS",
	 "patience with its boot (60)"},
	{"from", 0, OPT_STRING, BOX(from), "DIR",
	 "begin with a snapshot (conker snapshot) instead of booting"},
	{"warm", 0, OPT_FLAG, BOX(warm), NULL,
	 "begin with a snapshot of a booted box, made and kept when there is none that fits"},
	{"require-jail", 0, OPT_FLAG, BOX(require_jail), NULL,
	 "refuse a host that lacks a layer of the jail"},
};
const size_t box_opt_count = countof(box_opt_table);

const struct opt life_opt_table[] = {
	{"max-life", 0, OPT_SECONDS, BOX(max_life_ms), "SECONDS", "end it after that time"},
	{"idle-timeout", 0, OPT_SECONDS, BOX(idle_timeout_ms), "SECONDS",
	 "end it when nobody has used it for that long"},
	/* The last, which run leaves out: of a box that stays. */
	{"idle-suspend", 0, OPT_SECONDS, BOX(idle_suspend_ms), "SECONDS",
	 "likewise, but suspend it"},
};
const size_t life_opt_count = countof(life_opt_table);

static void log_line(const char *line, void *user)
{
	const struct cli *c = user;

	note("[%7.1f ms] %s", (double)(now_us() - c->start_us) / 1000, line);
}

static int wants_log(const struct box_args *a)
{
	const char *log = getenv("CONKER_LOG");

	return a->verbose || (log && strcmp(log, "debug") == 0);
}

/* Nothing is left out silently, and nobody takes a warm start for a boot. */
static void tell(conker_box *b, const struct box_args *a)
{
	conker_box_info info = {.size = sizeof(info)};

	if (conker_box_info_get(b, &info) < 0)
		return;
	if (a->warm)
		note("not booted, begun with the template %s%s", info.from,
		     info.template_us ? ", made for it and later ones" : "");
	if (*info.unjailed)
		note("this host lacks layers of the jail: %s; --require-jail refuses such hosts",
		     info.unjailed);
}

int box_pull(const struct cli *c, const struct box_args *a)
{
	char ref[256];
	const char *when = a->pull ? a->pull : "missing";
	int always = strcmp(when, "always") == 0, never = strcmp(when, "never") == 0;

	if (!always && !never && strcmp(when, "missing") != 0)
		return fail_usage(c, "--pull: '%s' is not always, missing or never", when);
	if (!a->image || a->from || never)
		return 0;
	int here = conker_image_resolve(a->image, ref);
	if (here < 0)
		return fail_lib();
	if (!*ref || (here && !always)) /* for a local name there is nobody to ask */
		return 0;
	return image_get_pull(&(const struct getting){0}, ref);
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
		.flags = flags | (a->require_jail ? CONKER_BOX_REQUIRE_JAIL : 0) |
			 (a->warm ? CONKER_BOX_WARM : 0),
		.ready_timeout_ms = a->ready_timeout_ms,
		.disks = a->disks.v,
		.cmdline_append = a->append,
		.idle_timeout_ms = a->idle_timeout_ms,
		.idle_suspend_ms = a->idle_suspend_ms,
		.max_life_ms = a->max_life_ms,
		.from = a->from,
		.disk_rate = a->disk_rate,
		.vsock_rate = a->vsock_rate,
		.console_rate = a->console_rate,
		.log = wants_log(a) ? log_line : NULL,
		.log_user = (void *)c,
	};
	int r = -EINTR;

	while (r == -EINTR && !signals_caught())
		r = conker_box_create(&o, ret);
	if (r == 0)
		tell(*ret, a);
	return r;
}

int box_create_and_print(const struct cli *c, const struct box_args *a)
{
	conker_box_info info = {.size = sizeof(info)};
	conker_box *b;
	int status = box_pull(c, a);

	if (status)
		return status;
	if (box_create(c, a, CONKER_BOX_DETACHED, &b) < 0)
		return fail_lib();
	int r = conker_box_info_get(b, &info);
	conker_box_free(b);
	if (r < 0)
		return fail_lib();
	puts(info.name);
	return finish_output();
}
