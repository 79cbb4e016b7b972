/* SPDX-License-Identifier: Apache-2.0 */
/* oci.c - see oci.h. */
#include "image/oci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/io.h"

enum { NESTED_MAX = 3 /* indices in indices */, PLATFORMS_BYTES = 200, PLAN_LINE_BYTES = 128 };

struct search { /* through indices */
	const struct blobs *blobs;
	const struct image_want *want;
	struct err *e;
	json_t *found; /* the descriptor */
	int refs;      /* manifests of other names */
	int platforms; /* of other platforms */
};

/* ---- the manifest that is wanted ------------------------------------------------------------------------- */

static int ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static int is_index(const json_t *d)
{
	const char *type = json_text(d, "mediaType");

	return ends_with(type, ".image.index.v1+json") || ends_with(type, ".manifest.list.v2+json");
}

/* Signatures and provenance stand beside images, as manifests of a platform that there is none of. */
static int is_note(const json_t *d)
{
	const json_t *p = json_object_get(d, "platform");

	return strcmp(json_text(p, "os"), "unknown") == 0 ||
	       *json_text(json_object_get(d, "annotations"), "vnd.docker.reference.type") ||
	       *json_text(d, "artifactType");
}

static int ref_fits(const json_t *d, const char *ref)
{
	const json_t *a = json_object_get(d, "annotations");
	const char *own = json_text(a, "org.opencontainers.image.ref.name"),
		   *full = json_text(a, "io.containerd.image.name");

	return strcmp(own, ref) == 0 || strcmp(full, ref) == 0;
}

/* What says nothing of a platform may be of any: its configuration tells. */
static int platform_fits(const json_t *d, const struct image_want *w)
{
	const json_t *p = json_object_get(d, "platform");

	return !p || (strcmp(json_text(p, "os"), w->os) == 0 &&
		      strcmp(json_text(p, "architecture"), w->arch) == 0 &&
		      (!*w->variant || strcmp(json_text(p, "variant"), w->variant) == 0));
}

static int search_index(struct search *s, const json_t *index, int named, int depth);

static int search_nested(struct search *s, const json_t *d, int named, int depth)
{
	auto_json json_t *index = NULL;
	char hex[SHA256_TEXT_BYTES];
	int r = json_blob(s->blobs, d, "an index", hex, &index, s->e);

	return r < 0 ? r : search_index(s, index, named, depth + 1);
}

static int search_one(struct search *s, json_t *d, int named, int depth)
{
	named |= !s->want->ref || ref_fits(d, s->want->ref);
	if (is_note(d))
		return 0;
	if (is_index(d))
		return depth < NESTED_MAX
			       ? search_nested(s, d, named, depth)
			       : err_set(s->e, ELOOP, "more than %d indices in each other",
					 NESTED_MAX);
	s->refs += !named;
	s->platforms += named && !platform_fits(d, s->want);
	if (!named || !platform_fits(d, s->want))
		return 0;
	if (s->found && strcmp(json_text(s->found, "digest"), json_text(d, "digest")) != 0)
		return err_set(s->e, ENOTUNIQ,
			       "several images, '%s' and '%s' among them: say which one",
			       json_text(json_object_get(s->found, "annotations"),
					 "org.opencontainers.image.ref.name"),
			       json_text(json_object_get(d, "annotations"),
					 "org.opencontainers.image.ref.name"));
	json_decref(s->found);
	s->found = json_incref(d);
	return 0;
}

static int search_index(struct search *s, const json_t *index, int named, int depth)
{
	const json_t *list = json_object_get(index, "manifests");
	int r = 0;

	if (!json_is_array(list))
		return err_set(s->e, EINVAL, "an index without manifests");
	for (size_t i = 0; i < json_array_size(list) && r == 0; i++)
		r = search_one(s, json_array_get(list, i), named, depth);
	return r;
}

