/* SPDX-License-Identifier: Apache-2.0 */
/* init_user.c - any text as a box's passwd and group, any words as a user: resolved within the structure's limits, or
 * refused. Root in the box writes these files. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest-init/sys/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct text text_of(const uint8_t *p, size_t len)
{
	char *copy = malloc(len ? len : 1); /* exactly as large, so that a byte too far is seen */

	if (len)
		memcpy(copy, p, len);
	return (struct text){copy, len};
}

/* The spec ends at the first newline, passwd at the first NUL behind it; the rest is group. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	struct user u = {0};

	if (!nl || memchr(data, 0, (size_t)(nl - data)))
		return 0;
	char *spec = strndup((const char *)data, (size_t)(nl - data));
	size_t left = size - (size_t)(nl + 1 - data);
	const uint8_t *nul = left ? memchr(nl + 1, 0, left) : NULL;
	size_t len = nul ? (size_t)(nul - (nl + 1)) : left;
	struct text passwd = text_of(nl + 1, len);
	struct text group = nul ? text_of(nul + 1, left - len - 1) : (struct text){NULL, 0};

	int r = user_resolve(spec, passwd, group, &u);
	assert(r == 0 || r == -EINVAL);
	if (r == 0) {
		assert(u.n_groups <= USER_GROUPS_MAX);
		assert(memchr(u.home, 0, sizeof(u.home)) && u.home[0]);
		assert(u.uid != UINT32_MAX && u.gid != UINT32_MAX);
		for (size_t i = 0; i < u.n_groups; i++)
			assert(u.groups[i] != UINT32_MAX);
	}
	free(spec);
	free((char *)passwd.p);
	free((char *)group.p);
	return 0;
}
