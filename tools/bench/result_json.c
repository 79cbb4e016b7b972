/* result_json.c - a result as JSON, and back.
 *
 *	{"format":"conker bench","version":1,"started":"2026-11-21T11:00:00Z","seconds":300,
 *	 "facts":{"kind":"pvm", ...},
 *	 "skipped":{"firecracker":"not on PATH"},
 *	 "series":[{"id":"cold","system":"conker","title":"...","measures":"...","unit":"ns","boxes":1,
 *	   "ended":"confident","failures":0,"failure":"","samples":[...],
 *	   "steps":[{"name":"boot","samples":[...]}]}]}
 *
 * Members are added in later versions, not renamed; unknown ones are skipped. Of two members of one name the last
 * counts, as elsewhere.
 */
#include "tools/bench/result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/json.h"

#define FORMAT "conker bench"

/* ---- writing ----------------------------------------------------------------------------------------- */

static void write_samples(struct text *t, const uint64_t *v, size_t n)
{
	text_add_char(t, '[');
	for (size_t i = 0; i < n; i++)
		text_add(t, "%s%" PRIu64, i ? "," : "", v[i]);
	text_add_char(t, ']');
}

static void write_facts(struct text *t, const char *name, const struct fact *f, size_t n)
{
	text_add(t, "\"%s\":{", name);
	for (size_t i = 0; i < n; i++) {
		text_add(t, "%s\n  ", i ? "," : "");
		json_write_string(t, f[i].key);
		text_add_char(t, ':');
		json_write_string(t, f[i].value);
	}
	text_add(t, "},\n ");
}

static void write_string(struct text *t, const char *key, const char *value)
{
	text_add(t, "\"%s\":", key);
	json_write_string(t, value);
	text_add_char(t, ',');
}

static void write_series(struct text *t, const struct series *s)
{
	text_add_char(t, '{');
	write_string(t, "id", s->id);
	write_string(t, "system", s->system);
	write_string(t, "title", s->title);
	text_add(t, "\n    ");
	write_string(t, "measures", s->measures);
	text_add(t, "\n    ");
	write_string(t, "unit", unit_name(s->unit));
	text_add(t, "\"boxes\":%" PRIu32 ",", s->boxes);
	write_string(t, "ended", ended_name(s->ended));
	text_add(t, "\"failures\":%" PRIu32 ",", s->failures);
	write_string(t, "failure", s->failure);
	text_add(t, "\n    \"samples\":");
	write_samples(t, s->v, s->n);
	text_add(t, ",\n    \"steps\":[");
	for (size_t i = 0; i < s->nsteps; i++) {
		text_add(t, "%s\n     {", i ? "," : "");
		write_string(t, "name", s->step[i].name);
		text_add(t, "\"samples\":");
		write_samples(t, s->step[i].v, s->n);
		text_add_char(t, '}');
	}
	text_add(t, "]}");
}

