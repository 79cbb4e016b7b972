/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - what an index or a manifest wants.
 *
 * It is JSON of a stranger, which the library does not read: `conker-image --plan` does, in its jail, and says it in lines
 * (image/README.md). Were it taken over, it could name blobs that do not exist or are none of this image's; more is not in
 * a digest and a number.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "lib/images/store.h"
#include "util/num.h"

enum { LINES_MAX_BYTES = 64 << 10 };

/* "SHA256 BYTES" */
static int take_blob(const char *s, struct plan_blob *ret)
{
	const char *at = s + SHA256_TEXT_BYTES;

	if (!sha256_is_at(s) || s[SHA256_TEXT_BYTES - 1] != ' ' ||
	    num_parse(at, strlen(at), 10, INT64_MAX, &ret->bytes) < 0)
		return -EBADMSG;
	memcpy(ret->hex, s, SHA256_TEXT_BYTES - 1);
	return 0;
}

static int plan_add(struct plan *p, const char *s)
{
	struct plan_blob blob = {0};

	if (take_blob(s, &blob) < 0)
		return -EBADMSG;
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->blob[i].hex, blob.hex) == 0)
			return p->blob[i].bytes == blob.bytes ? 0 : -EBADMSG;
	if (p->n == PLAN_BLOBS_MAX || blob.bytes > INT64_MAX - p->total)
		return -EBADMSG;
	p->blob[p->n++] = blob;
	p->total += blob.bytes;
	return 0;
}

static int plan_next(struct plan *p, const char *s)
{
	struct plan_blob blob = {0};

	if (p->next[0] || take_blob(s, &blob) < 0)
		return -EBADMSG;
	memcpy(p->next, blob.hex, sizeof(p->next));
	return 0;
}

static int plan_line(struct plan *p, const char *s)
{
	static const char blob[] = "blob ", next[] = "manifest ";

	if (strncmp(s, blob, sizeof(blob) - 1) == 0)
		return plan_add(p, s + sizeof(blob) - 1);
	if (strncmp(s, next, sizeof(next) - 1) == 0)
		return plan_next(p, s + sizeof(next) - 1);
	return -EBADMSG;
}

int plan_parse(char *lines, struct plan *ret)
{
	int r = 0;

	ret->next[0] = 0;
	ret->n = 0;
	ret->total = 0;
	while (r == 0 && *lines) {
		char *end = strchr(lines, '\n');

		if (!end)
			return -EBADMSG; /* cut off */
		*end = 0;
		r = plan_line(ret, lines);
		lines = end + 1;
	}
	if (r == 0 && !ret->next[0] == !ret->n)
		r = -EBADMSG; /* one or the other */
	return r;
}

/* It is no image, in whatever way. */
static int plan_refused(int said, int status, struct err *e)
{
	char line[TEXT_BYTES];
	const char *why;

	spawn_complaint(said, line, sizeof(line));
	if (!*line)
		return err_set(e, EIO, "conker-image ended with status %d", status);
	int error = told_error(line, &why);
	return err_set(e, error == EINVAL ? EBADMSG : error,
		       "what the registry has is no image: %s", why);
}

int plan_ask(int fd, const char *platform, int (*tick)(void *arg, struct err *e), void *arg,
	     struct plan *ret, struct err *e)
{
	char path[PATH_MAX];
	auto_close int out = run_output(LINES_MAX_BYTES, e);
	int r = out < 0 ? out : place_image_program(path, sizeof(path), e);

	if (r < 0)
		return r;
	const char *const argv[] = {path, "--plan", "--platform", platform, NULL};
	struct image_run run = {.argv = argv, .in = fd, .out = out, .tick = tick, .arg = arg};
	auto_close int said = -1;
	r = run_watched(&run, &said, e);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "conker-image '%s' is not there", path);
	if (r != 0)
		return r < 0 ? r : plan_refused(said, r, e);
	auto_free char *lines = NULL;
	ssize_t n = run_output_take(out, &lines, e);
	if (n < 0)
		return (int)n;
	return plan_parse(lines, ret) < 0 ? err_set(e, EBADMSG, "conker-image: a plan that is none")
					  : 0;
}
