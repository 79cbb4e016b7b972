/* SPDX-License-Identifier: Apache-2.0 */
/* port.h - the inside of a virtio-mmio port, shared by mmio.c (its registers, its part of the loop) and
 * save.c (snapshots). For threads and locks see mmio.h and mmio.c.
 */
#ifndef VMM_VIRTIO_PORT_H
#define VMM_VIRTIO_PORT_H

#include <linux/virtio_config.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vmm/virtio/mmio.h"
#include "vmm/virtio/pace.h"
#include "vmm/virtio/state.h"

enum { /* the states a driver walks through */
       S_RESET = 0,
       S_ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
       S_DRIVER = S_ACK | VIRTIO_CONFIG_S_DRIVER,
       S_FEATURES = S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK,
       S_LIVE = S_FEATURES | VIRTIO_CONFIG_S_DRIVER_OK,
};

enum { FOREVER_GONE = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED }; /* until reset */

enum cmd { CMD_NONE, CMD_ACTIVATE, CMD_STOP, CMD_RESET }; /* CMD_STOP: the selected queue */

struct queue_regs {
	struct vq_layout layout;
	bool ready;
};

struct regs { /* what the driver wrote; plain data */
	uint32_t status, device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	bool alien_features; /* it accepted bits above 63 */
	struct queue_regs queue[VIRTIO_QUEUES];
};

struct kick {
	struct virtio_port *port;
	struct loop_src src;
	int fd;
};

struct virtio_port {
	struct virtio_dev *dev;
	const struct guest_mem *mem;
	struct loop *loop;
	int irq_fd, cmd_fd;
	struct loop_src cmd_src;
	pthread_t loop_thread;
	struct kick kick[VIRTIO_QUEUES];
	struct vq vq[VIRTIO_QUEUES]; /* loop thread */
	struct pace pace;
	bool deaf; /* kicks are not watched until pace is due */
	bool held; /* nothing is served; see virtio_port_hold() */

	_Atomic uint32_t isr; /* InterruptStatus: the loop sets bits, vCPUs clear them */
	_Atomic uint64_t kicks, irqs, ignored;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t idle;  /* cmd went back to CMD_NONE, or stopped */
	enum cmd cmd;
	bool stopped;
	bool live; /* the device was activated and not yet reset */
	struct regs regs;
	uint32_t broken;
	const char *why;
	bool unlogged;
};

/* Would FEATURES_OK be granted for this choice? */
must_check bool port_accepts(const struct virtio_port *p, uint64_t features, bool alien);

/* Signals an eventfd. Any thread. */
void port_signal(int fd);

/* Listens to all kicks again if it was deaf, and serves every queue. Loop thread. */
void port_serve_all(struct virtio_port *p);

/* Gives the device the queues of the register file, which stands still. NULL, or what the guest did
 * wrong. Loop thread. */
const char *port_activate(struct virtio_port *p);

#endif
