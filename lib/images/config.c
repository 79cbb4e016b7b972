/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - what an image says of itself: the file `config` that conker-image wrote (image/README.md has the format).
 *
 * The first line names format and version, the last one has the sum of all before it, and finds damage. Between them
 * key=value in any order; a key that is not known says nothing to this release. Values are a stranger's: bytes but NUL.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/num.h"
#include "util/signame.h"

static const char first_line[] = "conker-image-config 1\n";

enum { LISTS = 6 };

/* In the order of the lists in memory; two keys may go into one. */
static const struct {
	const char *key,
		*before; /* before: what the value begins with, in place of the end of the key */
	size_t offset;
} lists[] = {
	{"entrypoint", "", offsetof(struct image_config, entrypoint)},
	{"cmd", "", offsetof(struct image_config, cmd)},
	{"env", "", offsetof(struct image_config, env)},
	{"port", "", offsetof(struct image_config, ports)},
	{"label", "", offsetof(struct image_config, labels)},
	{"ignored_volume", "volume ", offsetof(struct image_config, ignored)},
	{"ignored", "", offsetof(struct image_config, ignored)},
};

static const struct {
	const char *key;
	size_t offset;
} words[] = {
	{"workdir", offsetof(struct image_config, workdir)},
	{"user", offsetof(struct image_config, user)},
	{"created", offsetof(struct image_config, created)},
	{"stop_signal", offsetof(struct image_config, stop_signal_name)},
};

/* ---- lines --------------------------------------------------------------------------------------------- */

/* Cuts text into keys, each with its value behind its NUL; the number of them, or -EBADMSG. */
static int cut_lines(char *text, char **ret)
{
	int n = 0;

	for (char *l; (l = strsep(&text, "\n")) && *l; n++) {
		char *eq = strchr(l, '=');

		if (!eq || text_unescape(eq + 1) < 0)
			return -EBADMSG;
		*eq = 0;
		ret[n] = l;
	}
	return n;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* All values of the key go to *to. */
static void config_fill_list(size_t list, char *const *line, int n, char ***to)
{
	const char *before = lists[list].before;
	size_t len = strlen(before);

	for (int i = 0; i < n; i++) {
		char *value = line[i] + strlen(line[i]) + 1;

		if (strcmp(line[i], lists[list].key) != 0)
			continue;
		/* Over the key, which is longer and not wanted any more. */
		for (size_t k = len; k > 0; k--)
			*--value = before[k - 1];
		*(*to)++ = value;
	}
}

static void config_fill_lists(struct image_config *c, char *const *line, int n)
{
	char **to = c->all;

	for (size_t i = 0; i < countof(lists); i++) {
		char ***list = (char ***)(void *)((char *)c + lists[i].offset);

		if (!*list && i > 0)
			to++; /* the NULL of the list before */
		if (!*list)
			*list = to;
		config_fill_list(i, line, n, &to);
	}
}

static void config_fill_words(struct image_config *c, char *const *line, int n)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < countof(words); k++)
			if (strcmp(line[i], words[k].key) == 0) {
				char *value = line[i] + strlen(line[i]) + 1;

				memcpy((char *)c + words[k].offset, &value, sizeof(value));
			}
}

/* By name or by number, as engines take it. */
static int signal_of(const char *name)
{
	uint64_t n;

	if (!name)
		return 0;
	if (num_parse(name, strlen(name), 10, SIGNAME_RTMAX, &n) == 0)
		return (int)n;
	return max_(signame_number(name), 0);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static int config_fill(struct image_config *c, char *lines)
{
	size_t room = count_lines(lines) + 1;
	auto_free char **line = calloc(room, sizeof(*line));

	c->all = calloc(room + LISTS, sizeof(*c->all));
	if (!line || !c->all)
		return -ENOMEM; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
	int n = cut_lines(lines, line);
	if (n < 0)
		return n;
	config_fill_words(c, line, n);
	config_fill_lists(c, line, n);
	c->stop_signal = signal_of(c->stop_signal_name);
	return 0;
}

int image_config_parse(char *text, size_t len, struct image_config *ret, struct err *e)
{
	static const size_t first = sizeof(first_line) - 1;
	char sum[SHA256_TEXT_BYTES];

	*ret = (struct image_config){.text = text};
	text[len] = 0;
	if (len < first || strncmp(text, first_line, first) != 0)
		return err_set(e, EBADMSG, "its configuration is of no format that is known here");
	int r = text_check_sum(text, len, sum);
	if (r == 0)
		r = config_fill(ret, text + first);
	return r < 0 ? err_set(e, -r, "its configuration: %s", strerror(-r)) : 0;
}

static int config_empty(struct image_config *ret, struct err *e)
{
	*ret = (struct image_config){.text = strdup("")};
	int r = ret->text ? config_fill(ret, ret->text) : -ENOMEM;
	return r < 0 ? err_set(e, -r, "no memory for a configuration") : 0;
}

int image_config_at(int dir, const char *name, struct image_config *ret, struct err *e)
{
	char *text = NULL;

	*ret = (struct image_config){0};
	ssize_t n = text_load(dir, "config", IMAGE_CONFIG_MAX_BYTES, &text, e);
	int r = n < 0 ? (int)n : image_config_parse(text, (size_t)n, ret, e);
	return r < 0 ? err_wrap(e, r, "image '%s'", name) : 0;
}

int image_config_load(const struct opened_image *i, struct image_config *ret, struct err *e)
{
	*ret = (struct image_config){0};
	if (!*i->id)
		return config_empty(ret, e);
	auto_close int dir = open(i->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_errno(e, "image '%s'", i->name);
	return image_config_at(dir, i->name, ret, e);
}

void image_config_free(struct image_config *c)
{
	free(take_ptr(c->all));
	free(take_ptr(c->text));
}