void result_write(struct text *t, const struct result *r)
{
	text_add(t, "{\"format\":\"" FORMAT "\",\"version\":%d,", RESULT_VERSION);
	write_string(t, "started", r->started);
	text_add(t, "\"seconds\":%" PRIu64 ",\n ", r->seconds);
	write_facts(t, "facts", r->fact, r->nfacts);
	write_facts(t, "skipped", r->skip, r->nskips);
	text_add(t, "\"series\":[");
	for (size_t i = 0; i < r->nseries; i++) {
		text_add(t, "%s\n  ", i ? "," : "");
		write_series(t, r->series[i]);
	}
	text_add(t, "]}\n");
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

static int read_number(struct json *j, void *user)
{
	struct numbers *l = user;

	if (l->n == SAMPLES_MAX)
		return -EINVAL;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		uint64_t *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	return json_read_uint(j, &l->v[l->n++]);
}

/* *v is replaced; *ret_n is how many there are. */
static int read_numbers(struct json *j, uint64_t **v, size_t *ret_n)
{
	struct numbers l = {0};
	int r = json_each_element(j, read_number, &l);

	free(*v);
	*v = l.v;
	*ret_n = l.n;
	return r;
}

static int read_word(struct json *j, const char *(*name)(unsigned), unsigned count, unsigned *ret)
{
	char word[16];
	int r = json_read_string(j, word, sizeof(word));

	if (r < 0)
		return r;
	for (*ret = 0; *ret < count; (*ret)++)
		if (strcmp(word, name(*ret)) == 0)
			return 0;
	return -EINVAL;
}

static const char *unit_word(unsigned i)
{
	return unit_name((enum unit)i);
}

static const char *ended_word(unsigned i)
{
	return ended_name((enum ended)i);
}

static int read_u32(struct json *j, uint32_t *ret)
{
	uint64_t v;
	int r = json_read_uint(j, &v);

	if (r == 0 && v > UINT32_MAX)
		r = -EINVAL;
	*ret = (uint32_t)v;
	return r;
}

struct reading { /* of a series */
	struct series *s;
	size_t step_n[STEPS_MAX]; /* samples of each step, which must be as many as of the whole */
};

static int read_step_member(struct json *j, const char *key, void *user)
{
	struct reading *g = user;
	struct step *p = &g->s->step[g->s->nsteps - 1];

	if (strcmp(key, "name") == 0)
		return json_read_string(j, p->name, sizeof(p->name));
	if (strcmp(key, "samples") == 0)
		return read_numbers(j, &p->v, &g->step_n[g->s->nsteps - 1]);
	return json_skip(j);
}

static int read_step(struct json *j, void *user)
{
	struct reading *g = user;

	if (g->s->nsteps == STEPS_MAX)
		return -EINVAL;
	g->s->nsteps++;
	return json_each_member(j, read_step_member, g);
}

static int read_series_number(struct json *j, const char *key, struct series *s)
{
	unsigned word = 0;
	int r;

	if (strcmp(key, "boxes") == 0)
		return read_u32(j, &s->boxes);
	if (strcmp(key, "failures") == 0)
		return read_u32(j, &s->failures);
	if (strcmp(key, "unit") == 0) {
		r = read_word(j, unit_word, UNIT_COUNT, &word);
		s->unit = r == 0 ? (enum unit)word : UNIT_NS;
		return r;
	}
	if (strcmp(key, "ended") == 0) {
		r = read_word(j, ended_word, ENDED_COUNT, &word);
		s->ended = r == 0 ? (enum ended)word : ENDED_NOT;
		return r;
	}
	return json_skip(j);
}

static int read_series_member(struct json *j, const char *key, void *user)
{
	struct reading *g = user;
	struct series *s = g->s;

	if (strcmp(key, "id") == 0)
		return json_read_string(j, s->id, sizeof(s->id));
	if (strcmp(key, "system") == 0)
		return json_read_string(j, s->system, sizeof(s->system));
	if (strcmp(key, "title") == 0)
		return json_read_string(j, s->title, sizeof(s->title));
	if (strcmp(key, "measures") == 0)
		return json_read_string(j, s->measures, sizeof(s->measures));
	if (strcmp(key, "failure") == 0)
		return json_read_string(j, s->failure, sizeof(s->failure));
	if (strcmp(key, "samples") == 0) {
		int r = read_numbers(j, &s->v, &s->n);
		s->cap = s->n;
		return r;
	}
	if (strcmp(key, "steps") == 0)
		return s->nsteps ? -EINVAL : json_each_element(j, read_step, g);
	return read_series_number(j, key, s);
}

static int read_series(struct json *j, void *user)
{
	struct reading g = {.s = result_series(user, "", "")};

	if (!g.s)
		return ((struct result *)user)->nseries == SERIES_MAX ? -EINVAL : -ENOMEM;
	int r = json_each_member(j, read_series_member, &g);
	for (size_t i = 0; i < g.s->nsteps && r == 0; i++)
		if (g.step_n[i] != g.s->n)
			r = -EINVAL;
	return r;
}

static int read_fact(struct json *j, const char *key, void *user)
{
	char value[sizeof(((struct fact *)0)->value)];
	int r = json_read_string(j, value, sizeof(value));

	if (r == 0)
		result_fact(user, key, value);
	return r;
}

static int read_skip(struct json *j, const char *key, void *user)
{
	char value[sizeof(((struct fact *)0)->value)];
	int r = json_read_string(j, value, sizeof(value));

	if (r == 0)
		result_skip(user, key, value);
	return r;
}

struct head {
	struct result *r;
	char format[16];
	uint64_t version;
};

static int read_member(struct json *j, const char *key, void *user)
{
	struct head *h = user;

	if (strcmp(key, "format") == 0)
		return json_read_string(j, h->format, sizeof(h->format));
	if (strcmp(key, "version") == 0)
		return json_read_uint(j, &h->version);
	if (strcmp(key, "started") == 0)
		return json_read_string(j, h->r->started, sizeof(h->r->started));
	if (strcmp(key, "seconds") == 0)
		return json_read_uint(j, &h->r->seconds);
	if (strcmp(key, "facts") == 0)
		return json_each_member(j, read_fact, h->r);
	if (strcmp(key, "skipped") == 0)
		return json_each_member(j, read_skip, h->r);
	if (strcmp(key, "series") == 0)
		return json_each_element(j, read_series, h->r);
	return json_skip(j);
}

int result_read(struct result *ret, const char *s, size_t len)
{
	struct head h = {.r = ret};
	struct json j;

	json_init(&j, s, len);
	int r = json_each_member(&j, read_member, &h);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || strcmp(h.format, FORMAT) != 0 || !json_at_end(&j))
		return -EINVAL;
	return h.version == RESULT_VERSION ? 0 : -ENOTSUP;
}
