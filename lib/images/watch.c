/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - who waits is told how far it is, and may end it. */
#include "lib/images/images.h"

#include <errno.h>

int image_tell(struct image_watch *w, struct err *e)
{
	int stop = 0;

	w->now.size = sizeof(w->now);
	if (w->o->progress) {
		api_callback_begin();
		stop = w->o->progress(&w->now, w->o->user);
		api_callback_end();
	}
	return stop ? err_set(e, ECANCELED, "cancelled") : 0;
}
