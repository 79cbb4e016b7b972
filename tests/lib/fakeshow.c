/* SPDX-License-Identifier: Apache-2.0 */
/* fakeshow.c - see fakeshow.h. */
#include "tests/lib/fakeshow.h"

#include <stdio.h>
#include <stdlib.h>

char *fakeshow_start(const Conker__Start *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		abort();
	for (size_t i = 0; i < s->n_argv; i++)
		fprintf(f, "arg=%s\n", (char *)s->argv[i].data);
	for (size_t i = 0; i < s->n_env && i < 100; i++)
		fprintf(f, "env=%.400s\n", (char *)s->env[i].data);
	fprintf(f, "nenv=%zu\ncwd=%s\nuser=%s\nname=%s\nstdin=%d\ntimeout=%u\ngrace=%u\n", s->n_env,
		(char *)s->cwd.data, (char *)s->user.data, (char *)s->name.data, s->stdin_open,
		s->timeout_ms, s->grace_ms);
	if (s->tty)
		fprintf(f, "tty=%ux%u %s\n", s->tty->rows, s->tty->cols, (char *)s->tty->term.data);
	if (fclose(f) != 0)
		abort();
	return text;
}

void fakeshow_lifetime(char *ret, size_t size, const Conker__Lifetime *l)
{
	if (l)
		(void)snprintf(ret, size, "life %u idle %u suspend %d", l->life_ms, l->idle_ms,
			       l->idle_suspend);
	else
		(void)snprintf(ret, size, "its own");
}
