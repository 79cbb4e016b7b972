/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - see text.h. */
#include "tools/bench/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int grow(struct text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 4096;

	if (t->failed)
		return -1;
	while (cap - t->len <= more)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	char *s = realloc(t->s, cap);
	if (!s) {
		t->failed = 1;
		return -1;
	}
	t->s = s;
	t->cap = cap;
	return 0;
}

void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && grow(t, (size_t)n) == 0) {
		(void)vsnprintf(t->s + t->len, t->cap - t->len, fmt, again);
		t->len += (size_t)n;
	}
	va_end(again);
}

void text_add_char(struct text *t, char c)
{
	if (grow(t, 1) < 0)
		return;
	t->s[t->len++] = c;
	t->s[t->len] = 0;
}

void text_fini(struct text *t)
{
	free(t->s);
	*t = (struct text){0};
}

void text_ascii(char *ret, size_t size, const char *s)
{
	size_t n = 0;

	for (; *s && n + 1 < size; s++)
		ret[n++] = *s >= ' ' && *s <= '~' ? *s : '?';
	ret[n] = 0;
}
