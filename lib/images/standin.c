/* SPDX-License-Identifier: Apache-2.0 */
/* standin.c - until fetch.c is here. */
#include "lib/images/images.h"

#include <errno.h>

__attribute__((weak)) int fetch(const struct image_work *w, const struct reference *ref,
				struct image_watch *watch, struct err *e)
{
	(void)w;
	(void)ref;
	(void)watch;
	return err_set(e, ENOSYS, "fetch");
}
