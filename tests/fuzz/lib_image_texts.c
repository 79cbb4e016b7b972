/* SPDX-License-Identifier: Apache-2.0 */
/* lib_image_texts.c - any bytes as what is written down of an image, by the first of them: its manifest and its configuration, with
 * a checksum that fits, or else hardly any would pass; conker-image's progress, in two pieces; the name of a link. What is
 * taken is sound. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/images/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As text in memory of just that size, so that a byte too far is seen. */
static char *text_with_sum(const uint8_t *data, size_t size, size_t *ret_len)
{
	static const size_t sum_len = sizeof("sum=\n") - 1 + SHA256_TEXT_BYTES - 1;
	char *text = malloc(size + sum_len + 1), sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	assert(text);
	memcpy(text, data, size);
	sha256_init(&s);
	sha256_add(&s, data, size);
	sha256_end(&s, sum);
	*ret_len = size + (size_t)snprintf(text + size, sum_len + 1, "sum=%s\n", sum);
	return text;
}

static void manifest(const uint8_t *data, size_t size)
{
	static struct made m;
	size_t len;
	auto_free char *text = text_with_sum(data, size, &len);

	if (made_parse(text, len, &m, NULL) < 0)
		return;
	assert(m.nlayers <= IMAGE_LAYERS_MAX && m.ndata <= m.nlayers);
	assert(strlen(m.id) == IMAGE_ID_BYTES - 1 && m.meta_bytes > 0 && m.meta_bytes % 4096 == 0);
	for (uint32_t i = 0; i < m.ndata; i++) {
		assert(sha256_is_at(m.data[i].diff_id) && m.data[i].bytes % 4096 == 0);
		for (uint32_t k = 0; k < i; k++)
			assert(strcmp(m.data[i].diff_id, m.data[k].diff_id) != 0);
	}
}

static size_t strings_len(char *const *list)
{
	size_t len = 0;

	for (; *list; list++)
		len += strlen(*list) + 1;
	return len;
}

static void config(const uint8_t *data, size_t size)
{
	struct image_config c;
	size_t len;
	char *text = text_with_sum(data, size, &len);

	if (image_config_parse(text, len, &c, NULL) == 0) {
		assert(strings_len(c.entrypoint) + strings_len(c.cmd) + strings_len(c.env) +
			       strings_len(c.ports) + strings_len(c.labels) +
			       strings_len(c.ignored) <=
		       len);
		assert(c.stop_signal >= 0 && c.stop_signal <= 64);
		assert(!c.workdir || strlen(c.workdir) < len);
	}
	image_config_free(&c);
}

static void progress(const uint8_t *data, size_t size)
{
	conker_image_progress whole = {0}, pieces = {0};
	struct told a = {.len = 0}, b = {.len = 0};
	size_t half = size / 2;
	int r = told_feed(&a, (const char *)data, size, &whole);
	int s = told_feed(&b, (const char *)data, half, &pieces);

	if (s == 0)
		s = told_feed(&b, (const char *)data + half, size - half, &pieces);
	assert(r == s && whole.layer == pieces.layer && whole.done_bytes == pieces.done_bytes);
	assert(r < 0 || (whole.layer <= whole.layers && whole.layers <= IMAGE_LAYERS_MAX));
}

static void name(const uint8_t *data, size_t size)
{
	char text[400], name_of[IMAGE_BYTES], file[LINK_NAME_BYTES];

	size = min_(size, sizeof(text) - 1);
	memcpy(text, data, size);
	text[size] = 0;
	if (link_read_name(text, name_of) == 0)
		assert(link_name(name_of, file) == 0 && strcmp(file, text) == 0);
	if (link_name(text, file) == 0) {
		assert(!strchr(file, '/') && *file && *file != '.');
		assert(link_read_name(file, name_of) == 0 && strcmp(name_of, text) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const of[])(const uint8_t *, size_t) = {manifest, config, progress, name};

	if (size > 0)
		of[*data % countof(of)](data + 1, size - 1);
	return 0;
}
