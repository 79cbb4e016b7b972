/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_image.c - conker image: root file systems. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

static int import(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "NAME PATH",
		.text = "Makes a directory or a tar archive ('-': standard input; compressed or "
			"not) the root file\n"
			"system NAME. An image of that name is replaced when the new one is "
			"complete.",
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status;

	c->command = "image import";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	signals_init();
	if (isatty(STDERR_FILENO))
		note("importing %s ...", argv[0]);
	int r = -EINTR;
	while (r == -EINTR && !signals_caught())
		r = conker_image_import(argv[0], argv[1], NULL);
	if (r < 0)
		return fail_lib();
	return 0;
}

struct image_ls {
	int json;
	int count;
};

static int on_image(const conker_image *i, void *user)
{
	struct image_ls *l = user;
	char age[24];

	if (l->json) {
		fputs(l->count ? ",\n {\"name\":" : "{\"name\":", stdout);
		json_string(i->name);
		printf(",\"bytes\":%llu,\"created\":%lld}", (unsigned long long)i->bytes,
		       (long long)i->created_s);
	} else {
		print_column(i->name, 24);
		printf(" %10.1f %6s\n", (double)i->bytes / (1 << 20),
		       age_text(time(NULL) - i->created_s, age, sizeof(age)));
	}
	l->count++;
	return 0;
}

static int ls(struct cli *c, int argc, char **argv)
{
	static const struct opt opts[] = {
		{"json", 0, OPT_FLAG, offsetof(struct image_ls, json), NULL,
		 "for programs: an array of objects"},
	};
	struct image_ls l = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.group = {{opts, countof(opts), &l}},
		.command_after = -1,
	};
	int status;

	c->command = "image ls";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (l.json)
		putchar('[');
	else
		printf("%-24s %10s %6s\n", "NAME", "MIB", "AGE");
	if (conker_image_list(on_image, &l) < 0)
		return fail_lib();
	if (l.json)
		puts("]");
	return finish_output();
}

static int rm(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "NAME...",
		.text = "Removes images. Boxes that run from them go on.",
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n;

	c->command = "image rm";
	n = opts_parse(c, &u, argc, argv, &status);
	for (int i = 0; i < n; i++)
		if (conker_image_remove(argv[i]) < 0)
			status = fail_lib();
	return status;
}

int image_pull(const struct cli *c, const char *ref, const conker_image_opts *o)
{
	(void)c;
	note("pulling %s", ref);
	return conker_image_pull(ref, o) < 0 ? fail_lib() : 0;
}

int cmd_image(struct cli *c, int argc, char **argv)
{
	static const struct command table[] = {
		{"import", import, "make a directory or a tar archive an image"},
		{"ls", ls, "list images"},
		{"rm", rm, "remove images"},
	};

	if (argc == 0)
		return fail_usage(c, "import, ls or rm?");
	if (argv[0][0] == '-') {
		struct usage u = {
			.operands = "import|ls|rm ...", .operands_min = 1, .command_after = -1};
		int status;

		return opts_parse(c, &u, argc, argv, &status) < 0 ? status : EXIT_CONKER;
	}
	int r = command_dispatch(c, table, countof(table), argc, argv);
	return r < 0 ? fail_usage(c, "no command '%s'; it is import, ls or rm", argv[0]) : r;
}