static int not_found(const struct search *s)
{
	if (s->platforms)
		return err_set(s->e, ENOEXEC,
			       "the image is there for other platforms than %s/%s%s%s", s->want->os,
			       s->want->arch, *s->want->variant ? "/" : "", s->want->variant);
	if (s->refs)
		return err_set(s->e, ENOENT, "no image of the name '%s'", s->want->ref);
	return err_set(s->e, ENOENT, "no image in it");
}

static int find_manifest(struct search *s)
{
	auto_json json_t *index = NULL;
	struct span span;
	int r = blob_open_named(s->blobs, "index.json", &span);

	if (r < 0)
		return err_set(s->e, -r, "index.json: %s", strerror(-r));
	r = json_read(&span, NULL, "index.json", NULL, &index, s->e);
	blob_close(s->blobs, &span);
	if (r == 0)
		r = search_index(s, index, 0, 0);
	return r == 0 && !s->found ? not_found(s) : r;
}

/* ---- the image ------------------------------------------------------------------------------------------- */

static int is_layer_type(const char *type)
{
	/* ...layer.v1.tar, ...tar+gzip, ...tar+zstd, ...diff.tar, ...diff.tar.gzip */
	return strstr(type, ".tar") && (strstr(type, ".layer.") || strstr(type, ".rootfs."));
}

static int manifest_layer(struct image_layer *l, const json_t *d, struct err *e)
{
	const json_t *size = json_object_get(d, "size");

	if (!is_layer_type(json_text(d, "mediaType")))
		return err_set(e, ENOTSUP, "a layer of the kind '%s'", json_text(d, "mediaType"));
	l->bytes = json_is_integer(size) ? json_integer_value(size) : -1;
	if (l->bytes < 0)
		return err_set(e, EINVAL, "a layer without a size");
	return digest_parse(json_text(d, "digest"), l->blob, e);
}

static int manifest_layers(struct image *i, const json_t *manifest, struct err *e)
{
	const json_t *list = json_object_get(manifest, "layers");
	int r = 0;

	if (!json_is_array(list))
		return err_set(e, EINVAL, "the manifest has no list of layers");
	if (json_array_size(list) > LIMIT_LAYERS)
		return err_set(e, E2BIG, "more than %d layers", LIMIT_LAYERS);
	for (; i->n < json_array_size(list) && r == 0; i->n++)
		r = manifest_layer(&i->layers[i->n], json_array_get(list, i->n), e);
	return r;
}

int image_take_config(struct image *i, const struct image_want *want, struct err *e)
{
	const json_t *ids = json_object_get(json_object_get(i->config, "rootfs"), "diff_ids");
	const char *os = json_text(i->config, "os"), *arch = json_text(i->config, "architecture");
	int r = 0;

	if (strcmp(os, want->os) != 0 || strcmp(arch, want->arch) != 0)
		return err_set(e, ENOEXEC, "the image is for %s/%s, and %s/%s is wanted", os, arch,
			       want->os, want->arch);
	if (json_array_size(ids) != i->n)
		return err_set(e, EINVAL, "the manifest has %zu layers, and the configuration %zu",
			       i->n, json_array_size(ids));
	for (size_t k = 0; k < i->n && r == 0; k++) {
		const char *id = json_string_value(json_array_get(ids, k));

		r = digest_parse(id ? id : "", i->layers[k].diff_id, e);
	}
	return r;
}

static int take_manifest(const struct blobs *b, const json_t *descriptor, struct image *ret,
			 struct err *e)
{
	auto_json json_t *manifest = NULL;
	int r = json_blob(b, descriptor, "the manifest", ret->manifest, &manifest, e);

	if (r == 0)
		r = manifest_layers(ret, manifest, e);
	if (r == 0)
		r = json_blob(b, json_object_get(manifest, "config"), "the configuration",
			      ret->config_sum, &ret->config, e);
	return r;
}

