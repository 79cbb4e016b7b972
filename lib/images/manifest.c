/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - what an image is made of: the file `manifest` that conker-image wrote (image/README.md has the format).
 *
 * The first line names format and version, the last one has the sum of all before it, and is the image's ID: who knows
 * the ID knows that nothing was changed. Between them key=value, in a fixed order, `layer` and `data` any number of times. A
 * key that is not known is an error: a newer release writes another first line.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/erofs.h"
#include "util/io.h"
#include "util/num.h"

#define FIRST_WORDS "conker-image "
#define VERSION     "1"
#define SUM_KEY     "sum="

/* ---- words of a line ----------------------------------------------------------------------------------- */

/* Up to a space, which becomes the end; *s is then behind it. */
static char *word_take(char **s)
{
	char *w = *s, *space = strchr(w, ' ');

	*s = space ? space + 1 : w + strlen(w);
	if (space)
		*space = 0;
	return w;
}

static int word_number(char **s, uint64_t *ret)
{
	const char *w = word_take(s);

	return num_parse(w, strlen(w), 10, UINT64_MAX, ret) < 0 ? -EBADMSG : 0;
}

static int word_sum(char **s, char ret[SHA256_TEXT_BYTES])
{
	const char *w = word_take(s);

	if (strlen(w) != SHA256_TEXT_BYTES - 1 || !sha256_is_at(w))
		return -EBADMSG;
	memcpy(ret, w, SHA256_TEXT_BYTES);
	return 0;
}

