/* SPDX-License-Identifier: Apache-2.0 */
/* image_json - any bytes as the index, the manifest or the configuration of an OCI layout, or as the manifest.json of a
 * docker archive, whose first byte says which; what leads there has right digests. Refused with a message, or an image
 * of sound digests that can be described. The same bytes alone, as what a registry has: refused with a message, or planned. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/archive.h"
#include "image/blobs.h"
#include "image/describe.h"
#include "image/docker.h"
#include "image/oci.h"
#include "tests/lib/image_fixture.h"
#include "util/cleanup.h"

enum { TEXT_BYTES = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
	"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":"
	"[\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"]}}";

static void file_put(struct bytes *b, const char *name, const void *p, size_t len)
{
	tar_put(b, &(struct tar_item){.type = '0', .name = name, .data = p, .len = len});
}

/* To `ret` a descriptor of it. */
static void blob_put(struct bytes *b, const void *p, size_t len, char ret[TEXT_BYTES])
{
	char hex[SHA256_TEXT_BYTES], name[128];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, p, len);
	sha256_end(&s, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	file_put(b, name, p, len);
	(void)snprintf(ret, TEXT_BYTES,
		       "{\"mediaType\":\"x.layer.v1.tar\",\"size\":%zu,\"digest\":\"sha256:%s\"}",
		       len, hex);
}

static void manifest_put(struct bytes *b, const void *p, size_t len)
{
	char d[TEXT_BYTES], text[2 * TEXT_BYTES];

	blob_put(b, p, len, d);
	int n = snprintf(text, sizeof(text), "{\"manifests\":[%s]}", d);
	file_put(b, "index.json", text, (size_t)n);
}

static void config_put(struct bytes *b, const void *p, size_t len)
{
	char d[TEXT_BYTES], layer[TEXT_BYTES], text[3 * TEXT_BYTES];

	blob_put(b, p, len, d);
	blob_put(b, "", 0, layer);
	int n = snprintf(text, sizeof(text), "{\"config\":%s,\"layers\":[%s]}", d, layer);
	manifest_put(b, text, (size_t)n);
}

static void make_archive(struct bytes *b, unsigned kind, const void *p, size_t len)
{
	file_put(b, "c.json", config, sizeof(config) - 1);
	file_put(b, "l.tar", "", 0);
	switch (kind % 4) {
	case 0: file_put(b, "index.json", p, len); break;
	case 1: manifest_put(b, p, len); break;
	case 2: config_put(b, p, len); break;
	default: file_put(b, "manifest.json", p, len); break;
	}
	tar_end(b);
}

static void check_hex(const char *s)
{
	assert(!*s || (strlen(s) == SHA256_TEXT_BYTES - 1 &&
		       strspn(s, "0123456789abcdef") == SHA256_TEXT_BYTES - 1));
}

/* A line has one '=' at least, and nothing that commands a terminal. */
static void check_text(char *text)
{
	assert(text);
	size_t len = strlen(text);
	assert(len > 5 && text[len - 1] == '\n');
	for (size_t i = 0; i < len; i++)
		assert(text[i] == '\n' || (unsigned char)text[i] >= ' ');
	free(text);
}

static void check(struct image *i, const struct image_want *want)
{
	static struct layer_result layers[LIMIT_LAYERS];
	struct meta_result meta = {0};
	struct image_parts parts = {.image = i, .want = want, .layers = layers, .meta = &meta};

	assert(i->n <= LIMIT_LAYERS);
	for (size_t k = 0; k < i->n; k++) {
		check_hex(i->layers[k].blob);
		check_hex(i->layers[k].diff_id);
	}
	check_text(describe_config(i, want));
	check_text(describe_manifest(&parts));
}

static void check_plan(const char *p, size_t len, const struct image_want *want)
{
	static int nowhere = -1;
	struct err e = {0};
	auto_json json_t *j = json_loadb(p, len, JSON_REJECT_DUPLICATES, NULL);

	if (nowhere < 0)
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!j)
		return;
	int r = oci_plan(j, want, nowhere, &e);
	assert(r == 0 || (e.code == -r && e.msg[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image image;
	struct image_want want = {"linux", "amd64", "", NULL};
	struct bytes b = {0};
	struct archive a;
	struct err e = {0};

	if (size < 1)
		return 0;
	check_plan((const char *)data + 1, size - 1, &want);
	make_archive(&b, data[0], data + 1, size - 1);
	int fd = bytes_file(&b);
	int r = archive_scan(&a, fd, &e);
	assert(r == 0);
	struct blobs blobs = {.archive = &a};
	r = data[0] % 4 < 3 ? oci_open(&blobs, &want, &image, &e)
			    : docker_open(&a, &want, &image, &e);
	assert(r == 0 || r == -ENOENT || e.code == -r);
	if (r == 0)
		check(&image, &want);
	image_free(&image);
	archive_free(&a);
	(void)close(fd);
	bytes_free(&b);
	return 0;
}
