/* SPDX-License-Identifier: Apache-2.0 */
/* le.h - numbers as they lie in files and messages: little-endian, at any address, of 1 to 8 bytes. */
#ifndef UTIL_LE_H
#define UTIL_LE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t le_get(const void *p, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return le64toh(v);
}

/* The low bytes of v. */
static inline void le_put(void *p, uint64_t v, size_t bytes)
{
	v = htole64(v);
	memcpy(p, &v, bytes);
}

#endif
