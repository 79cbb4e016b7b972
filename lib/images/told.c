/* SPDX-License-Identifier: Apache-2.0 */
/* told.c - what conker-image tells: lines of progress, and its complaint. Pure.
 *
 *	layer 2 3 BYTES OF	layer 2 of 3: bytes of it read, of how many (0: not known)
 *	have 1 3		layer 1 of 3 was there already
 *	spool BYTES OF		an archive that cannot be looked at twice is being copied
 *	unjailed LAYER REASON	of its jail: this host lacks that
 *
 * The program is ours, but a stranger's archive may have taken it over. So its lines are bounded and anything else than these ends
 * it; numbers are for people, and nothing is sized by them.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <string.h>

#include "util/num.h"

/* " N" at *s. */
static int take_number(const char **s, uint64_t max, uint64_t *ret)
{
	if (**s != ' ')
		return -EPROTO;
	++*s;
	return num_take(s, NULL, 10, max, ret) < 0 ? -EPROTO : 0;
}

/* " N OF" layers. */
static int take_layer(const char **s, conker_image_progress *p)
{
	uint64_t n, of;

	if (take_number(s, IMAGE_LAYERS_MAX, &n) < 0 || take_number(s, IMAGE_LAYERS_MAX, &of) < 0 ||
	    n == 0 || n > of)
		return -EPROTO;
	p->layer = (uint32_t)n;
	p->layers = (uint32_t)of;
	return 0;
}

static int take_bytes(const char **s, conker_image_progress *p)
{
	return take_number(s, UINT64_MAX, &p->done_bytes) < 0 ||
			       take_number(s, UINT64_MAX, &p->total_bytes) < 0
		       ? -EPROTO
		       : 0;
}

static int starts(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) != 0)
		return 0;
	*s += n;
	return 1;
}

static int told_line(const char *s, conker_image_progress *p)
{
	int r = -EPROTO;

	if (starts(&s, "unjailed "))
		return 0;
	if (starts(&s, "layer")) {
		r = take_layer(&s, p);
		if (r == 0)
			r = take_bytes(&s, p);
	} else if (starts(&s, "have")) {
		r = take_layer(&s, p);
		p->done_bytes = p->total_bytes = 0;
	} else if (starts(&s, "spool")) {
		r = take_bytes(&s, p);
	}
	p->step = CONKER_IMAGE_UNPACK;
	return r == 0 && *s ? -EPROTO : r;
}

int told_feed(struct told *t, const char *buf, size_t len, conker_image_progress *ret)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (buf[i] != '\n' && t->len < sizeof(t->line) - 1 && buf[i] != 0) {
			t->line[t->len++] = buf[i];
			continue;
		}
		if (buf[i] != '\n')
			return -EPROTO;
		t->line[t->len] = 0;
		t->len = 0;
		r = told_line(t->line, ret);
	}
	return r;
}

int told_error(const char *line, const char **ret_why)
{
	static const struct {
		const char *word;
		int error;
	} words[] = {
#define WORD(e) {#e " ", e}
		WORD(E2BIG),  WORD(EACCES), WORD(EBADMSG),      WORD(EDQUOT),     WORD(EEXIST),
		WORD(EFBIG),  WORD(EINVAL), WORD(EIO),          WORD(EISDIR),     WORD(ELOOP),
		WORD(EMFILE), WORD(ENFILE), WORD(ENOENT),       WORD(ENOEXEC),    WORD(ENOMEM),
		WORD(ENOSPC), WORD(ENOSYS), WORD(ENOTDIR),      WORD(ENOTSUP),    WORD(EPERM),
		WORD(EPROTO), WORD(EROFS),  WORD(ENAMETOOLONG), WORD(EOPNOTSUPP),
#undef WORD
	};

	for (size_t i = 0; i < countof(words); i++) {
		*ret_why = line;
		if (starts(ret_why, words[i].word))
			return words[i].error;
	}
	*ret_why = line;
	return EIO;
}
