/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_save.c - the streams of a vsock device in a snapshot: vsock_mux_save() and vsock_mux_restore().
 *
 * Which streams the guest knows of is kept, not what was in them: each becomes a link without a client that owes
 * the guest a reset, in front of anything new. One may go on (vsock_keep()), if nothing of it was under way.
 */
#include <errno.h>

#include "vmm/virtio/state.h"
#include "vmm/virtio/vsock_mux.h"

/* Has the guest heard of this stream, and not yet of its end? */
static bool is_known(const struct vsock_conn *c)
{
	if (c->state == VSOCK_CLOSED)
		return c->say & 1u << VSOCK_OP_RST;
	return !(c->say & 1u << VSOCK_OP_REQUEST);
}

/* Nothing is on its way in either direction, and neither side has ended anything. */
static bool is_quiet(const struct vsock_link *l)
{
	const struct vsock_conn *c = &l->conn;

	return c->state == VSOCK_OPEN && !c->host_shut && !c->guest_shut && !l->stored &&
	       !l->readable && !l->gone && !l->ending && l->fd >= 0;
}

void vsock_mux_save(const struct vsock_mux *m, struct streams_state *ret)
{
	ret->rung = m->rung;
	ret->kept = (struct kept_stream){0};
	ret->uses = ret->nconns = 0;
	ret->nrsts = m->nrsts;
	for (unsigned i = 0; i < m->nrsts; i++) {
		const struct vsock_pkt *p = &m->rst[(m->first_rst + i) % VSOCK_RSTS_MAX];

		ret->rst_cid[i] = p->src_cid;
		ret->rst_host_port[i] = p->src_port;
		ret->rst_guest_port[i] = p->dst_port;
		ret->rst_type[i] = p->type;
	}
	for (const struct vsock_link *l = m->link; l < m->link + m->nslots; l++) {
		ret->uses = max_(ret->uses, l->uses % VSOCK_PORT_USES);
		if (!l->used || !is_known(&l->conn))
			continue;
		if (l->conn.host_port == m->keep_port && is_quiet(l)) {
			KEPT_STREAM_COPY(&ret->kept, &l->conn);
			continue;
		}
		ret->host_port[ret->nconns] = l->conn.host_port;
		ret->guest_port[ret->nconns++] = l->conn.guest_port;
	}
}

/* A link whose client is gone already, and that owes the guest a reset. Its packets find it until that was
 * said, and then nobody. */
static int restore_link(struct vsock_mux *m, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_link *l = &m->link[host_port % VSOCK_CONNS_MAX];

	if (l->used || host_port / VSOCK_PORT_FIRST != 1)
		return -EINVAL;
	l->used = true;
	l->conn = (struct vsock_conn){
		.host_port = host_port, .guest_port = guest_port, .state = VSOCK_OPEN};
	vsock_conn_abort(&l->conn);
	vsock_mux_enqueue(l);
	return 0;
}

static int restore_kept(struct vsock_mux *m, const struct kept_stream *k)
{
	struct vsock_link *l = &m->link[k->host_port % VSOCK_CONNS_MAX];

	if (!k->host_port)
		return 0;
	if (l->used || k->host_port / VSOCK_PORT_FIRST != 1)
		return -EINVAL;
	l->used = true;
	l->conn = (struct vsock_conn){.state = VSOCK_OPEN, .forwarded = k->received};
	KEPT_STREAM_COPY(&l->conn, k);
	m->kept = l;
	return 0;
}

int vsock_mux_restore(struct vsock_mux *m, const struct streams_state *s, struct err *e)
{
	if (s->nrsts > VSOCK_RSTS_MAX || s->nconns > VSOCK_CONNS_MAX || s->uses >= VSOCK_PORT_USES)
		return err_set(e, EINVAL, "more streams than there can be");
	m->nrsts = s->nrsts;
	for (uint32_t i = 0; i < s->nrsts; i++)
		m->rst[i] = (struct vsock_pkt){
			.src_cid = s->rst_cid[i],
			.dst_cid = m->guest_cid,
			.src_port = s->rst_host_port[i],
			.dst_port = s->rst_guest_port[i],
			.type = (uint16_t)s->rst_type[i],
			.op = VSOCK_OP_RST,
		};
	m->nslots = VSOCK_CONNS_MAX;
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++)
		m->link[i].uses = s->uses;
	for (uint32_t i = 0; i < s->nconns; i++)
		if (restore_link(m, s->host_port[i], s->guest_port[i]) < 0)
			return err_set(e, EINVAL, "host port %u cannot be a stream's",
				       s->host_port[i]);
	if (restore_kept(m, &s->kept) < 0)
		return err_set(e, EINVAL, "host port %u cannot be a stream's", s->kept.host_port);
	vsock_mux_free_links(m);
	m->rung = s->rung;
	if (m->rung)
		m->on_ready = NULL;
	vsock_mux_set_doors(m);
	return 0;
}
