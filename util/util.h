/* SPDX-License-Identifier: Apache-2.0 */
/* util.h - the handful of macros that C lacks. */
#ifndef UTIL_UTIL_H
#define UTIL_UTIL_H

#include <stddef.h>

/* Elements of an array; does not compile for a pointer, which sizeof/sizeof silently accepts. */
#define countof(a)                                                                                 \
	(sizeof(a) / sizeof((a)[0]) +                                                              \
	 0 * sizeof(struct {                                                                       \
		 _Static_assert(!__builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])), \
				"not an array");                                                   \
		 int x_;                                                                           \
	 }))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#ifdef __CPPCHECK__ /* it cannot parse a statement expression in an initialiser */
#define min_(a, b) ((a) < (b) ? (a) : (b))
#define max_(a, b) ((a) > (b) ? (a) : (b))
#else
#define min_(a, b)                      \
	__extension__({                 \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define max_(a, b)                      \
	__extension__({                 \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})
#endif

#define must_check __attribute__((warn_unused_result))

#endif
