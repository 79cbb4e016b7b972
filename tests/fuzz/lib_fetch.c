/* SPDX-License-Identifier: Apache-2.0 */
/* lib_fetch - the first byte chooses. Any text as what skopeo said, some of which a registry wrote: an error, with a message of one
 * line that is fit for a terminal. Any text as the plan of a conker-image that may have been taken over: refused, or one manifest, or
 * some blobs, each once, whose sum fits. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/images/fetch.h"

enum { TEXT_MAX = 16 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_said(char *text)
{
	struct reference ref;
	struct err e = {0};
	int r = reference_parse("r.io/x:1", &ref, NULL);

	assert(r == 0);
	r = skopeo_meaning(text, &ref, 1, &e);
	assert(r < 0 && e.code == -r && strncmp(e.msg, "r.io: ", 6) == 0);
	assert(clean_is_fit(e.msg, strlen(e.msg)));
}

static void check_plan(char *text)
{
	static struct plan p;
	uint64_t sum = 0;

	if (plan_parse(text, &p) < 0)
		return;
	assert(p.next[0] ? p.n == 0 && sha256_is_at(p.next) : p.n > 0 && p.n <= PLAN_BLOBS_MAX);
	for (size_t i = 0; i < p.n; i++) {
		assert(sha256_is_at(p.blob[i].hex) &&
		       strlen(p.blob[i].hex) == SHA256_TEXT_BYTES - 1);
		for (size_t k = 0; k < i; k++)
			assert(strcmp(p.blob[i].hex, p.blob[k].hex) != 0);
		assert(p.blob[i].bytes <= INT64_MAX - sum);
		sum += p.blob[i].bytes;
	}
	assert(sum == p.total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char text[TEXT_MAX + 1];

	if (len < 1)
		return 0;
	len = min_(len - 1, (size_t)TEXT_MAX);
	memcpy(text, data + 1, len);
	text[len] = 0;
	if (data[0] % 2)
		check_plan(text);
	else
		check_said(text);
	return 0;
}
