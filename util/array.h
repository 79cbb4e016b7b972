/* SPDX-License-Identifier: Apache-2.0 */
/* array.h - arrays that grow. */
#ifndef UTIL_ARRAY_H
#define UTIL_ARRAY_H

#include <stdlib.h>

#include "util/util.h"

/* The array a, of *room elements of so many bytes, n of them in use, with room for one more at least: itself, or what
 * realloc() made of it, twice as large (first: `first` elements). NULL: no memory, and a is as it was. */
must_check static inline void *array_grow(void *a, size_t *room, size_t n, size_t bytes,
					  size_t first)
{
	size_t more = *room ? 2 * *room : first;

	if (n < *room)
		return a;
	void *p = realloc(a, more * bytes);
	if (p)
		*room = more;
	return p;
}

#endif
