/* SPDX-License-Identifier: Apache-2.0 */
/* freeze.c - the requests around a snapshot: Freeze, Thaw, Resume (exec.proto). */
#include "lib/box/box.h"
#include "lib/handle/request.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	FREEZE_TIMEOUT_MS = 30000, /* init takes a second at most; the host may be busy */
	RESUME_TIMEOUT_MS = 30000,
	RANDOM_BYTES = GENERATION_BYTES + SEED_BYTES,
};

int box_freeze(conker_box *b, uint32_t *ret_port, struct err *e)
{
	Conker__Freeze f = CONKER__FREEZE__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};

	m.msg_case = CONKER__CLIENT_MSG__MSG_FREEZE;
	m.freeze = &f;
	int r = request_ask(b, &q, &m, FREEZE_TIMEOUT_MS, e);
	if (ret_port)
		*ret_port = q.host_port;
	return r;
}

static int freeze_thaw(conker_box *b, int timeout_ms, struct err *e)
{
	Conker__Thaw t = CONKER__THAW__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};

	m.msg_case = CONKER__CLIENT_MSG__MSG_THAW;
	m.thaw = &t;
	return request_ask(b, &q, &m, timeout_ms, e);
}

int box_thaw(conker_box *b, struct err *e)
{
	return freeze_thaw(b, FREEZE_TIMEOUT_MS, e);
}

int box_is_awake(conker_box *b, int timeout_ms, struct err *e)
{
	int r = freeze_thaw(b, timeout_ms, e);

	return r == -EINVAL ? 1 : r == -EPERM ? 0 : r;
}

struct resume {
	Conker__ClientMsg m;
	Conker__Resume p;
	Conker__Lifetime life;
	uint8_t random[RANDOM_BYTES];
};

/* The time of day is read last: what passes between that and the guest's clock is the guest's error. */
static int fill_resume(const conker_box *b, const conker_box_opts *o, struct resume *ret,
		       struct err *e)
{
	Conker__Resume *p = &ret->p;
	struct timespec ts;

	ret->m = (Conker__ClientMsg)CONKER__CLIENT_MSG__INIT;
	ret->p = (Conker__Resume)CONKER__RESUME__INIT;
	ret->life = (Conker__Lifetime)CONKER__LIFETIME__INIT;
	if (getrandom(ret->random, RANDOM_BYTES, 0) != RANDOM_BYTES)
		return err_errno(e, "getrandom");
	p->generation = (ProtobufCBinaryData){GENERATION_BYTES, ret->random};
	p->seed = (ProtobufCBinaryData){SEED_BYTES, ret->random + GENERATION_BYTES};
	p->hostname = (ProtobufCBinaryData){strlen(b->name), (uint8_t *)(uintptr_t)b->name};
	if (o) {
		p->lifetime = &ret->life;
		ret->life.life_ms = (uint32_t)o->max_life_ms;
		ret->life.idle_ms =
			(uint32_t)max_(o->idle_timeout_ms, o->idle_suspend_ms); /* one at most */
		ret->life.idle_suspend = o->idle_suspend_ms != 0;
	}
	(void)clock_gettime(CLOCK_REALTIME, &ts); /* fails only for a bad clock */
	p->realtime_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	ret->m.msg_case = CONKER__CLIENT_MSG__MSG_RESUME;
	ret->m.resume = p;
	return 0;
}

int box_resume(conker_box *b, const conker_box_opts *o, struct err *e)
{
	struct request q = {0};
	struct resume p;
	int r = fill_resume(b, o, &p, e);

	return r < 0 ? r : request_ask(b, &q, &p.m, RESUME_TIMEOUT_MS, e);
}

/* The answer finds no conversation and is dropped. Had it been an error, those behind it would say so: a
 * Start waits for the end of the freeze in any case. */
int box_resume_send(conker_box *b, const conker_box_opts *o, struct err *e)
{
	struct resume q;
	int r = fill_resume(b, o, &q, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	if (b->lost) {
		r = box_lost_error(b, e);
	} else {
		r = wire_send_aside(&b->wire, &q.m, OUT_START_BYTES);
		if (r < 0)
			r = err_set(e, -r, "box '%s': %s", b->name, strerror(-r));
	}
	box_unlock(b);
	return r;
}
