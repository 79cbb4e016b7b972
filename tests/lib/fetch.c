/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.c - fetch() by itself, for tests/tools/registry.py.
 *
 *	fetch STORE REFERENCE [PLATFORM]
 *
 * The layout is left in STORE/.work-N, which is printed first. Then a line for each progress, "STEP DONE TOTAL", and at the
 * end "ok" or "ERRNO message". CREDS of the environment are the credentials. SIGINT interrupts; after CANCEL bytes it is cancelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/images/images.h"

static int show(const conker_image_progress *p, void *user)
{
	const uint64_t *cancel = user;

	(void)printf("%d %" PRIu64 " %" PRIu64 "\n", (int)p->step, p->done_bytes, p->total_bytes);
	(void)fflush(stdout);
	return p->step == CONKER_IMAGE_FETCH && p->done_bytes >= *cancel;
}

static void interrupted(int signo)
{
	(void)signo;
}

static int work_begin(const char *store, struct image_work *w)
{
	w->store = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(w->name, sizeof(w->name), ".work-%d", getpid());
	if (w->store < 0 || mkdirat(w->store, w->name, 0700) < 0)
		return -1;
	w->fd = openat(w->store, w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)printf("%s\n", w->name);
	(void)fflush(stdout);
	return w->fd;
}

int main(int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = interrupted};
	const char *cancel_at = getenv("CANCEL");
	uint64_t cancel = cancel_at ? strtoull(cancel_at, NULL, 10) : UINT64_MAX;
	conker_image_opts o = {.size = sizeof(o),
			       .platform = argc > 3 ? argv[3] : NULL,
			       .creds = getenv("CREDS"),
			       .progress = show,
			       .user = &cancel};
	struct image_watch watch = {.o = &o, .now = {.size = sizeof(watch.now)}};
	struct image_work w;
	struct reference ref;
	struct err e = {0};

	(void)sigaction(SIGINT, &sa, NULL);
	if (argc < 3 || work_begin(argv[1], &w) < 0)
		return 2;
	int r = reference_parse(argv[2], &ref, &e);
	if (r == 0)
		r = fetch(&w, &ref, &watch, &e);
	if (r == 0 && getenv("DISTRUST"))
		fetch_distrust(&w);
	(void)printf("%s %s\n", r < 0 ? strerrorname_np(-r) : "ok", e.msg);
	return r < 0;
}
