/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the command line (README.md) as an immutable struct. Pure: touches no descriptor. */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/vmm_fds.h"
#include "util/bucket.h"
#include "util/confine.h"
#include "util/err.h"
#include "util/util.h"

enum {
	CONFIG_MEMORY_MIN_MIB = 32, /* a kernel of 10 MiB, its tables, and a little room */
	CONFIG_MEMORY_MAX_MIB = 16 << 20,
	CONFIG_CPUS_MAX = 32,
	CONFIG_CMDLINE_MAX = 2047, /* Linux on x86 keeps no more */
};

/* What devices move in a second unless told otherwise. Bytes: more than any host was seen to move, so that
 * a limit is what one asks for. Operations: what a device of a busy guest may need, and so few that
 * handling them leaves most of a CPU alone. */
enum {
	CONFIG_DISK_BYTES_PER_S = INT32_MAX,
	CONFIG_DISK_OPS_PER_S = 100000,
	CONFIG_VSOCK_BYTES_PER_S = INT32_MAX,
	CONFIG_VSOCK_OPS_PER_S = 100000,
	CONFIG_CONSOLE_BYTES_PER_S = 8 << 20,
	CONFIG_CONSOLE_OPS_PER_S = 20000,
};

struct config {
	unsigned memory_mib, cpus;
	int fd[VMM_FDS]; /* -1: not given. main() opens /dev/kvm, and a console that was not given */
	enum jail_mode jail;
	const char *cmdline;    /* points into argv */
	unsigned life_ms;       /* 0: as long as it likes */
	struct limit disk_rate; /* each disk's */
	struct limit vsock_rate, console_rate;
	unsigned ndisks, nlisteners;
	bool disk_is_ro[VMM_DISKS_MAX];
	/* Files behind the first of each disk, and of all: they are at VMM_FD_PART, disk after disk. */
	unsigned disk_parts[VMM_DISKS_MAX], nparts;
	uint32_t listener_port[VMM_LISTENERS_MAX];
	bool detach, verbose, help, jail_check;
};

/* A machine of which nothing was given: no descriptor, no limit, no jail. */
struct config config_none(void);

/* 0, or -EINVAL with what is wrong in e. On --help and --jail-check the rest is not checked. */
must_check int config_parse(int argc, char *const argv[], struct config *ret, struct err *e);

/* Whether somebody may ask this machine for a snapshot. */
static inline bool config_may_snapshot(const struct config *c)
{
	return c->fd[VMM_FD_CTL] >= 0 || c->fd[VMM_FD_SUSPEND_STATE] >= 0;
}

extern const char config_usage[];

#endif