int oci_open(const struct blobs *b, const struct image_want *want, struct image *ret, struct err *e)
{
	struct search s = {.blobs = b, .want = want, .e = e};
	int r = find_manifest(&s);

	*ret = (struct image){0};
	if (r == 0)
		r = take_manifest(b, s.found, ret, e);
	if (r == 0)
		r = image_take_config(ret, want, e);
	json_decref(s.found);
	return r;
}

/* ---- what is to be fetched ------------------------------------------------------------------------------- */

/* Not by dprintf(), which asks a terminal what it is: no call of the jail's. */
static int plan_line(int fd, const char *what, const json_t *d, struct err *e)
{
	const json_t *size = json_object_get(d, "size");
	char hex[SHA256_TEXT_BYTES], line[PLAN_LINE_BYTES];
	int r = digest_parse(json_text(d, "digest"), hex, e);

	if (r < 0)
		return r;
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return err_set(e, EINVAL, "sha256:%s: without a size", hex);
	int n = snprintf(line, sizeof(line), "%s %s %lld\n", what, hex,
			 (long long)json_integer_value(size));
	r = io_write_all(fd, line, (size_t)n);
	return r < 0 ? err_set(e, -r, "write the plan: %s", strerror(-r)) : 0;
}

/* The first one of the platform, or better one that is of no special variant if none is wanted. */
static const json_t *plan_choose(const json_t *list, const struct image_want *want)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *d = json_array_get(list, i), *p = json_object_get(d, "platform");
		int exact = strcmp(json_text(p, "variant"), want->variant) == 0;

		if (is_note(d) || !platform_fits(d, want))
			continue;
		if (exact)
			return d;
		found = found ? found : d;
	}
	return found;
}

static int plan_no_platform(const json_t *list, const struct image_want *want, struct err *e)
{
	char text[PLATFORMS_BYTES] = "";
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list) && n < sizeof(text); i++) {
		const json_t *d = json_array_get(list, i), *p = json_object_get(d, "platform");
		const char *variant = json_text(p, "variant");

		if (!is_note(d))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s/%s%s%s",
					      n ? ", " : "", json_text(p, "os"),
					      json_text(p, "architecture"), *variant ? "/" : "",
					      variant);
	}
	return err_set(e, ENOEXEC, "%s/%s%s%s is not among the image's platforms: %s%s", want->os,
		       want->arch, *want->variant ? "/" : "", want->variant, text,
		       n < sizeof(text) ? "" : "...");
}

static int plan_index(const json_t *list, const struct image_want *want, int fd, struct err *e)
{
	const json_t *d = plan_choose(list, want);

	return d ? plan_line(fd, "manifest", d, e) : plan_no_platform(list, want, e);
}

static int plan_manifest(const json_t *manifest, int fd, struct err *e)
{
	const json_t *layers = json_object_get(manifest, "layers");
	int r = plan_line(fd, "blob", json_object_get(manifest, "config"), e);

	if (json_array_size(layers) > LIMIT_LAYERS)
		return err_set(e, E2BIG, "more than %d layers", LIMIT_LAYERS);
	for (size_t i = 0; i < json_array_size(layers) && r == 0; i++) {
		const json_t *d = json_array_get(layers, i);

		if (!is_layer_type(json_text(d, "mediaType")))
			return err_set(e, ENOTSUP, "a layer of the kind '%s'",
				       json_text(d, "mediaType"));
		r = plan_line(fd, "blob", d, e);
	}
	return r;
}

int oci_plan(const json_t *document, const struct image_want *want, int fd, struct err *e)
{
	const json_t *list = json_object_get(document, "manifests");

	if (json_is_array(list))
		return plan_index(list, want, fd, e);
	if (json_is_array(json_object_get(document, "layers")))
		return plan_manifest(document, fd, e);
	if (json_is_array(json_object_get(document, "fsLayers")))
		return err_set(e, ENOTSUP,
			       "a manifest of Docker's first schema, of 2016 and before");
	return err_set(e, EINVAL, "neither an index nor a manifest");
}

void image_free(struct image *i)
{
	json_decref(i->config);
	i->config = NULL;
}
