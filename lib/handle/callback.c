/* SPDX-License-Identifier: Apache-2.0 */
/* callback.c - the user's functions, run by the leader with the lock released.
 *
 * Of an execution fn is never called after its last event, nor after its handle was freed; then free is, once.
 */
#include "lib/handle/exec.h"

/* No call of fn can follow after the last event, or when the handle is gone. */
void exec_drop_cb(conker_exec *e)
{
	conker_box *b = e->box;

	if (e->cb_freed || e->cb_running || !(e->told || e->freed))
		return;
	e->cb_freed = 1;
	if (!e->cb.free)
		return;
	exec_ref(e);
	pthread_mutex_unlock(&b->lock);
	api_callback_begin();
	e->cb.free(e->cb.user);
	api_callback_end();
	pthread_mutex_lock(&b->lock);
	exec_unref(e);
}

void exec_call(conker_exec *e, enum conker_event ev, const conker_event_data *data)
{
	conker_box *b = e->box;

	if (e->freed || !e->cb.fn)
		return;
	exec_ref(e);
	e->cb_running = 1;
	pthread_mutex_unlock(&b->lock);
	api_callback_begin();
	e->cb.fn(e, ev, data, e->cb.user);
	api_callback_end();
	pthread_mutex_lock(&b->lock);
	e->cb_running = 0;
	b->callbacks++;
	exec_drop_cb(e); /* fn may have freed the handle */
	exec_unref(e);
}

/* The end was told: the baggage may go, and then those who wait, on whose stack it may be. */
void exec_finish(conker_exec *e)
{
	e->told = 1;
	exec_drop_cb(e);
	e->done = 1;
	wait_broadcast(e->box);
}

void exec_queue(conker_exec *e)
{
	if (e->due.queued)
		return;
	exec_ref(e);
	wait_queue(e->box, &e->due);
}
