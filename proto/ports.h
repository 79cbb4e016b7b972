/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - who listens where on vsock.
 *
 * All are below 1024: an unprivileged user of the guest can neither listen on the one kind nor
 * call from such a port to ring the other.
 */
#ifndef PROTO_PORTS_H
#define PROTO_PORTS_H

enum {
	PORT_EXEC = 1,  /* guest: init serves exec.proto; it accepts CID 2 alone */
	PORT_READY = 2, /* host: a connection request from a privileged guest port says "init serves
			 * PORT_EXEC now". The request itself is the message: the host answers it with a
			 * reset, so nothing stays open, and takes only the first one */
	PORT_FORWARD =
		3, /* guest: init connects each stream to a TCP port of the box's loopback. The client
			   * begins with the port (LE16); init answers one byte, 0 or the errno of the
			   * connect, and from then on bytes are passed both ways, each with its end */
	PORT_SUSPEND =
		4, /* host: likewise a mere request from a privileged guest port. It says "the box is idle
			   * and frozen: keep it, and end". A host that does not want to leaves it alone; after
			   * ten seconds the box goes on */
	GUEST_CID = 3,
};

/* Limits that the layers share. A guest that cannot take one more stream resets it, so each is the same for all: who
 * is beyond it waits on the host, or in the guest's backlog. */
enum {
	PORT_STREAMS_MAX =
		1024, /* of the host to one guest: the VMM has no more, each backlog takes as many */
	PORT_FORWARDS_MAX = 256, /* to PORT_FORWARD that are served at a time */
};

#endif
