/* SPDX-License-Identifier: Apache-2.0 */
/* make.c - runs conker-image, which makes an image of an archive. It has the jail, this has the user's patience.
 *
 * Its descriptors, from 3 on: `out`, the input, our own directory, whose lock it keeps for as long as it lives, the pipe of its
 * progress, the layers that are here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "lib/images/store.h"

enum { LAYERS_AT = 4 }; /* among its descriptors: the last, which need not be there */

struct making {
	struct image_watch *watch;
	int progress;
	struct told told;
};

/* What it has said so far; the pipe does not wait. */
static int making_listen(struct making *m, struct err *e)
{
	char buf[4096];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(m->progress, buf, sizeof(buf))) > 0)
		r = told_feed(&m->told, buf, (size_t)n, &m->watch->now);
	return r < 0 ? err_set(e, EPROTO, "conker-image told its progress in words that are none")
		     : 0;
}

static int making_tick(void *arg, struct err *e)
{
	struct making *m = arg;
	int r = making_listen(m, e);

	return r < 0 ? r : image_tell(m->watch, e);
}

static int making_failed(int said, int status, struct err *e)
{
	char line[ERR_MSG_BYTES];
	const char *why;

	spawn_complaint(said, line, sizeof(line));
	if (*line) {
		int code = told_error(line, &why);
		return err_set(e, code, "%s", why);
	}
	if (status > 128)
		return err_set(e, EIO, "conker-image was ended by signal %d", status - 128);
	return err_set(e, EIO, "conker-image ended with status %d and no word", status);
}

static int making_run(struct making *m, const char *const *argv, const int *fds, int nfds,
		      struct err *e)
{
	struct image_run run = {.argv = argv,
				.in = -1,
				.out = -1,
				.fds = fds,
				.nfds = nfds,
				.tick = making_tick,
				.arg = m};
	auto_close int said = -1;
	int status = run_watched(&run, &said, e);

	if (status == -ENOENT)
		return err_set(e, ENOENT, "conker-image '%s' is not there", argv[0]);
	if (status < 0) {
		/* How far it came, for who says so. */
		if (making_listen(m, NULL) == 0)
			(void)!image_tell(m->watch, NULL);
		return status;
	}
	int r = making_listen(m, e);
	return status > 0 ? making_failed(said, status, e) : r;
}

static int make_with(const int *fds, int nfds, struct making *m, struct err *e)
{
	char path[PATH_MAX];
	int r = place_image_program(path, sizeof(path), e);

	if (r < 0)
		return r;
	const char *const more[][2] = {{"--layers-fd", nfds > LAYERS_AT ? "7" : NULL},
				       {"--platform", m->watch->o->platform},
				       {"--ref", m->watch->o->ref}};
	const char *argv[8 + 2 * countof(more)] = {path, "--work-fd",     "3", "--input-fd",
						   "4",  "--progress-fd", "6"};
	int n = 7;
	for (size_t i = 0; i < countof(more); i++)
		if (more[i][1]) {
			argv[n++] = more[i][0];
			argv[n++] = more[i][1];
		}
	return making_run(m, argv, fds, nfds, e);
}

static int make_in(const struct image_work *w, int out, int input, struct image_watch *watch,
		   struct err *e)
{
	int pipe_fds[2];
	/* The first image makes it, when it is published. */
	auto_close int layers = store_sub_there(w->store, "layers");

	if (layers < 0 && layers != -ENOENT)
		return err_set(e, -layers, "'layers' in the image directory: %s",
			       strerror(-layers));
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_errno(e, "make a pipe");
	auto_close int from = pipe_fds[0], to = pipe_fds[1];
	if (fcntl(from, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(e, "make a pipe");

	const int fds[] = {out, input, w->fd, to, layers};
	struct making m = {.watch = watch, .progress = from};
	return make_with(fds, layers < 0 ? LAYERS_AT : LAYERS_AT + 1, &m, e);
}

int image_make(const struct image_work *w, int input, struct image_watch *watch, struct err *e)
{
	(void)tree_remove(w->fd, WORK_OUT); /* of a run before */
	auto_close int out = store_sub(w->fd, WORK_OUT, e);

	if (out < 0)
		return out;
	watch->now.step = CONKER_IMAGE_UNPACK;
	watch->now.layer = watch->now.layers = 0;
	watch->now.done_bytes = watch->now.total_bytes = 0;
	int r = image_tell(watch, e);
	return r < 0 ? r : make_in(w, out, input, watch, e);
}
