/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h - ownership bound to scope.
 *
 * A variable declared auto_free or auto_close releases what it holds when it goes out of scope;
 * take_ptr() and take_fd() move the ownership out. Declare at the point of acquisition, and never
 * mix with goto in one function: a jump over the declaration would release an undefined value.
 */
#ifndef UTIL_CLEANUP_H
#define UTIL_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define cleanup_(fn) __attribute__((cleanup(fn)))

static inline void freep_(void *p)
{
	free(*(void **)p);
}

static inline void closep_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define auto_free  cleanup_(freep_)
#define auto_close cleanup_(closep_)

/* DEFINE_AUTO(struct vm, vm_free) lets a scope own one: cleanup_(vm_freep_) struct vm *v = NULL; */
#define DEFINE_AUTO(type, fn)               \
	static inline void fn##p_(type **p) \
	{                                   \
		fn(*p);                     \
	}                                   \
	struct util_semicolon_

#define take_ptr(p)                     \
	__extension__({                 \
		__typeof__(p) t_ = (p); \
		(p) = NULL;             \
		t_;                     \
	})
#define take_fd(fd)            \
	__extension__({        \
		int t_ = (fd); \
		(fd) = -1;     \
		t_;            \
	})

#endif
