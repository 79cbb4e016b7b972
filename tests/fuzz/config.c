/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - any words at all as command line of conker-vmm: accepted within its limits, or refused with
 * a message. Words are separated by NUL. */
#include <assert.h>
#include <string.h>

#include "vmm/config.h"

enum { WORDS_MAX = 64, TEXT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Each file behind the first is of one disk, which is only read. */
static void check_parts(const struct config *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < VMM_DISKS_MAX; i++) {
		assert(!c->disk_parts[i] || (i < c->ndisks && c->disk_is_ro[i]));
		n += c->disk_parts[i];
	}
	assert(n == c->nparts && n <= VMM_PARTS_MAX);
	for (unsigned i = 0; i < VMM_PARTS_MAX; i++)
		assert((c->fd[VMM_FD_PART + i] >= 0) == (i < n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[TEXT_MAX + 1];
	char *argv[WORDS_MAX] = {(char *)"conker-vmm"};
	struct config c;
	struct err e = {0};
	int argc = 1;

	len = min_(len, (size_t)TEXT_MAX);
	memcpy(text, data, len);
	text[len] = '\0';
	for (size_t at = 0; at < len && argc < WORDS_MAX; at += strlen(text + at) + 1)
		argv[argc++] = text + at;

	if (config_parse(argc, argv, &c, &e) < 0) {
		assert(e.code && e.msg[0]);
		return 0;
	}
	if (c.help || c.jail_check) /* no machine is asked for */
		return 0;
	assert(c.memory_mib >= CONFIG_MEMORY_MIN_MIB && c.memory_mib <= CONFIG_MEMORY_MAX_MIB);
	assert(c.cpus >= 1 && c.cpus <= CONFIG_CPUS_MAX);
	assert(c.fd[VMM_FD_RESTORE_STATE] >= 0
		       ? c.fd[VMM_FD_RESTORE_MEMORY] >= 0 && c.fd[VMM_FD_KERNEL] < 0
		       : c.fd[VMM_FD_KERNEL] >= 0 && c.cmdline);
	assert(c.disk_rate.bytes_per_s <= BUCKET_MAX && c.console_rate.ops_per_s <= BUCKET_MAX);
	assert(c.ndisks <= VMM_DISKS_MAX && c.nlisteners <= VMM_LISTENERS_MAX);
	check_parts(&c);
	return 0;
}
