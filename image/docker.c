/* SPDX-License-Identifier: Apache-2.0 */
/* docker.c - see docker.h. */
#include "image/docker.h"

#include <errno.h>
#include <string.h>

#include "image/blobs.h"
#include "util/cleanup.h"

static int is_image(const json_t *j)
{
	return json_is_array(json_object_get(j, "Layers")) && *json_text(j, "Config");
}

static int tag_fits(const json_t *j, const char *ref)
{
	const json_t *tags = json_object_get(j, "RepoTags");

	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));

		if (tag && strcmp(tag, ref) == 0)
			return 1;
	}
	return 0;
}

static int docker_choose(const json_t *list, const char *ref, const json_t **ret, struct err *e)
{
	size_t fit = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *j = json_array_get(list, i);

		if (!is_image(j))
			return -ENOENT;
		if (ref && !tag_fits(j, ref))
			continue;
		*ret = j;
		fit++;
	}
	if (json_array_size(list) == 0)
		return -ENOENT;
	if (fit == 0)
		return err_set(e, ENOENT, "no image of the name '%s'", ref);
	return fit == 1 ? 0 : err_set(e, ENOTUNIQ, "%zu images: say which one", fit);
}

/* The digest in a name: "HEX.json", "blobs/sha256/HEX". NULL: it has none. */
static const char *hex_in_name(const char *name, char buf[SHA256_TEXT_BYTES])
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

	if (!sha256_is_at(base))
		return NULL;
	memcpy(buf, base, SHA256_TEXT_BYTES - 1);
	buf[SHA256_TEXT_BYTES - 1] = 0;
	return buf;
}

static int docker_config(const struct archive *a, const char *name, struct image *ret,
			 struct err *e)
{
	const struct member *m = archive_find(a, name);
	char hex[SHA256_TEXT_BYTES];

	if (!m)
		return err_set(e, ENOENT, "'%s', the configuration, is not in the archive", name);
	struct span s = archive_span(a, m);
	return json_read(&s, hex_in_name(name, hex), "the configuration", ret->config_sum,
			 &ret->config, e);
}

static int docker_layers(const struct archive *a, const json_t *list, struct image *ret,
			 struct err *e)
{
	if (json_array_size(list) > LIMIT_LAYERS)
		return err_set(e, E2BIG, "more than %d layers", LIMIT_LAYERS);
	for (; ret->n < json_array_size(list); ret->n++) {
		const char *name = json_string_value(json_array_get(list, ret->n));
		const struct member *m = name ? archive_find(a, name) : NULL;

		if (!m)
			return err_set(e, ENOENT, "'%s', a layer, is not in the archive",
				       name ? name : "");
		ret->layers[ret->n].bytes = -1;
		ret->layers[ret->n].from = archive_span(a, m);
	}
	return 0;
}

int docker_open(const struct archive *a, const struct image_want *want, struct image *ret,
		struct err *e)
{
	const struct member *m = archive_find(a, "manifest.json");
	auto_json json_t *list = NULL;
	const json_t *chosen = NULL;

	*ret = (struct image){0};
	if (!m)
		return -ENOENT;
	struct span s = archive_span(a, m);
	if (json_read(&s, NULL, "manifest.json", NULL, &list, NULL) < 0)
		return -ENOENT;
	int r = docker_choose(list, want->ref, &chosen, e);
	if (r == 0)
		r = docker_config(a, json_text(chosen, "Config"), ret, e);
	if (r == 0)
		r = docker_layers(a, json_object_get(chosen, "Layers"), ret, e);
	return r < 0 ? r : image_take_config(ret, want, e);
}