/* Nothing behind the '=': there is none. */
static int word_sum_or_none(char **s, char ret[SHA256_TEXT_BYTES])
{
	if (**s)
		return word_sum(s, ret);
	ret[0] = 0;
	return 0;
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static int line_layer(struct made *m, char *s)
{
	struct made_layer *l = &m->layer[m->nlayers];

	if (m->nlayers == IMAGE_LAYERS_MAX || word_sum(&s, l->diff_id) < 0 ||
	    word_number(&s, &l->stream_bytes) < 0 || *s)
		return -EBADMSG;
	m->nlayers++;
	return 0;
}

static int is_whole_blocks(uint64_t bytes)
{
	return bytes % EROFS_BLOCK_BYTES == 0 && bytes / EROFS_BLOCK_BYTES <= UINT32_MAX;
}

static int line_data(struct made *m, char *s)
{
	struct made_data *d = &m->data[m->ndata];

	if (m->ndata == IMAGE_LAYERS_MAX || word_number(&s, &d->bytes) < 0 ||
	    word_sum(&s, d->diff_id) < 0 || *s || !is_whole_blocks(d->bytes))
		return -EBADMSG;
	m->ndata++;
	return 0;
}

static int line_meta(struct made *m, char *s)
{
	return word_number(&s, &m->meta_bytes) < 0 || word_sum(&s, m->meta_sum) < 0 || *s ||
			       !m->meta_bytes || !is_whole_blocks(m->meta_bytes)
		       ? -EBADMSG
		       : 0;
}

static int line_text(char *ret, size_t size, char *s)
{
	if (text_unescape(s) < 0 || strlen(s) >= size)
		return -EBADMSG;
	memcpy(ret, s, strlen(s) + 1);
	return 0;
}

static int line_number(uint64_t *ret, char *s)
{
	return word_number(&s, ret) < 0 || *s ? -EBADMSG : 0;
}

static const char *const keys[] = {
	"os",   "architecture", "manifest", "config",           "layer",
	"meta", "data",         "inodes",   "entries_left_out", "attributes_left_out"};
enum key { OS, ARCHITECTURE, MANIFEST, CONFIG, LAYER, META, DATA, INODES, ENTRIES, ATTRIBUTES };

static int line_value(struct made *m, enum key key, char *s)
{
	switch (key) {
	case OS: return line_text(m->os, sizeof(m->os), s);
	case ARCHITECTURE: return line_text(m->architecture, sizeof(m->architecture), s);
	case MANIFEST: return word_sum_or_none(&s, m->manifest);
	case CONFIG: return word_sum_or_none(&s, m->config);
	case LAYER: return line_layer(m, s);
	case META: return line_meta(m, s);
	case DATA: return line_data(m, s);
	case INODES: return line_number(&m->inodes, s);
	case ENTRIES: return line_number(&m->entries_left_out, s);
	case ATTRIBUTES: return line_number(&m->attributes_left_out, s);
	}
	return -EBADMSG;
}

/* *at is the key of the line before. Each comes, and in order; those of lists any number of times. */
static int line(struct made *m, char *l, int *at)
{
	char *eq = strchr(l, '=');
	int key;

	if (!eq)
		return -EBADMSG;
	*eq = 0;
	for (key = *at < 0 ? 0 : *at; key < (int)countof(keys); key++)
		if (strcmp(l, keys[key]) == 0)
			break;
		else if (key > *at && key != LAYER && key != DATA)
			return -EBADMSG; /* left out */
	if (key == (int)countof(keys) || (key == *at && key != LAYER && key != DATA))
		return -EBADMSG;
	*at = key;
	return line_value(m, (enum key)key, eq + 1);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* Each file of the disk is one of the layers', and comes once. */
static int check_data(const struct made *m)
{
	for (uint32_t i = 0; i < m->ndata; i++) {
		int found = 0;

		for (uint32_t k = 0; k < m->nlayers; k++)
			found |= strcmp(m->data[i].diff_id, m->layer[k].diff_id) == 0;
		for (uint32_t k = 0; k < i; k++)
			found &= strcmp(m->data[i].diff_id, m->data[k].diff_id) != 0;
		if (!found)
			return -EBADMSG;
	}
	return 0;
}

static int check_first(const char *text, struct err *e)
{
	static const size_t words = sizeof(FIRST_WORDS) - 1;

	if (strncmp(text, FIRST_WORDS, words) != 0)
		return err_set(e, EBADMSG, "it is no image of conker's");
	text += words;
	if (strncmp(text, VERSION "\n", sizeof(VERSION)) == 0)
		return 0;
	return err_set(e, EPROTONOSUPPORT,
		       "the image is of format %.*s, this release of conker reads format " VERSION
		       "; import or pull it again",
		       (int)min_(strcspn(text, "\n"), (size_t)20), text);
}

static int lines(struct made *m, char *text)
{
	int at = -1, r = 0;
	char *l;

	while (r == 0 && (l = strsep(&text, "\n")) && (*l || text))
		r = line(m, l, &at);
	return r < 0 || at != ATTRIBUTES ? -EBADMSG : check_data(m);
}

int made_parse(char *text, size_t len, struct made *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	text[len] = 0;
	int r = check_first(text, e);
	if (r < 0)
		return r;
	if (text_check_sum(text, len, ret->id) < 0 || lines(ret, strchr(text, '\n') + 1) < 0)
		return err_set(e, EBADMSG, "its manifest is damaged; import or pull it again");
	return 0;
}

/* ---- texts of ours --------------------------------------------------------------------------------------------- */

int text_check_sum(char *text, size_t len, char ret[SHA256_TEXT_BYTES])
{
	static const size_t last = sizeof(SUM_KEY) - 1 + SHA256_TEXT_BYTES; /* with its newline */
	struct sha256 s;

	if (len < last || text[len - 1] != '\n' || memchr(text, 0, len) ||
	    strncmp(text + len - last, SUM_KEY, sizeof(SUM_KEY) - 1) != 0)
		return -EBADMSG;
	sha256_init(&s);
	sha256_add(&s, text, len - last);
	sha256_end(&s, ret);
	if (strncmp(text + len - SHA256_TEXT_BYTES, ret, SHA256_TEXT_BYTES - 1) != 0)
		return -EBADMSG;
	text[len - last] = 0;
	return 0;
}

int text_unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		int high = 0, low = (unsigned char)*s;

		if (*s == '%') {
			high = num_digit(s[1], 16);
			low = high < 0 ? -1 : num_digit(s[2], 16);
			if (low < 0 || high + low == 0)
				return -EBADMSG;
			s += 2;
		}
		*to++ = (char)(high << 4 | low);
	}
	*to = 0;
	return 0;
}

ssize_t text_load(int dir, const char *name, size_t max, char **ret, struct err *e)
{
	struct stat st;
	auto_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EBADMSG, "'%s' is no file", name);
	if ((uint64_t)st.st_size > max)
		return err_set(e, EFBIG, "'%s' has more than %zu bytes", name, max);
	auto_free char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_set(e, ENOMEM, "no memory to read '%s'", name);
	ssize_t n = io_pread_all(fd, text, (size_t)st.st_size, 0);
	if (n < 0)
		return err_set(e, (int)-n, "read '%s': %s", name, strerror((int)-n));
	text[n] = 0;
	*ret = take_ptr(text);
	return n;
}

int made_load(int dir, const char *id, struct made *ret, struct err *e)
{
	auto_free char *text = NULL;
	ssize_t n = text_load(dir, "manifest", IMAGE_MANIFEST_MAX_BYTES, &text, e);

	if (n < 0 || !text)
		return (int)n;
	int r = made_parse(text, (size_t)n, ret, e);
	if (r < 0)
		return r;
	if (id && strcmp(id, ret->id) != 0)
		return err_set(e, EBADMSG,
			       "its manifest is another one's; import or pull it again");
	return 0;
}
