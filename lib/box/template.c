/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - snapshots that the library makes for itself, so that a box need not boot.
 *
 *	templates/KEY		a snapshot of an idle box that has just booted
 *	templates/KEY.lock	held by who makes it: the others wait, and then use it
 *
 * The key is a checksum of all that went into the boot: kernel, init and image by identity, the shape of the machine,
 * the words for the kernel, this host's CPU and KVM, our version. So one that no longer fits is not found, and another
 * is made. One that is damaged is made again. Whoever makes one removes those that are too many (template_list.c).
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A template has what the caller's box has, but what is not the guest's business. */
static conker_box_opts template_opts(const conker_box_opts *o)
{
	return (conker_box_opts){
		.size = sizeof(*o),
		.image = o->image,
		.kernel = o->kernel,
		.memory_mib = o->memory_mib,
		.cpus = o->cpus,
		.flags = o->flags & CONKER_BOX_REQUIRE_JAIL,
		.ready_timeout_ms = o->ready_timeout_ms,
		.cmdline_append = o->cmdline_append,
		.log = o->log,
		.log_user = o->log_user,
	};
}

static void template_key_of(const struct manifest *m, char ret[TEMPLATE_KEY_BYTES])
{
	const struct layer *layers[] = {&m->kernel, &m->initrd, &m->disk[0]};
	char sum[SHA256_TEXT_BYTES];
	const char *texts[] = {m->version, m->host, m->cpu, m->append ? m->append : ""};
	uint64_t numbers[] = {m->memory_mib, m->cpus};
	struct sha256 s;

	sha256_init(&s);
	for (size_t i = 0; i < countof(layers); i++)
		sha256_add(&s, &layers[i]->is, sizeof(layers[i]->is));
	for (size_t i = 0; i < countof(texts); i++)
		sha256_add(&s, texts[i], strlen(texts[i]) + 1);
	sha256_add(&s, numbers, sizeof(numbers));
	sha256_end(&s, sum);
	(void)snprintf(ret, TEMPLATE_KEY_BYTES, "%.32s", sum);
}

static int template_find_key(const conker_box_opts *o, char ret[TEMPLATE_KEY_BYTES], struct err *e)
{
	conker_box_opts mine = template_opts(o);
	struct origin a;
	int r = origin_init(&a, e);

	if (r == 0)
		r = origin_open_cold(&a, &mine, e);
	if (r == 0)
		template_key_of(a.m, ret);
	origin_close(&a);
	return r;
}

/* One at a time makes it; those who have waited find it. */
static int template_make_alone(const conker_box_opts *o, int dir, const char *key, const char *path,
			       template_make_fn *make, struct err *e)
{
	conker_box_opts mine = template_opts(o);
	auto_close int lock = template_lock(dir, key, LOCK_EX);

	if (lock < 0)
		return err_set(e, -lock, "lock a template: %s", strerror(-lock));
	if (template_is_usable(path))
		return 0;
	(void)tree_remove(dir, key);
	if (o->log)
		o->log("no template fits: making one", o->log_user);
	int r = make(&mine, path, e);
	if (r < 0)
		return err_wrap(e, r, "make a template");
	template_prune(dir, key);
	return 0;
}

static int is_damage(int r)
{
	return r == -EBADMSG || r == -ESTALE || r == -ENOENT;
}

/* The directory of all, and the path of the one that fits. */
static int template_find(const conker_box_opts *o, char path[PATH_MAX],
			 char key[TEMPLATE_KEY_BYTES], struct err *e)
{
	auto_close int dir =
		place_cache_path("templates", path, PATH_MAX - TEMPLATE_KEY_BYTES - 1, e);
	int r = dir < 0 ? dir : template_find_key(o, key, e);

	if (r < 0)
		return r;
	(void)snprintf(path + strlen(path), TEMPLATE_KEY_BYTES + 1, "/%s", key);
	return take_fd(dir);
}

int template_open(struct origin *a, conker_box_opts *o, template_make_fn *make, struct err *e)
{
	char path[PATH_MAX], key[TEMPLATE_KEY_BYTES];
	conker_box_opts from = *o;

	if (o->disks && o->disks[0])
		return err_set(
			e, EINVAL,
			"a box from a template has no disks; leave them out, or let it boot");
	auto_close int dir = template_find(o, path, key, e);
	if (dir < 0)
		return dir;
	from.from = path;
	int r = restore_open(a, &from, e);
	if (is_damage(r)) {
		int64_t begun_us = clock_us();

		origin_close(a);
		r = template_make_alone(o, dir, key, path, make, e);
		if (r == 0)
			r = origin_init(a, e);
		a->template_us = (uint64_t)(clock_us() - begun_us);
		if (r == 0)
			r = restore_open(a, &from, e);
	}
	if (r == 0) {
		(void)futimens(a->snapshot, NULL); /* it is wanted: template_prune() */
		o->memory_mib = from.memory_mib;
		o->cpus = from.cpus;
	}
	return r;
}
