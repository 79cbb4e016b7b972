/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - from what a user says to an image.
 *
 *	names/docker.io%2Flibrary%2Fpython:3.12-slim -> ../made/ID
 *
 * A link is read, never followed: one that does not have exactly this form is none, wherever it leads.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/num.h"

#define BUILT_IN_IMAGE "base"
#define TARGET_PREFIX  "../made/"

static int is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '%' && c != '/';
}

int link_name(const char *name, char ret[LINK_NAME_BYTES])
{
	size_t len = 0;

	if (!*name || strlen(name) >= IMAGE_BYTES)
		return -EINVAL;
	for (const char *s = name; *s; s++) {
		/* A dot in front is of what is not a name (yet), and of the directory itself. */
		int plain = is_plain((unsigned char)*s) && !(s == name && *s == '.');

		if (len + (plain ? 1 : 3) >= LINK_NAME_BYTES)
			return -ENAMETOOLONG;
		if (plain)
			ret[len++] = *s;
		else
			len += (size_t)snprintf(ret + len, 4, "%%%02X", (unsigned char)*s);
	}
	ret[len] = 0;
	return 0;
}

int link_read_name(const char *file, char ret[IMAGE_BYTES])
{
	char text[LINK_NAME_BYTES], again[LINK_NAME_BYTES];

	if (strlen(file) >= sizeof(text))
		return -EINVAL;
	memcpy(text, file, strlen(file) + 1);
	if (text_unescape(text) < 0 || strlen(text) >= IMAGE_BYTES)
		return -EINVAL;
	memcpy(ret, text, strlen(text) + 1);
	/* Only one file name is a name's. */
	return link_name(ret, again) < 0 || strcmp(again, file) != 0 ? -EINVAL : 0;
}

int link_read(int at, const char *path, char ret_id[IMAGE_ID_BYTES])
{
	static const size_t prefix = sizeof(TARGET_PREFIX) - 1;
	char target[sizeof(TARGET_PREFIX) + IMAGE_ID_BYTES];
	ssize_t n = readlinkat(at, path, target, sizeof(target) - 1);

	if (n < 0)
		return errno == EINVAL || errno == ENOTDIR || errno == ELOOP ||
				       errno == ENAMETOOLONG
			       ? -ENOENT
			       : -errno;
	target[n] = 0;
	if (strncmp(target, TARGET_PREFIX, prefix) != 0 || !sha256_is_at(target + prefix) ||
	    (size_t)n != prefix + IMAGE_ID_BYTES - 1)
		return -ENOENT;
	memcpy(ret_id, target + prefix, IMAGE_ID_BYTES);
	return 0;
}

int link_path(const char *name, char ret[LINK_PATH_BYTES])
{
	(void)snprintf(ret, LINK_PATH_BYTES, "names/");
	return link_name(name, ret + strlen(ret));
}

int link_target(int store, const char *name, char ret_id[IMAGE_ID_BYTES])
{
	char path[LINK_PATH_BYTES];

	return link_path(name, path) < 0 ? -ENOENT : link_read(store, path, ret_id);
}

void link_text(const char *id, char ret[LINK_TEXT_BYTES])
{
	(void)snprintf(ret, LINK_TEXT_BYTES, TARGET_PREFIX "%s", id);
}

int former_file(const char *name, char ret[FORMER_BYTES])
{
	if (name_check("image", name, NULL) < 0)
		return -EINVAL;
	(void)snprintf(ret, FORMER_BYTES, "%s" FORMER_SUFFIX, name);
	return 0;
}

static int find_local(int store, const char *name, char ret_id[IMAGE_ID_BYTES])
{
	char file[FORMER_BYTES];
	int r = link_target(store, name, ret_id);

	if (r != -ENOENT || former_file(name, file) < 0)
		return r;
	ret_id[0] = 0;
	if (strcmp(name, BUILT_IN_IMAGE) == 0 || faccessat(store, file, F_OK, 0) == 0)
		return 0;
	return errno == ENOENT ? -ENOENT : -errno;
}

static int find_failed(const char *said, int r, struct err *e)
{
	return err_set(e, -r, "look for image '%s': %s", said, strerror(-r));
}

int image_find(int store, const char *said, char ret_name[IMAGE_BYTES], char ret_id[IMAGE_ID_BYTES],
	       struct err *e)
{
	struct reference ref;
	int is_local = name_check("image", said, NULL) == 0;
	int r = -ENOENT;

	ret_name[0] = ret_id[0] = 0;
	if (is_local)
		r = find_local(store, said, ret_id);
	if (r == 0)
		(void)snprintf(ret_name, IMAGE_BYTES, "%s", said);
	if (r != -ENOENT)
		return r < 0 ? find_failed(said, r, e) : 0;
	/* A local name need not be a reference: "My_Image". */
	r = reference_parse(said, &ref, is_local ? NULL : e);
	if (r < 0)
		return is_local ? err_set(e, ENOENT,
					  "no image named '%s'; `conker image ls` lists them, "
					  "`conker image import` makes one",
					  said)
				: r;
	r = link_target(store, ref.full, ret_id);
	memcpy(ret_name, ref.full, IMAGE_BYTES);
	if (r == -ENOENT)
		return err_set(e, ENOENT,
			       "no image '%s' is here; `conker image ls` lists them, "
			       "`conker image pull %s` gets it",
			       said, ref.full);
	return r < 0 ? find_failed(said, r, e) : 0;
}

int former_read_name(const char *file, char ret[NAME_BYTES])
{
	size_t n = strlen(file), suffix = sizeof(FORMER_SUFFIX) - 1;

	if (n <= suffix || n - suffix >= NAME_BYTES ||
	    strcmp(file + n - suffix, FORMER_SUFFIX) != 0)
		return -EINVAL;
	memcpy(ret, file, n - suffix);
	ret[n - suffix] = 0;
	return name_check("image", ret, NULL);
}
