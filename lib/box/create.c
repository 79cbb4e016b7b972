/* SPDX-License-Identifier: Apache-2.0 */
/* create.c - a new box.
 *
 *	options -> what it begins with (origin.c, restore.c, template.c) -> its directory -> birth.c
 *
 * Duties: a creation that fails, at whatever step, leaves nothing behind.
 *
 * Limits: those of the options are checked here and in origin.c; BOX_DESCRIPTORS of descriptors.
 */
#include "lib/box/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int create_check_rate(const char *what, const conker_rate *r, struct err *e)
{
	if ((r->bytes_per_s > CONKER_RATE_MAX && r->bytes_per_s != CONKER_NO_LIMIT) ||
	    (r->ops_per_s > CONKER_RATE_MAX && r->ops_per_s != CONKER_NO_LIMIT))
		return err_set(e, EINVAL,
			       "%s rate: more than %llu a second; CONKER_NO_LIMIT is none", what,
			       (unsigned long long)CONKER_RATE_MAX);
	return 0;
}

static int create_check_rates(const conker_box_opts *o, struct err *e)
{
	int r = create_check_rate("disk", &o->disk_rate, e);

	if (r == 0)
		r = create_check_rate("vsock", &o->vsock_rate, e);
	return r < 0 ? r : create_check_rate("console", &o->console_rate, e);
}

static int create_read_opts(conker_box_opts *o, const conker_box_opts *caller, struct err *e)
{
	enum { FLAGS = CONKER_BOX_DETACHED | CONKER_BOX_REQUIRE_JAIL | CONKER_BOX_WARM };
	static const conker_box_opts none = {.size = sizeof(none)};
	int r = opts_in(o, sizeof(*o), caller ? caller : &none, e);

	if (r < 0)
		return r;
	o->ready_timeout_ms = o->ready_timeout_ms ? o->ready_timeout_ms : CONKER_READY_DEFAULT_MS;
	o->idle_timeout_ms = max_(o->idle_timeout_ms, 0);
	o->idle_suspend_ms = max_(o->idle_suspend_ms, 0);
	o->max_life_ms = max_(o->max_life_ms, 0);
	if (o->flags & ~(uint32_t)FLAGS)
		return err_set(e, EINVAL, "unknown box flags 0x%x", o->flags);
	if (o->from && (o->flags & CONKER_BOX_WARM))
		return err_set(e, EINVAL, "either from a snapshot or from a template");
	if (o->idle_suspend_ms && o->idle_timeout_ms)
		return err_set(e, EINVAL, "an idle box either ends or suspends itself");
	if (o->idle_suspend_ms && !(o->flags & CONKER_BOX_DETACHED))
		return err_set(e, EINVAL, "a box that ends with its handle cannot suspend itself");
	r = create_check_rates(o, e);
	return r == 0 && o->name ? name_check("box", o->name, e) : r;
}

static void create_fill_meta(struct meta *m, const conker_box_opts *o, const struct origin *a)
{
	memset(m, 0, sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%s", o->name ? o->name : "");
	(void)snprintf(m->image, sizeof(m->image), "%s", a->m->image);
	(void)snprintf(m->from, sizeof(m->from), "%s", a->from);
	m->memory_mib = o->memory_mib;
	m->cpus = o->cpus;
	m->flags = o->flags & ~(uint32_t)CONKER_BOX_WARM;
	m->idle_suspend_ms = (uint32_t)o->idle_suspend_ms;
	m->idle_timeout_ms = (uint32_t)o->idle_timeout_ms;
	m->max_life_ms = (uint32_t)o->max_life_ms;
}

static int create_start_vmm(struct box *b, const conker_box_opts *o, struct origin *a,
			    struct err *e)
{
	struct birth birth;

	create_fill_meta(&b->meta, o, a);
	int r = registry_birth(&b->meta, info_name_taken, &birth, e);
	if (r < 0)
		return r;
	b->doomed = 1; /* from here on a failure removes it */
	b->dir = birth.dir;
	b->starter = birth.starter;
	birth_log(o, "box %s (%s): %u MiB, %u CPU, image %s%s%s", b->meta.name, b->meta.id,
		  o->memory_mib, o->cpus, b->meta.image, *b->meta.from ? ", from " : "",
		  b->meta.from);
	return birth_launch(b, o, a, e);
}

/* A template_make_fn: a box that is snapshotted as soon as it is ready. */
static int make_template(const conker_box_opts *o, const char *path, struct err *e)
{
	static const conker_snapshot_opts stop = {.size = sizeof(stop),
						  .flags = CONKER_SNAPSHOT_STOP};
	conker_box *b = NULL;
	int r = conker_box_create(o, &b);

	if (r < 0)
		return r;
	r = conker_box_snapshot(b, path, &stop, NULL);
	struct err kept = *e; /* freeing forgets the message */
	conker_box_free(b);
	*e = kept;
	return r;
}

static int create_with(conker_box_opts *o, struct origin *a, int waits, conker_box **ret,
		       struct err *e)
{
	int r = origin_init(a, e);

	if (r == 0)
		r = o->flags & CONKER_BOX_WARM ? template_open(a, o, make_template, e)
		    : o->from                  ? restore_open(a, o, e)
					       : origin_open_cold(a, o, e);
	struct box *b = r < 0 ? NULL : box_new(e);

	if (!b)
		return -e->code;
	b->template_us = a->template_us;
	r = waits ? 0 : birth_let_poll(b, o, e);
	if (r == 0)
		r = create_start_vmm(b, o, a, e);
	if (r == 0 && waits)
		r = birth_await_ready(b, o, a, e);
	if (r < 0)
		box_teardown(b);
	else
		*ret = &b->handle;
	return r;
}

static int create(const conker_box_opts *opts, int waits, conker_box **ret)
{
	struct err *e = api_enter();
	struct origin a;
	conker_box_opts o = {0};

	if (!ret)
		return err_set(e, EINVAL, "nowhere to put the box's handle");
	int r = api_may_wait(e);
	if (r == 0)
		r = create_read_opts(&o, opts, e);
	if (r < 0)
		return r;
	r = create_with(&o, &a, waits, ret, e);
	origin_close(&a);
	return api_descriptors(r, e);
}

int conker_box_create(const conker_box_opts *opts, conker_box **ret)
{
	return create(opts, 1, ret);
}

int conker_box_create_start(const conker_box_opts *opts, conker_box **ret)
{
	return create(opts, 0, ret);
}

int conker_box_create_poll(conker_box *b)
{
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	return box_of(b)->pending ? birth_poll(box_of(b), e) : 1;
}
