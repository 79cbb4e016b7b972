/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - see file.h. */
#include "vmm/snap/file.h"

#include <errno.h>
#include <string.h>

#include "util/le.h"

static const char magic[8] = {'c', 'n', 'k', 'r', 's', 'n', 'a', 'p'};

uint64_t snap_hash(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

void snap_header(const void *body, size_t len, uint8_t ret[SNAP_HEADER_BYTES])
{
	memcpy(ret, magic, sizeof(magic));
	le_put(ret + 8, SNAP_VERSION, 4);
	le_put(ret + 12, len, 4);
	le_put(ret + 16, snap_hash(body, len), 8);
}

int snap_check(const uint8_t *file, size_t len, struct err *e)
{
	if (len < SNAP_HEADER_BYTES || memcmp(file, magic, sizeof(magic)) != 0)
		return err_set(e, EINVAL, "the state file is none");
	if (le_get(file + 8, 4) != SNAP_VERSION)
		return err_set(e, EINVAL,
			       "the state file has version %llu, this conker reads %d: make the "
			       "snapshot anew",
			       (unsigned long long)le_get(file + 8, 4), SNAP_VERSION);
	if (le_get(file + 12, 4) != len - SNAP_HEADER_BYTES)
		return err_set(e, EINVAL, "the state file is cut short or too long");
	if (le_get(file + 16, 8) != snap_hash(file + SNAP_HEADER_BYTES, len - SNAP_HEADER_BYTES))
		return err_set(e, EINVAL, "the state file is damaged");
	return 0;
}
