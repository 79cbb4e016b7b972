/* SPDX-License-Identifier: Apache-2.0 */
/* execs.c - see execs.h: free slots are a stack, live ones an array, ended ones a list in order of their ends. */
#include "guest-init/exec/execs.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "guest-init/exec/runs.h"
#include "guest-init/exec/views.h"

void execs_init(struct execs *e)
{
	struct sysinfo info;

	(void)sysinfo(&info); /* fails only for a bad pointer */
	uint64_t bytes = log_store_bytes((uint64_t)info.totalram * info.mem_unit);
	log_store_init(&e->logs, e->log_mem, (uint32_t)(bytes / LOG_CHUNK_BYTES));
	view_table_init(&e->views);
}

static void add_live(struct execs *e, struct exec *x)
{
	x->pos = (uint16_t)e->n_live;
	e->live[e->n_live++] = (uint16_t)exec_index(e, x);
}

static void remove_live(struct execs *e, struct exec *x)
{
	uint16_t last = e->live[--e->n_live];

	if (x->keep_alive)
		uses_leave(&e->uses, e->poller->now_us);
	e->live[x->pos] = last;
	e->exec[last].pos = x->pos;
}

static void add_ended(struct execs *e, struct exec *x)
{
	x->older = e->newest_ended;
	x->newer = NULL;
	*(x->older ? &x->older->newer : &e->oldest_ended) = x;
	e->newest_ended = x;
	e->n_ended++;
}

static void remove_ended(struct execs *e, struct exec *x)
{
	*(x->older ? &x->older->newer : &e->oldest_ended) = x->newer;
	*(x->newer ? &x->newer->older : &e->newest_ended) = x->older;
	e->n_ended--;
}

/* The oldest one that nobody is looking at; `force`: or else the oldest, whose views are cut short. */
static void execs_evict(struct execs *e, int force)
{
	struct exec *x = e->oldest_ended;

	while (x && x->views)
		x = x->newer;
	if (!x && force)
		x = e->oldest_ended;
	if (x)
		execs_release(e, x);
}

/* Of init's own programs nothing is kept that nobody looks at: it would push out what somebody may ask
 * for. */
static void drop_builtins(struct execs *e)
{
	for (struct exec *x = e->oldest_ended, *next; x; x = next) {
		next = x->newer;
		if (x->builtin && !x->views)
			execs_release(e, x);
	}
}

struct exec *execs_take(struct execs *e)
{
	drop_builtins(e);
	if (e->n_live == EXEC_MAX)
		return NULL;
	if (e->n_free == 0 && e->n_slots == SLOTS_MAX)
		execs_evict(e, 1); /* there is one: not all slots live */

	struct exec *x = &e->exec[e->n_free > 0 ? e->free[--e->n_free] : e->n_slots++];
	uint32_t gen = x->gen;
	memset(x, 0, offsetof(struct exec, argv));
	x->gen = gen + 1;
	x->pidfd = x->cg = x->in_fd = x->out[0].fd = x->out[1].fd = x->out[0].wr = x->out[1].wr =
		-1;
	for (unsigned k = 0; k < 2; k++)
		x->log[k] = &e->logs.log[2 * exec_index(e, x) + k];
	in_flow_init(&x->in, e->in_mem[exec_index(e, x)], STDIN_WINDOW_BYTES);
	add_live(e, x);
	return x;
}

static void start_drop(struct exec *x)
{
	if (x->restart.start)
		(void)munmap(x->restart.start, x->restart.start_len);
	x->restart.start = NULL;
}

void execs_release(struct execs *e, struct exec *x)
{
	run_end(e, x);
	view_cut_all(e, x);
	start_drop(x);
	for (int k = 0; k < 2; k++)
		if (x->log[k]->open)
			log_close(&e->logs, x->log[k]);
	if (x->state == EXEC_ENDED)
		remove_ended(e, x);
	else
		remove_live(e, x);
	x->state = EXEC_FREE;
	e->free[e->n_free++] = (uint16_t)exec_index(e, x);
}

void execs_retire(struct execs *e, struct exec *x)
{
	run_end(e, x);
	start_drop(x);
	remove_live(e, x);
	add_ended(e, x);
	for (int k = 0; k < 2; k++)
		log_ended(x->log[k]);
	view_end_all(e, x);
	if (e->n_ended > RETAINED_MAX)
		execs_evict(e, 0);
}

struct exec *execs_by_id(struct execs *e, uint64_t id)
{
	for (struct exec *x = e->exec; x < e->exec + e->n_slots; x++)
		if (x->state != EXEC_FREE && x->id == id)
			return x;
	return NULL;
}

static struct exec *execs_by_name(struct execs *e, const char *name)
{
	struct exec *best = NULL;

	for (struct exec *x = e->exec; x < e->exec + e->n_slots; x++)
		if (x->state != EXEC_FREE && strcmp(x->name, name) == 0 &&
		    (!best || x->id > best->id))
			best = x;
	return best;
}

struct exec *execs_by_key(struct execs *e, const char *key)
{
	for (struct exec *x = e->exec; x < e->exec + e->n_slots; x++)
		if (x->state != EXEC_FREE && strcmp(x->key, key) == 0)
			return x;
	return NULL;
}

struct exec *execs_by_ref(struct execs *e, const Conker__ExecRef *r)
{
	if (r->exec)
		return execs_by_id(e, r->exec);
	return r->name.len > 0 ? execs_by_name(e, (const char *)r->name.data)
			       : execs_by_key(e, (const char *)r->key.data);
}
