/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_image.c - conker image: where boxes begin. getting.c has the two that take long. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CREDS_BYTES = 8 << 10 };

static const char *const commands = "pull, import, ls, inspect, tag, rm, df or prune";

/* ---- pull, import ---------------------------------------------------------------------------------- */

static const struct opt pull_opts[] = {
	{"platform", 0, OPT_STRING, offsetof(struct getting, platform), "OS/ARCH[/VARIANT]",
	 "of an image for several (linux/amd64)"},
	{"creds", 0, OPT_STRING, offsetof(struct getting, creds), "USER:PASSWORD|-",
	 "instead of what docker and podman know; -: a line of standard input, which others cannot "
	 "see"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct getting, quiet), NULL, "no progress"},
};

static const struct opt import_opts[] = {
	{"platform", 0, OPT_STRING, offsetof(struct getting, platform), "OS/ARCH[/VARIANT]",
	 "of an archive with several images (linux/amd64)"},
	{"ref", 0, OPT_STRING, offsetof(struct getting, ref), "NAME",
	 "of an archive with several images the one of that name"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct getting, quiet), NULL, "no progress"},
};

/* "-" becomes the line. 0, or the exit status. */
static int read_creds(struct getting *g, char line[CREDS_BYTES])
{
	if (!g->creds || strcmp(g->creds, "-") != 0)
		return 0;
	if (!fgets(line, CREDS_BYTES, stdin))
		return fail("no line with USER:PASSWORD on standard input");
	line[strcspn(line, "\r\n")] = 0;
	g->creds = line;
	return 0;
}

static int image_pull(struct cli *c, int argc, char **argv)
{
	char line[CREDS_BYTES];
	struct getting g = {0};
	struct usage u = {
		.operands = "[OPTIONS] REFERENCE...",
		.text = "Fetches images from their registries, with skopeo: python:3.12-slim, "
			"ghcr.io/a/b@sha256:...,\n"
			"localhost:5000/x. What is here already is neither fetched nor unpacked "
			"again.",
		.group = {{pull_opts, countof(pull_opts), &g}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n;

	c->command = "image pull";
	n = opts_parse(c, &u, argc, argv, &status);
	if (n < 0)
		return status;
	status = read_creds(&g, line);
	for (int i = 0; i < n && status == 0; i++)
		status = image_get_pull(&g, argv[i]);
	explicit_bzero(line, sizeof(line));
	return status;
}

static int image_import(struct cli *c, int argc, char **argv)
{
	struct getting g = {0};
	struct usage u = {
		.operands = "[OPTIONS] NAME PATH",
		.text = "Makes the image NAME of a directory, a tar archive of a root file system, "
			"an OCI layout (a directory\n"
			"or a tar), or what `docker save` and `podman save` write; '-': standard "
			"input; compressed by gzip,\n"
			"zstd, or not. An image of that name is replaced when the new one is "
			"complete.",
		.group = {{import_opts, countof(import_opts), &g}},
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status;

	c->command = "image import";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	return image_get_import(&g, argv[0], argv[1]);
}

/* ---- ls, inspect ----------------------------------------------------------------------------------- */

struct image_ls {
	int json;
	int count;
};

static const struct opt ls_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct image_ls, json), NULL,
	 "for programs: an array of objects"},
};

static void print_image(const conker_image *i)
{
	char age[24], alone[16], shared[16];

	print_column(*i->name ? i->name : "-", 44);
	printf(" %-12.12s %8s %8s %6s\n", *i->id ? i->id : "-",
	       size_text(i->bytes - i->shared_bytes, alone, sizeof(alone)),
	       size_text(i->shared_bytes, shared, sizeof(shared)),
	       age_text(time(NULL) - i->created_s, age, sizeof(age)));
}

static int on_image(const conker_image *i, void *user)
{
	struct image_ls *l = user;

	if (!l->json) {
		print_image(i);
		return 0;
	}
	if (l->count++)
		fputs(",\n ", stdout);
	json_image(i, 0);
	return 0;
}

static int image_ls(struct cli *c, int argc, char **argv)
{
	struct image_ls l = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "SIZE is what an image takes on disk alone, SHARED what other images have, "
			"too. One without a name\n"
			"(-) is there for a box, a snapshot or a template.",
		.group = {{ls_opts, countof(ls_opts), &l}},
		.command_after = -1,
	};
	int status;

	c->command = "image ls";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (l.json)
		putchar('[');
	else
		printf("%-44s %-12s %8s %8s %6s\n", "NAME", "ID", "SIZE", "SHARED", "AGE");
	if (conker_image_list(on_image, &l) < 0)
		return fail_lib();
	if (l.json)
		puts("]");
	return finish_output();
}

