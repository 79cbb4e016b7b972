/* SPDX-License-Identifier: Apache-2.0 */
/* snap_machine.c - any bytes at all as the body of a state file: refused with a reason, or a machine within its
 * limits, which packs to the same machine again. The header is made here, or no input would get past it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/snap/file.h"
#include "vmm/snap/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int read_it(const uint8_t *data, size_t len, struct machine_state **ret)
{
	uint8_t *file = malloc(SNAP_HEADER_BYTES + len);
	struct err e = {0};

	assert(file);
	if (len)
		memcpy(file + SNAP_HEADER_BYTES, data, len);
	snap_header(file + SNAP_HEADER_BYTES, len, file);
	int r = machine_unpack(file, SNAP_HEADER_BYTES + len, ret, &e);
	free(file);
	assert(r == 0 || (r < 0 && e.code && e.msg[0]));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct machine_state *m, *again;
	struct err e = {0};
	uint8_t *file;
	size_t file_len;

	if (read_it(data, len, &m) < 0)
		return 0;
	assert(m->ncpus >= 1 && m->ncpus <= CONFIG_CPUS_MAX && m->ndevices <= MACHINE_DEVICES_MAX);
	assert(machine_pack(m, &file, &file_len, &e) == 0);
	assert(machine_unpack(file, file_len, &again, &e) == 0);
	assert(again->ncpus == m->ncpus && again->ndevices == m->ndevices);
	assert(memcmp(again->cpu, m->cpu, m->ncpus * sizeof(*m->cpu)) == 0);
	free(file);
	machine_free(again);
	machine_free(m);
	return 0;
}
