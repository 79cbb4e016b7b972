/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - see report.h. */
#include "tools/bench/report.h"

#include <assert.h>
#include <string.h>

#include "tools/bench/table.h"

__asm__(".pushsection .rodata.report, \"a\"\n"
	".globl report_template\n"
	"report_template: .incbin \"tools/bench/report.html\"\n"
	"	.byte 0\n"
	".popsection\n");

extern const char report_template[];

/* Of the template up to mark, and what is after it. */
static const char *copy_until(struct text *t, const char *s, const char *mark)
{
	const char *end = strstr(s, mark);

	assert(end);
	text_add(t, "%.*s", (int)(end - s), s);
	return end + strlen(mark);
}

/* amp and lt stand for these two characters. That suffices for the content of an element; and for JSON in a script, where
 * "<" is in strings only: no "</script" ends it, and no "<!--" makes it another. */
static void add_escaped(struct text *t, const struct text *from, const char *amp, const char *lt)
{
	for (size_t i = 0; i < from->len; i++) {
		char c = from->s[i];

		if (c == '&')
			text_add(t, "%s", amp);
		else if (c == '<')
			text_add(t, "%s", lt);
		else
			text_add_char(t, c);
	}
	t->failed |= from->failed;
}

void report_page(struct text *t, const struct result *r)
{
	struct text table = {0}, json = {0};

	table_result(&table, r);
	result_write(&json, r);
	const char *rest = copy_until(t, report_template, "@TABLE@");
	add_escaped(t, &table, "&amp;", "&lt;");
	rest = copy_until(t, rest, "@DATA@");
	add_escaped(t, &json, "&", "\\u003c");
	text_add(t, "%s", rest);
	text_fini(&table);
	text_fini(&json);
}
