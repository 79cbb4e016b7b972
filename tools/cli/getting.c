/* SPDX-License-Identifier: Apache-2.0 */
/* getting.c - images fetched and made, with progress: one line of the terminal, written over again; elsewhere nothing but
 * beginning and end.
 */
#include "tools/cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/clean.h"

enum {
	SHOW_EVERY_US = 100000,
	SPEED_OVER_US =
		2000000, /* long enough to be read, short enough to tell that nothing comes */
	LINE_BYTES = 512,
};

struct showing {
	int tty, said; /* said: the name of what is pulled */
	int shown;     /* a line stands on the terminal */
	int64_t shown_us;
	int64_t since_us; /* of the speed */
	uint64_t since_bytes, bytes_per_s;
	conker_image_progress last;
};

/* ---- text ------------------------------------------------------------------------------------------ */

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static void bytes_text(const conker_image_progress *p, char *ret, size_t size)
{
	ret[0] = 0;
	if (p->total_bytes)
		(void)snprintf(ret, size, "  %.1f of %.1f MiB", mib(p->done_bytes),
			       mib(p->total_bytes));
	else if (p->done_bytes)
		(void)snprintf(ret, size, "  %.1f MiB", mib(p->done_bytes));
}

void image_progress_text(const conker_image_progress *p, uint64_t bytes_per_s, char *ret,
			 size_t size)
{
	char bytes[64], speed[32] = "";

	bytes_text(p, bytes, sizeof(bytes));
	if (bytes_per_s)
		(void)snprintf(speed, sizeof(speed), "  %.1f MiB/s", mib(bytes_per_s));
	if (p->step == CONKER_IMAGE_RESOLVE)
		(void)snprintf(ret, size, "asking for %s", p->name);
	else if (p->step == CONKER_IMAGE_FETCH)
		(void)snprintf(ret, size, "pulling %s%s%s", p->name, bytes, speed);
	else if (p->step == CONKER_IMAGE_PUBLISH)
		(void)snprintf(ret, size, "writing %s to disk", p->name);
	else if (p->layers)
		(void)snprintf(ret, size, "unpacking layer %u of %u of %s%s", p->layer, p->layers,
			       p->name, bytes);
	else
		(void)snprintf(ret, size, "reading %s%s", p->name, bytes);
}

/* ---- the terminal ---------------------------------------------------------------------------------- */

static void speed_count(struct showing *s, const conker_image_progress *p, int64_t now)
{
	if (p->step != s->last.step || p->done_bytes < s->since_bytes) {
		s->since_us = now;
		s->since_bytes = p->done_bytes;
		s->bytes_per_s = 0;
	} else if (now - s->since_us >= SPEED_OVER_US) {
		s->bytes_per_s =
			(p->done_bytes - s->since_bytes) * 1000000 / (uint64_t)(now - s->since_us);
		s->since_us = now;
		s->since_bytes = p->done_bytes;
	}
}

static void show_line(struct showing *s, const conker_image_progress *p)
{
	char line[LINE_BYTES];
	uint16_t rows = 0, cols = 80;

	image_progress_text(p, s->bytes_per_s, line, sizeof(line));
	clean_text(line);
	term_size(&rows, &cols);
	/* A longer one would wrap, and not be written over. */
	if (cols > 1 && strlen(line) >= cols)
		line[cols - 1] = 0;
	fprintf(stderr, "\r\033[K%s", line);
	fflush(stderr);
	s->shown = 1;
}

static void show_end(struct showing *s)
{
	if (s->shown)
		fputs("\r\033[K", stderr);
	s->shown = 0;
}

static int on_progress(const conker_image_progress *p, void *user)
{
	struct showing *s = user;
	int64_t now = now_us();

	if (!s->said)
		note("pulling %s", p->name);
	s->said = 1;
	speed_count(s, p, now);
	if (s->tty && (now - s->shown_us >= SHOW_EVERY_US || p->step != s->last.step)) {
		s->shown_us = now;
		show_line(s, p);
	}
	s->last = *p;
	return signals_caught();
}

/* ---- the whole -------------------------------------------------------------------------------------- */

/* The layer that was told of last may be half. */
static uint32_t whole_layers(const conker_image_progress *p)
{
	return p->layer - (p->step == CONKER_IMAGE_UNPACK && p->done_bytes < p->total_bytes);
}

/* What is whole is kept; the next call goes on. */
static void note_interrupted(const struct showing *s)
{
	if (s->last.step >= CONKER_IMAGE_UNPACK && s->last.layers)
		note("interrupted; %u of %u layers are here", whole_layers(&s->last),
		     s->last.layers);
	else if (s->last.step == CONKER_IMAGE_FETCH)
		note("interrupted; what is whole is here, and the next pull goes on from there");
	else
		note("interrupted");
}

static int get_end(struct showing *s, int r)
{
	show_end(s);
	if (r >= 0)
		return 0;
	if (signals_caught())
		note_interrupted(s);
	return fail_lib();
}

static conker_image_opts opts_of(const struct getting *g, struct showing *s)
{
	signals_init_ending();
	s->tty = !g->quiet && isatty(STDERR_FILENO);
	return (conker_image_opts){.size = sizeof(conker_image_opts),
				   .platform = g->platform,
				   .creds = g->creds,
				   .ref = g->ref,
				   .progress = on_progress,
				   .user = s};
}

int image_get_pull(const struct getting *g, const char *ref)
{
	struct showing s = {.said = g->quiet};
	conker_image_opts o = opts_of(g, &s);

	return get_end(&s, over_again(conker_image_pull(ref, &o)));
}

int image_get_import(const struct getting *g, const char *name, const char *path)
{
	struct showing s = {.said = 1};
	conker_image_opts o = opts_of(g, &s);

	return get_end(&s, over_again(conker_image_import(name, path, &o)));
}
