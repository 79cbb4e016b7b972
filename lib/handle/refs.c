/* SPDX-License-Identifier: Apache-2.0 */
/* refs.c - who may use a handle, and how long its memory lives.
 *
 * A box's structure lives as long as anything refers to it: the handle, each execution's handle, each
 * call that waits. An execution's, as long as the handle, the table of conversations, the ready list or
 * a running callback does. Counts change under the box's lock only; the last to unlock frees the box.
 */
#include "lib/handle/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int box_enter(const conker_box *b, struct err **ret_e)
{
	struct err *e = api_enter();

	*ret_e = e;
	if (!b)
		return err_set(e, EINVAL, "no box given");
	if (b->maker != getpid())
		return err_set(e, ECHILD, "the box's handle belongs to the process before fork()");
	return 0;
}

int box_enter_to_wait(const conker_box *b, struct err **ret_e)
{
	int r = box_enter(b, ret_e);

	return r < 0 ? r : api_may_wait(*ret_e);
}

int exec_enter(const conker_exec *x, struct err **ret_e)
{
	if (x)
		return box_enter(x->box, ret_e);
	*ret_e = api_enter();
	return err_set(*ret_e, EINVAL, "no execution given");
}

void box_unlock(conker_box *b)
{
	int last = b->refs == 0;

	pthread_mutex_unlock(&b->lock);
	if (last)
		b->ops->delete (b);
}

int box_lost_error(conker_box *b, struct err *e)
{
	int r = err_set(e, b->lost, "box '%s': %s", b->name, b->reason);

	return api_kind(CONKER_ERR_BOX, "", r);
}

void exec_ref(conker_exec *x)
{
	x->refs++;
}

void exec_unref(conker_exec *x)
{
	if (--x->refs > 0)
		return;
	x->box->refs--;
	while (x->in.first) {
		struct input_block *n = x->in.first;

		x->in.first = n->next;
		free(n);
	}
	free(x->line[0].buf);
	free(x->line[1].buf);
	free(x);
}
