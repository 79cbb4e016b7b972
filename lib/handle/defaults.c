/* SPDX-License-Identifier: Apache-2.0 */
/* defaults.c - see defaults.h. The rules are those of Docker's run and exec. */
#include "lib/handle/defaults.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct image_config nothing;

static size_t list_count(const char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

static const char **list_append(const char **to, const char *const *v)
{
	while (v && *v)
		*to++ = *v++;
	return to;
}

/* Whether the caller has that variable. */
static int env_has(const char *const *env, const char *item)
{
	size_t name = strcspn(item, "=");

	for (; env && *env; env++)
		if (strncmp(*env, item, name) == 0 && ((*env)[name] == '=' || !(*env)[name]))
			return 1;
	return 0;
}

/* The image's, but for what the caller sets; then the caller's. */
static const char **env_merge(const char **to, const char *const *image, const char *const *env)
{
	for (; image && *image; image++)
		if (!env_has(env, *image))
			*to++ = *image;
	return list_append(to, env);
}

static int argv_check(const struct image_config *c, const conker_exec_opts *o, struct err *e)
{
	if (o->argv && o->argv[0])
		return 0;
	if (!(o->flags & CONKER_EXEC_IMAGE_COMMAND))
		return err_set(e, EINVAL, "no command given");
	return list_count((const char *const *)c->entrypoint) ||
			       list_count((const char *const *)c->cmd)
		       ? 0
		       : err_set(e, EINVAL, "no command given, and the box's image has none");
}

/* What the image is for, with the caller's arguments in place of its own. */
static const char **argv_merge(const char **to, const struct image_config *c,
			       const conker_exec_opts *o)
{
	int own = o->argv && o->argv[0];

	if (o->flags & CONKER_EXEC_IMAGE_COMMAND)
		to = list_append(to, (const char *const *)c->entrypoint);
	return list_append(to, own ? o->argv : (const char *const *)c->cmd);
}

static size_t room(const struct image_config *c, const conker_exec_opts *o)
{
	return list_count((const char *const *)c->entrypoint) +
	       list_count((const char *const *)c->cmd) + list_count((const char *const *)c->env) +
	       list_count(o->argv) + list_count(o->env) + 2;
}

int defaults_apply(struct defaults *d, const struct image_config *c, conker_exec_opts *o,
		   struct err *e)
{
	*d = (struct defaults){0};
	if (!c || o->flags & CONKER_EXEC_PLAIN)
		c = &nothing;
	int r = argv_check(c, o, e);
	if (r < 0)
		return r;
	d->v = calloc(room(c, o), sizeof(*d->v)); /* zeroes: what is behind a list ends it */
	if (!d->v)
		return err_set(e, ENOMEM, "no memory for the arguments");

	const char **env = argv_merge(d->v, c, o) + 1;
	(void)env_merge(env, (const char *const *)c->env, o->env);
	o->argv = d->v;
	o->env = env;
	d->make_cwd = !o->cwd && c->workdir;
	o->cwd = o->cwd ? o->cwd : c->workdir;
	o->user = o->user ? o->user : c->user;
	if (o->flags & CONKER_EXEC_IMAGE_COMMAND && !o->stop_signal)
		o->stop_signal = c->stop_signal ? c->stop_signal : SIGTERM;
	return 0;
}

void defaults_fini(struct defaults *d)
{
	free(d->v);
	d->v = NULL;
}
