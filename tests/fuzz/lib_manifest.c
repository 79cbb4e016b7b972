/* SPDX-License-Identifier: Apache-2.0 */
/* lib_manifest.c - any bytes as the manifest of a snapshot, with a checksum that fits, or else hardly any would pass.
 * What is taken is sound, and printed and read again it is the same. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/box/snapshot.h"

enum { ROOM = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t with_sum(char *text, size_t len)
{
	char sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, text, len);
	sha256_end(&s, sum);
	return len + (size_t)snprintf(text + len, ROOM - len, "sum=%s\n", sum);
}

static void check_layer(const struct layer *l)
{
	if (!l->path)
		return;
	assert(*l->path && strlen(l->path) < LAYER_PATH_BYTES);
	assert(*l->path == '/' || (!strchr(l->path, '/') && strcmp(l->path, "..") != 0));
	assert(strlen(l->sum) == 0 || strlen(l->sum) == SHA256_TEXT_BYTES - 1);
}

static void check(const struct manifest *m)
{
	assert(m->ndisks > 0 && m->ndisks <= countof(m->disk) && m->disk[0].ro);
	assert(name_check("box", m->name, NULL) == 0 && name_check("box", m->id, NULL) == 0);
	check_layer(&m->kernel);
	check_layer(&m->initrd);
	check_layer(&m->state);
	check_layer(&m->memory);
	for (uint64_t i = 0; i < m->ndisks; i++) {
		assert(m->disk[i].path);
		check_layer(&m->disk[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[ROOM], first[4 * ROOM], second[4 * ROOM], third[4 * ROOM];
	struct manifest m, again;

	if (size > ROOM - 128)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (manifest_parse(text, with_sum(text, size), &m, NULL) < 0)
		return 0;
	check(&m);
	ssize_t n = manifest_print(&m, first, sizeof(first));
	assert(n > 0);
	memcpy(second, first, (size_t)n);
	assert(manifest_parse(second, (size_t)n, &again, NULL) == 0);
	assert(manifest_print(&again, third, sizeof(third)) == n);
	assert(memcmp(first, third, (size_t)n) == 0);
	return 0;
}
