/* SPDX-License-Identifier: Apache-2.0 */
/* standin.c - until reference.c and fetch.c are here. */
#include "lib/images/images.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((weak)) int reference_parse(const char *text, struct reference *ret, struct err *e)
{
	int n = snprintf(ret->full, sizeof(ret->full), "docker.io/library/%s%s", text,
			 strchr(text, ':') ? "" : ":latest");

	return *text && !strchr(text, ' ') && n > 0 && (size_t)n < sizeof(ret->full) ? 0 : err_set(e, EINVAL, "no reference");
}

__attribute__((weak)) int fetch(const struct image_work *w, const struct reference *ref,
				struct image_watch *watch, struct err *e)
{
	(void)w;
	(void)ref;
	(void)watch;
	return err_set(e, ENOSYS, "fetch");
}
