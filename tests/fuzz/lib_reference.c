/* SPDX-License-Identifier: Apache-2.0 */
/* lib_reference - any text as the name of an image: refused with a message, or whole, of harmless characters, and what it
 * says of its parts is so. What is whole stays as it is. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/images/images.h"

enum { TEXT_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      "._-/:@[]";

static void check(const struct reference *r)
{
	struct reference again;
	size_t len = strlen(r->full);

	assert(len < IMAGE_BYTES && strspn(r->full, allowed) == len);
	assert(!strchr("-./:", r->full[0]) && !strstr(r->full, "/."));
	assert(r->domain_len > 0 && r->full[r->domain_len] == '/');
	assert(r->repository_len > r->domain_len && r->repository_len < len);
	assert(r->full[r->repository_len] == (r->has_digest ? '@' : ':'));
	assert(!strchr(r->full + r->repository_len, '/'));
	assert(reference_parse(r->full, &again, NULL) == 0);
	assert(memcmp(&again, r, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[TEXT_MAX + 1];
	struct reference ref;
	struct err e = {0};

	len = min_(len, (size_t)TEXT_MAX);
	memcpy(text, data, len);
	text[len] = 0;
	int r = reference_parse(text, &ref, &e);
	assert(r == 0 || (r == -EINVAL && e.code == EINVAL && e.msg[0] && !ref.full[0]));
	if (r == 0)
		check(&ref);
	return 0;
}