static int image_inspect(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "IMAGE...",
		.text = "All that an image says of itself, as a JSON array of objects.",
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n;
	conker_image *i;

	c->command = "image inspect";
	n = opts_parse(c, &u, argc, argv, &status);
	if (n < 0)
		return status;
	putchar('[');
	for (int k = 0; k < n; k++) {
		if (conker_image_inspect(argv[k], &i) < 0) {
			status = fail_lib();
			break;
		}
		fputs(k ? ",\n" : "", stdout);
		json_image(i, 1);
		conker_image_free(i);
	}
	puts("]");
	return status ? status : finish_output();
}

/* ---- names ----------------------------------------------------------------------------------------- */

static int image_tag(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "IMAGE NAME",
		.text = "One more name for an image: a local one, without '/', ':' and '@'.",
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status;

	c->command = "image tag";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	return conker_image_tag(argv[0], argv[1]) < 0 ? fail_lib() : 0;
}

static int image_rm(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "NAME...",
		.text = "Removes names of images, and with the last one the image, unless a box, a "
			"snapshot or a template\n"
			"uses it: then it stays without a name, until a prune finds it unused.",
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n;

	c->command = "image rm";
	n = opts_parse(c, &u, argc, argv, &status);
	for (int i = 0; i < n; i++) {
		int r = conker_image_remove(argv[i]);

		if (r < 0)
			status = fail_lib();
		else if (r > 0)
			note("'%s' is in use: it stays without a name; `conker image prune` "
			     "removes it later",
			     argv[i]);
	}
	return status;
}

/* ---- room ------------------------------------------------------------------------------------------ */

static void print_usage(const conker_image_usage *s)
{
	char text[16];

	printf("%-8s %6s %8s\n", "", "COUNT", "SIZE");
	printf("%-8s %6llu %8s\n", "images", (unsigned long long)s->images,
	       size_text(s->images_bytes, text, sizeof(text)));
	printf("%-8s %6s %8s\n", "unused", "", size_text(s->unused_bytes, text, sizeof(text)));
	printf("%-8s %6s %8s\n", "blobs", "", size_text(s->blobs_bytes, text, sizeof(text)));
}

static int image_df(struct cli *c, int argc, char **argv)
{
	struct image_ls l = {0};
	conker_image_usage s = {.size = sizeof(s)};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "What images take on disk, shared layers once; what a prune removes: "
			"images "
			"and layers that nothing\n"
			"needs, and blobs, which registries sent and a pull may use again.",
		.group = {{ls_opts, countof(ls_opts), &l}},
		.command_after = -1,
	};
	int status;

	c->command = "image df";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (conker_image_usage_get(&s) < 0)
		return fail_lib();
	if (!l.json)
		print_usage(&s);
	else
		printf("{\"images\":%llu,\"images_bytes\":%llu,\"unused_bytes\":%llu,"
		       "\"blobs_bytes\":%llu}\n",
		       (unsigned long long)s.images, (unsigned long long)s.images_bytes,
		       (unsigned long long)s.unused_bytes, (unsigned long long)s.blobs_bytes);
	return finish_output();
}

struct image_prune {
	int all;
	int64_t older_s;
};

static int image_prune(struct cli *c, int argc, char **argv)
{
	static const struct opt opts[] = {
		{"all", 'a', OPT_FLAG, offsetof(struct image_prune, all), NULL,
		 "also images with a name that no box, snapshot or template uses"},
		{"older", 0, OPT_AGE, offsetof(struct image_prune, older_s), "TIME",
		 "only what is older: 12h, 7d"},
	};
	struct image_prune p = {0};
	char text[16];
	uint64_t bytes = 0;
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "Removes blobs, then images without a name and a user, and layers of no "
			"image.",
		.group = {{opts, countof(opts), &p}},
		.command_after = -1,
	};
	int status;

	c->command = "image prune";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (conker_image_prune(p.all ? CONKER_PRUNE_ALL : 0, p.older_s, &bytes) < 0)
		return fail_lib();
	printf("%s freed\n", size_text(bytes, text, sizeof(text)));
	return finish_output();
}

int cmd_image(struct cli *c, int argc, char **argv)
{
	static const struct command table[] = {
		{"pull", image_pull, "fetch images from a registry"},
		{"import", image_import, "make a directory or an archive an image"},
		{"ls", image_ls, "list images"},
		{"inspect", image_inspect, "what an image says of itself"},
		{"tag", image_tag, "one more name for an image"},
		{"rm", image_rm, "remove names, and images"},
		{"df", image_df, "what images take on disk"},
		{"prune", image_prune, "remove what nothing needs"},
	};

	if (argc == 0)
		return fail_usage(c, "%s?", commands);
	if (argv[0][0] == '-') {
		struct usage u = {.operands = "pull|import|ls|inspect|tag|rm|df|prune ...",
				  .operands_min = 1,
				  .command_after = -1};
		int status;

		return opts_parse(c, &u, argc, argv, &status) < 0 ? status : EXIT_CONKER;
	}
	int r = command_dispatch(c, table, countof(table), argc, argv);
	return r < 0 ? fail_usage(c, "no command '%s'; it is %s", argv[0], commands) : r;
}
