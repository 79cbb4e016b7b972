/* json.c - see json.h. */
#include "tools/bench/json.h"

#include <errno.h>
#include <string.h>

void json_init(struct json *j, const char *s, size_t len)
{
	*j = (struct json){.at = s, .end = s + len};
}

static void skip_space(struct json *j)
{
	while (j->at < j->end &&
	       (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
		j->at++;
}

/* 1 and past it when the next character is c. */
static int took(struct json *j, char c)
{
	skip_space(j);
	if (j->at == j->end || *j->at != c)
		return 0;
	j->at++;
	return 1;
}

/* Inside a string: the next character of its text, 0 at its end, or -EINVAL. */
static int next_char(struct json *j)
{
	if (j->at == j->end)
		return -EINVAL;
	char c = *j->at++;
	if (c == '"')
		return 0;
	if (c == '\\') {
		if (j->at == j->end || (*j->at != '"' && *j->at != '\\' && *j->at != '/'))
			return -EINVAL;
		c = *j->at++;
	}
	return c >= ' ' && c <= '~' ? c : -EINVAL;
}

/* A string of which as much is kept as fits. 1 when that was not all. */
static int read_cut(struct json *j, char *ret, size_t size)
{
	size_t n = 0;
	int c, cut = 0;

	if (!took(j, '"'))
		return -EINVAL;
	while ((c = next_char(j)) > 0) {
		if (n + 1 < size)
			ret[n++] = (char)c;
		else
			cut = 1;
	}
	ret[n] = 0;
	return c < 0 ? c : cut;
}

int json_read_string(struct json *j, char *ret, size_t size)
{
	int r = read_cut(j, ret, size);

	return r > 0 ? -E2BIG : r;
}

int json_read_uint(struct json *j, uint64_t *ret)
{
	uint64_t v = 0;
	size_t digits = 0;

	skip_space(j);
	for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++, digits++) {
		unsigned d = (unsigned)(*j->at - '0');

		if (v > (UINT64_MAX - d) / 10)
			return -E2BIG;
		v = v * 10 + d;
	}
	*ret = v;
	return digits ? 0 : -EINVAL;
}

static int skip_member(struct json *j, const char *key, void *user)
{
	(void)key;
	(void)user;
	return json_skip(j);
}

static int skip_element(struct json *j, void *user)
{
	(void)user;
	return json_skip(j);
}

static int skip_word(struct json *j)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < countof(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(j->end - j->at) >= n && memcmp(j->at, words[i], n) == 0) {
			j->at += n;
			return 0;
		}
	}
	return -EINVAL;
}

int json_skip(struct json *j)
{
	char none[1];
	uint64_t v;

	skip_space(j);
	if (j->at == j->end)
		return -EINVAL;
	switch (*j->at) {
	case '{': return json_each_member(j, skip_member, NULL);
	case '[': return json_each_element(j, skip_element, NULL);
	case '"': {
		int r = read_cut(j, none, sizeof(none));
		return r < 0 ? r : 0;
	}
	case 't':
	case 'f':
	case 'n': return skip_word(j);
	default: return json_read_uint(j, &v);
	}
}

/* Between two values: 1 when another one follows, 0 after the last, or -EINVAL. */
static int goes_on(struct json *j, char close)
{
	if (took(j, ','))
		return 1;
	return took(j, close) ? 0 : -EINVAL;
}

static int one_member(struct json *j, json_member_fn *fn, void *user)
{
	char key[JSON_KEY_BYTES];
	int r = read_cut(j, key, sizeof(key));

	if (r < 0)
		return r;
	if (!took(j, ':'))
		return -EINVAL;
	return fn(j, key, user);
}

int json_each_member(struct json *j, json_member_fn *fn, void *user)
{
	int r = 1;

	if (!took(j, '{') || ++j->depth > JSON_DEPTH_MAX)
		return -EINVAL;
	if (took(j, '}'))
		r = 0;
	while (r > 0) {
		r = one_member(j, fn, user);
		if (r == 0)
			r = goes_on(j, '}');
	}
	j->depth--;
	return r;
}

int json_each_element(struct json *j, json_element_fn *fn, void *user)
{
	int r = 1;

	if (!took(j, '[') || ++j->depth > JSON_DEPTH_MAX)
		return -EINVAL;
	if (took(j, ']'))
		r = 0;
	while (r > 0) {
		r = fn(j, user);
		if (r == 0)
			r = goes_on(j, ']');
	}
	j->depth--;
	return r;
}

int json_at_end(struct json *j)
{
	skip_space(j);
	return j->at == j->end;
}

void json_write_string(struct text *t, const char *s)
{
	text_add_char(t, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_add_char(t, '\\');
		text_add_char(t, *s);
	}
	text_add_char(t, '"');
}
