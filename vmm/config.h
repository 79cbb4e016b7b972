/* config.h - the command line (README.md) as an immutable struct. Pure: touches no descriptor. */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/util.h"

enum {
	CONFIG_MEMORY_MIN_MIB = 32, /* a kernel of 10 MiB, its tables, and a little room */
	CONFIG_MEMORY_MAX_MIB = 16 << 20,
	CONFIG_CPUS_MAX = 32,
	CONFIG_DISKS_MAX = 16,
	CONFIG_LISTENERS_MAX = 8,
	CONFIG_CMDLINE_MAX = 2047, /* Linux on x86 keeps no more */
};

struct config_disk {
	int fd;
	bool read_only;
};

struct config_listener {
	int fd;
	uint32_t port;
};

struct config {
	unsigned memory_mib, cpus;
	int kernel_fd, initrd_fd; /* descriptors that were not given are -1 */
	int console_fd, state_fd, lock_fd, owner_fd;
	const char *cmdline; /* points into argv */
	unsigned ndisks, nlisteners;
	struct config_disk disk[CONFIG_DISKS_MAX];
	struct config_listener listener[CONFIG_LISTENERS_MAX];
	bool detach, verbose, help;
};

/* 0, or -EINVAL with what is wrong in e. On --help the rest is not checked. */
must_check int config_parse(int argc, char *const argv[], struct config *ret, struct err *e);

extern const char config_usage[];

#endif
