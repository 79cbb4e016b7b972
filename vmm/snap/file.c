/* file.c - see file.h. */
#include "vmm/snap/file.h"

#include <errno.h>
#include <string.h>

static const char magic[8] = {'c', 'n', 'k', 'r', 's', 'n', 'a', 'p'};

uint64_t snap_hash(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

static void put(uint8_t *p, uint64_t val, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(val >> (8 * i));
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t val = 0;

	for (unsigned i = 0; i < bytes; i++)
		val |= (uint64_t)p[i] << (8 * i);
	return val;
}

void snap_header(const void *body, size_t len, uint8_t ret[SNAP_HEADER_BYTES])
{
	memcpy(ret, magic, sizeof(magic));
	put(ret + 8, SNAP_VERSION, 4);
	put(ret + 12, len, 4);
	put(ret + 16, snap_hash(body, len), 8);
}

int snap_check(const uint8_t *file, size_t len, struct err *e)
{
	if (len < SNAP_HEADER_BYTES || memcmp(file, magic, sizeof(magic)) != 0)
		return err_set(e, EINVAL, "the state file is none");
	if (get(file + 8, 4) != SNAP_VERSION)
		return err_set(e, EINVAL,
			       "the state file has version %llu, this conker reads %d: make the "
			       "snapshot anew",
			       (unsigned long long)get(file + 8, 4), SNAP_VERSION);
	if (get(file + 12, 4) != len - SNAP_HEADER_BYTES)
		return err_set(e, EINVAL, "the state file is cut short or too long");
	if (get(file + 16, 8) != snap_hash(file + SNAP_HEADER_BYTES, len - SNAP_HEADER_BYTES))
		return err_set(e, EINVAL, "the state file is damaged");
	return 0;
}
