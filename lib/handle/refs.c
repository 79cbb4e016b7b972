/* refs.c - who may use a handle, and how long its memory lives.
 *
 * A box's structure lives as long as anything refers to it: the handle, each execution's handle, each
 * call that waits. An execution's, as long as the handle, the table of conversations, the ready list or
 * a running callback does. Counts change under the box's lock only; the last to unlock frees the box.
 */
#include "lib/handle/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/cleanup.h"

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

void box_close_fds(conker_box *b)
{
	int *all[] = {&b->dir,   &b->starter, &b->ep,    &b->wake,  &b->conn,
		      &b->owner, &b->vmm,     &b->grace, &b->child, &b->child_stderr};

	for (size_t i = 0; i < countof(all); i++)
		if (*all[i] >= 0)
			close(take_fd(*all[i]));
}

static void box_delete(conker_box *b)
{
	box_close_fds(b);
	out_free(&b->out);
	free(b->in);
	free(b->arena.base);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void box_unlock(conker_box *b)
{
	int last = b->refs == 0;

	pthread_mutex_unlock(&b->lock);
	if (last)
		box_delete(b);
}

int box_watch(conker_box *b, int fd, enum src src, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u32 = src};

	return epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int box_init(conker_box *b)
{
	pthread_condattr_t ca;

	b->maker = getpid();
	b->refs = 1;
	b->conn_over = 1;
	b->ready_tail = &b->ready;
	b->dir = b->starter = b->ep = b->wake = b->conn = b->owner = b->vmm = b->grace = b->child =
		b->child_stderr = -1;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&ca);
	pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &ca);
	pthread_condattr_destroy(&ca);
	b->ep = epoll_create1(EPOLL_CLOEXEC);
	if (b->ep < 0)
		return -errno;
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->wake < 0)
		return -errno;
	return box_watch(b, b->wake, SRC_WAKE, EPOLLIN);
}

conker_box *box_new(struct err *e)
{
	conker_box *b = calloc(1, sizeof(*b));

	if (!b) {
		(void)!err_set(e, ENOMEM, "no memory for a box's handle");
		return NULL;
	}
	int r = box_init(b);
	if (r < 0) {
		box_delete(b);
		(void)!err_set(e, -r, "make a box's handle: %s", strerror(-r));
		return NULL;
	}
	return b;
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
	input_free(&x->in);
	free(x->line[0].buf);
	free(x->line[1].buf);
	free(x);
}
