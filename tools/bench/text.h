/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - a text that grows. Running out of memory is remembered and asked for once, at the end. */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>

struct text {
	char *s; /* NUL-terminated when not NULL */
	size_t len, cap;
	int failed;
};

void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_add_char(struct text *t, char c);
void text_fini(struct text *t);

/* Copies what is printable ASCII; every other byte becomes '?'. Results hold nothing else, so that neither a
 * terminal nor a parser meets a surprise in the name of a CPU. Cuts what does not fit. */
void text_ascii(char *ret, size_t size, const char *s);

#endif
