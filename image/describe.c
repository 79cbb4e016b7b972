/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - see describe.h. */
#include "image/describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/erofs.h"

struct text { /* being written */
	FILE *f;
	char *buf;
	size_t len;
};

static int text_begin(struct text *t, const char *first_line)
{
	*t = (struct text){0};
	t->f = open_memstream(&t->buf, &t->len);
	return t->f && fprintf(t->f, "%s\n", first_line) > 0 ? 0 : -1;
}

static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < ' ' || c == 0x7f || c == '%')
			(void)fprintf(f, "%%%02X", c);
		else
			(void)fputc(c, f);
	}
}

static void put_line(struct text *t, const char *key, const char *value)
{
	(void)fprintf(t->f, "%s=", key);
	put_escaped(t->f, value);
	(void)fputc('\n', t->f);
}

/* The text with its sum, or NULL. */
static char *text_end(struct text *t)
{
	char sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	if (t->f && fflush(t->f) == 0) {
		sha256_init(&s);
		sha256_add(&s, t->buf, t->len);
		sha256_end(&s, sum);
		(void)fprintf(t->f, "sum=%s\n", sum);
	}
	int bad = !t->f || ferror(t->f);
	if (t->f)
		bad |= fclose(t->f) != 0;
	if (!bad)
		return t->buf;
	free(t->buf);
	return NULL;
}

/* ---- what it is made of ---------------------------------------------------------------------------------- */

static int is_repeated(const struct image_parts *p, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(p->layers[k].diff_id, p->layers[i].diff_id) == 0)
			return 1;
	return 0;
}

/* Not the blob that it came as: one content is one image, however it was packed. */
static void put_layer(struct text *t, const struct layer_result *l)
{
	(void)fprintf(t->f, "layer=%s %" PRIu64 "\n", l->diff_id, l->stream_bytes);
}

static uint64_t xattrs_left_out(const struct image_parts *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->image->n; i++)
		n += p->layers[i].xattrs_left_out;
	return n;
}

char *describe_manifest(const struct image_parts *p)
{
	struct text t;

	if (text_begin(&t, "conker-image 1") < 0)
		return text_end(&t);
	put_line(&t, "os", p->want->os);
	put_line(&t, "architecture", p->want->arch);
	put_line(&t, "manifest", p->image->manifest);
	put_line(&t, "config", p->image->config_sum);
	for (size_t i = 0; i < p->image->n; i++)
		put_layer(&t, &p->layers[i]);
	(void)fprintf(t.f, "meta=%" PRIu64 " %s\n", p->meta->bytes, p->meta->sum);
	for (size_t i = 0; i < p->image->n; i++)
		if (!is_repeated(p, i))
			(void)fprintf(t.f, "data=%" PRIu64 " %s\n",
				      p->layers[i].blocks * EROFS_BLOCK_BYTES,
				      p->layers[i].diff_id);
	(void)fprintf(t.f,
		      "inodes=%" PRIu64 "\nentries_left_out=%" PRIu64
		      "\nattributes_left_out=%" PRIu64 "\n",
		      p->meta->inodes, p->entries_left_out, xattrs_left_out(p));
	return text_end(&t);
}

/* ---- what it says of itself ------------------------------------------------------------------------------ */

static void put_strings(struct text *t, const char *key, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_is_string(json_array_get(list, i)))
			put_line(t, key, json_string_value(json_array_get(list, i)));
}

static void put_keys(struct text *t, const char *key, json_t *object)
{
	for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
		put_line(t, key, json_object_iter_key(i));
}

static void put_labels(struct text *t, json_t *object)
{
	for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
		const char *value = json_string_value(json_object_iter_value(i));

		(void)fputs("label=", t->f);
		put_escaped(t->f, json_object_iter_key(i));
		(void)fputc('=', t->f);
		put_escaped(t->f, value ? value : "");
		(void)fputc('\n', t->f);
	}
}

static void put_word(struct text *t, const char *key, const json_t *object, const char *name)
{
	if (*json_text(object, name))
		put_line(t, key, json_text(object, name));
}

char *describe_config(const struct image *i, const struct image_want *want)
{
	const json_t *c = json_object_get(i->config, "config");
	struct text t;

	if (text_begin(&t, "conker-image-config 1") < 0)
		return text_end(&t);
	put_line(&t, "os", want->os);
	put_line(&t, "architecture", want->arch);
	put_word(&t, "created", i->config, "created");
	put_strings(&t, "entrypoint", json_object_get(c, "Entrypoint"));
	put_strings(&t, "cmd", json_object_get(c, "Cmd"));
	put_strings(&t, "env", json_object_get(c, "Env"));
	put_word(&t, "workdir", c, "WorkingDir");
	put_word(&t, "user", c, "User");
	put_word(&t, "stop_signal", c, "StopSignal");
	put_keys(&t, "port", json_object_get(c, "ExposedPorts"));
	put_labels(&t, json_object_get(c, "Labels"));
	put_keys(&t, "ignored_volume", json_object_get(c, "Volumes"));
	if (json_object_get(c, "Healthcheck"))
		put_line(&t, "ignored", "healthcheck");
	return text_end(&t);
}
