/* SPDX-License-Identifier: Apache-2.0 */
/* fdt.c - any machine in any room: a tree that is built is one that libfdt takes whole, names as many CPUs and
 * devices, and is the same each time; one that does not fit is refused and nothing is written past the room. */
#include <assert.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/fdt.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/config.h"

enum { DEVICES_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned children(const void *tree, const char *path, const char *prefix)
{
	int node, top = fdt_path_offset(tree, path);
	unsigned n = 0;

	assert(top >= 0);
	fdt_for_each_subnode(node, tree, top)
	{
		const char *name = fdt_get_name(tree, node, NULL);

		n += name && strncmp(name, prefix, strlen(prefix)) == 0;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint16_t room;
	static uint8_t again[FDT_MAX_BYTES];
	struct err e = {0};
	size_t bytes = 0, bytes_again;

	if (len < 4)
		return 0;
	struct fdt_machine m = {.ncpus = 1 + data[0] % CONFIG_CPUS_MAX,
				.nvirtio = data[1] % (DEVICES_MAX + 1)};
	memcpy(&room, data + 2, sizeof(room));
	room = (uint16_t)(room % (FDT_MAX_BYTES + 1));
	uint8_t *tree =
		malloc(room ? room : 1); /* exactly as large, so that a byte too far is seen */
	int r = fdt_build(&m, tree, room, &bytes, &e);
	if (r < 0) {
		assert(e.code && e.msg[0]);
	} else {
		assert(bytes <= room && fdt_check_header(tree) == 0);
		assert(fdt_totalsize(tree) == bytes);
		assert(children(tree, "/cpus", "cpu@") == m.ncpus);
		assert(fdt_build(&m, again, sizeof(again), &bytes_again, &e) == 0);
		assert(bytes_again == bytes && memcmp(tree, again, bytes) == 0);
	}
	free(tree);
	return 0;
}
