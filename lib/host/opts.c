/* SPDX-License-Identifier: Apache-2.0 */
/* opts.c - structures of callers that may be older or newer than we are, and the names they pass. */
#include "lib/host/api.h"

#include <errno.h>
#include <string.h>

#include "util/io.h"

int opts_in(void *ret, size_t ret_size, const void *caller, struct err *e)
{
	size_t size;

	if (!caller)
		return err_set(e, EINVAL, "no options given");
	memcpy(&size, caller, sizeof(size));
	if (size < sizeof(size))
		return err_set(e, EINVAL, "the options' size field is not set");
	if (size > ret_size && !io_is_zero((const uint8_t *)caller + ret_size, size - ret_size))
		return err_set(e, E2BIG,
			       "an option is set that this libconker does not know: update it");
	memset(ret, 0, ret_size);
	memcpy(ret, caller, min_(size, ret_size));
	return 0;
}

void opts_out(void *caller, const void *ours, size_t ours_size)
{
	size_t size;

	memcpy(&size, caller, sizeof(size));
	if (size <= sizeof(size))
		return;
	memcpy((uint8_t *)caller + sizeof(size), (const uint8_t *)ours + sizeof(size),
	       min_(size, ours_size) - sizeof(size));
}

static int is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int name_check(const char *what, const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (n == 0 || n >= NAME_BYTES || !is_alnum(name[0]))
		goto bad;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(name[i]) && !strchr("_.-", name[i]))
			goto bad;
	return 0;
bad:
	return err_set(e, EINVAL,
		       "%s name '%.80s': letters, digits, '_', '.' and '-', at most %d, the first "
		       "a letter or digit",
		       what, name, NAME_BYTES - 1);
}
