/* ports.h - who listens where on vsock.
 *
 * Both ports are below 1024: an unprivileged user of the guest can neither listen on the one nor
 * call from such a port to ring the other.
 */
#ifndef PROTO_PORTS_H
#define PROTO_PORTS_H

enum {
	PORT_EXEC = 1,  /* guest: init serves exec.proto; it accepts CID 2 alone */
	PORT_READY = 2, /* host: a connection request from a privileged guest port says "init serves
			 * PORT_EXEC now". The request itself is the message: the host answers it with a
			 * reset, so nothing stays open, and takes only the first one */
	GUEST_CID = 3,
};

#endif
