/* SPDX-License-Identifier: Apache-2.0 */
/* info.c - what a box is and does, as its directory tells. */
#include "lib/box/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int info_fill(conker_box_info *ret, const struct meta *m, const struct vm_events *v, int dir)
{
	struct vm_events seen = *v, last;
	pid_t vmm;
	auto_hold int held = -1;
	int alive = registry_hold(dir, &vmm, &held);

	/* It may have ended since v was looked at. */
	if (alive == BOX_OVER && !seen.over && events_load(&last, dir) == 0 && last.over)
		seen = last;
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->name, sizeof(ret->name), "%s", m->name);
	(void)snprintf(ret->id, sizeof(ret->id), "%s", m->id);
	(void)snprintf(ret->image, sizeof(ret->image), "%s", m->image);
	ret->memory_mib = m->memory_mib;
	ret->cpus = m->cpus;
	ret->flags = m->flags;
	ret->max_life_ms = (int)m->max_life_ms;
	ret->idle_timeout_ms = (int)m->idle_timeout_ms;
	ret->idle_suspend_ms = (int)m->idle_suspend_ms;
	ret->created_s = m->created_s;
	ret->setup_us = v->setup_us;
	ret->boot_us = v->boot_us;
	(void)snprintf(ret->unjailed, sizeof(ret->unjailed), "%s", v->unjailed);
	cgroup_describe(dir, ret->cgroup, sizeof(ret->cgroup));
	(void)snprintf(ret->from, sizeof(ret->from), "%s", m->from);
	int suspended = alive == BOX_OVER ? suspended_settle(dir, &seen) : 0;
	if (suspended) {
		ret->state = CONKER_BOX_SUSPENDED;
		suspended_figures(dir, &ret->suspended_s, &ret->suspended_bytes);
	} else if (seen.over) {
		ret->state = seen.end;
		/* By a snapshot to somewhere else. */
		if (ret->state == CONKER_BOX_SUSPENDED && alive == BOX_OVER)
			ret->state = CONKER_BOX_STOPPED;
	} else if (alive == BOX_RUNS || alive < 0) {
		ret->state = seen.ready ? CONKER_BOX_RUNNING : CONKER_BOX_STARTING;
		ret->vmm_pid = vmm;
	} else if (alive == BOX_STARTING && !seen.started) {
		ret->state = CONKER_BOX_STARTING;
	} else {
		ret->state = CONKER_BOX_KILLED;
	}
	seen.end = ret->state;
	events_reason(&seen, dir, ret->reason, sizeof(ret->reason));
	return suspended < 0 ? suspended : min_(alive, 0);
}

int info_name_taken(int dir, const char *name, struct err *e)
{
	const struct meta none = {0};
	const char *is = "", *force = "";
	struct vm_events v;
	conker_box_info i;

	if (dir >= 0 && events_load(&v, dir) == 0 && info_fill(&i, &none, &v, dir) == 0) {
		is = i.state == CONKER_BOX_RUNNING     ? " and is running"
		     : i.state == CONKER_BOX_STARTING  ? " and is just being started"
		     : i.state == CONKER_BOX_SUSPENDED ? " and is suspended"
						       : "";
		force = *is ? "-f " : "";
	}
	return err_set(e, EEXIST,
		       "a box named '%s' exists%s; remove it first (conker rm %s%s) or choose "
		       "another name",
		       name, is, force, name);
}

int conker_box_info_get(conker_box *b, conker_box_info *ret)
{
	conker_box_info info;
	struct vm_events v;
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0 && (!ret || ret->size < sizeof(ret->size)))
		r = err_set(e, EINVAL, "the info's size field is not set");
	if (r < 0)
		return r;
	struct box *own = box_of(b);
	pthread_mutex_lock(&b->lock);
	v = own->events;
	box_unlock(b);
	if (!v.over)
		(void)events_load(&v, own->dir); /* of one that was opened we hear only its end */
	(void)!info_fill(&info, &own->meta, &v,
			 own->dir); /* its end we have not seen, so it lives */
	info.template_us = own->template_us;
	opts_out(ret, &info, sizeof(info));
	return 0;
}
