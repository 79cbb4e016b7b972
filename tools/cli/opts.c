/* SPDX-License-Identifier: Apache-2.0 */
/* opts.c - options from tables: parsing, help and usage errors have one source. */
#include "tools/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	const struct cli *c;
	const struct usage *u;
	char **argv; /* what is left to read */
	int argc;
};

/* ---- help ------------------------------------------------------------------------------------ */

static void help_option(const struct opt *o)
{
	char left[48], letter[] = {'-', o->letter, ',', ' ', 0};

	(void)snprintf(left, sizeof(left), "%s--%s%s%s", o->letter ? letter : "    ", o->name,
		       o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-28s %s\n", left, o->help);
}

static int help(const struct parser *p)
{
	const struct usage *u = p->u;

	printf("conker %s %s\n", p->c->command, u->operands);
	if (u->text)
		printf("\n%s\n", u->text);
	printf("\n");
	for (size_t g = 0; g < countof(u->group); g++)
		for (size_t i = 0; i < u->group[g].n; i++)
			help_option(&u->group[g].opts[i]);
	printf("      %-24s %s\n", "--help", "this text");
	return finish_output();
}

/* ---- parsing --------------------------------------------------------------------------------- */

int strings_add(struct strings *l, const char *s)
{
	const char **v = realloc(l->v, (l->n + 2) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	v[l->n++] = s;
	v[l->n] = NULL;
	l->v = v;
	return 0;
}

static int store(const struct opt *o, void *into, const char *value)
{
	void *at = (char *)into + o->offset;

	if (o->kind == OPT_FLAG) {
		*(int *)at = 1;
		return 0;
	}
	assert(value); /* every other kind has o->arg */
	return value_parse(o->kind, value, at);
}

static const struct opt *opt_find(const struct usage *u, const char *name, size_t len, char letter,
				  void **ret_into)
{
	for (size_t g = 0; g < countof(u->group); g++) {
		for (size_t i = 0; i < u->group[g].n; i++) {
			const struct opt *o = &u->group[g].opts[i];

			if (name ? strlen(o->name) == len && memcmp(o->name, name, len) == 0
				 : o->letter == letter) {
				*ret_into = u->group[g].into;
				return o;
			}
		}
	}
	return NULL;
}

static const char *next(struct parser *p)
{
	if (p->argc == 0)
		return NULL;
	p->argc--;
	return *p->argv++;
}

static int set(struct parser *p, const struct opt *o, void *into, const char *value)
{
	int r = store(o, into, value);

	if (r == 0)
		return 0;
	if (r != -EINVAL)
		return fail_usage(p->c, "--%s: '%s' %s", o->name, value, value_wrong(r));
	return fail_usage(p->c, "--%s: '%s' is not %s", o->name, value, value_expected(o->kind));
}

/* "--name", "--name VALUE" or "--name=VALUE". 0, or the exit status. */
static int long_option(struct parser *p, const char *name)
{
	size_t len = strcspn(name, "=");
	const char *value = name[len] ? name + len + 1 : NULL;
	void *into;
	const struct opt *o = opt_find(p->u, name, len, 0, &into);

	if (!o)
		return fail_usage(p->c, "unknown option '--%.*s'", (int)len, name);
	if (!o->arg && value)
		return fail_usage(p->c, "--%s takes no value", o->name);
	if (o->arg && !value)
		value = next(p);
	if (o->arg && !value)
		return fail_usage(p->c, "--%s needs %s", o->name, o->arg);
	return set(p, o, into, value);
}

/* "-it", "-sVALUE" or "-s VALUE". 0, or the exit status. */
static int short_options(struct parser *p, const char *letters)
{
	for (; *letters; letters++) {
		void *into;
		const struct opt *o = opt_find(p->u, NULL, 0, *letters, &into);

		if (!o)
			return fail_usage(p->c, "unknown option '-%c'", *letters);
		if (!o->arg) {
			int r = set(p, o, into, NULL);
			if (r)
				return r;
			continue;
		}
		const char *value = letters[1] ? letters + 1 : next(p);
		if (!value)
			return fail_usage(p->c, "-%c needs %s", *letters, o->arg);
		return set(p, o, into, value);
	}
	return 0;
}

/* Options are over: "--" was read, or the command begins. */
static int only_operands(const struct usage *u, const char *arg, int n)
{
	return strcmp(arg, "--") == 0 ||
	       (u->command_after >= 0 && n >= u->command_after && (arg[0] != '-' || !arg[1]));
}

int opts_parse(const struct cli *c, const struct usage *u, int argc, char **argv, int *ret_status)
{
	struct parser p = {.c = c, .u = u, .argv = argv, .argc = argc};
	int n = 0, over = 0, r = 0;

	while (p.argc > 0 && r == 0) {
		char *arg = *p.argv;

		if (!over && only_operands(u, arg, n)) {
			over = 1;
			if (strcmp(arg, "--") == 0) {
				(void)next(&p);
				continue;
			}
		}
		(void)next(&p);
		if (over || arg[0] != '-' || !arg[1]) {
			argv[n++] = arg;
		} else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			*ret_status = help(&p);
			return -1;
		} else {
			r = arg[1] == '-' ? long_option(&p, arg + 2) : short_options(&p, arg + 1);
		}
	}
	argv[n] = NULL;
	if (r == 0 && n < u->operands_min)
		r = fail_usage(c, "too few arguments; it is: conker %s %s", c->command,
			       u->operands);
	if (r == 0 && u->operands_max >= 0 && n > u->operands_max)
		r = fail_usage(c, "unexpected argument '%s'", argv[u->operands_max]);
	*ret_status = r;
	return r ? -1 : n;
}
