/* SPDX-License-Identifier: Apache-2.0 */
/* reference.c - the name of an image in a registry, as Docker writes it.
 *
 *	reference	[domain "/"] path [":" tag] ["@sha256:" 64 digits of base 16]
 *	domain		host [":" port]; host: labels of letters, digits and inner '-', with '.' between; or "[" IPv6 "]"
 *	path		components with '/' between; component: a-z and 0-9, with one '.', one or two '_', or any
 *			number of '-' between
 *	tag		at most 128 of letters, digits, '_', '.', '-'; the first one neither '.' nor '-'
 *
 * What is short is made whole as Docker does it (distribution/reference, ParseNormalizedNamed): what stands before the first '/' is
 * a domain if it has a '.' or ':' or is localhost, else the domain is docker.io; there one component alone is of library. With a
 * digest the tag says nothing, and is dropped. Other than Docker's: a first component in upper case is no domain but an
 * error, and of digests there is sha256 alone.
 *
 * A whole reference is whole already: parsing it again changes nothing. It goes into a command line and, encoded, into the
 * name of a file: no character of it is special there but '/'.
 */
#include "lib/images/images.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/sha256.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { TAG_MAX = 128 };

static const char digest_kind[] = "sha256:";

/* ---- the parts ----------------------------------------------------------------------------------------- */

/* Whether s is nothing but characters of set, at least one. */
static int is_all_of(const char *s, const char *set)
{
	return *s && s[strspn(s, set)] == 0;
}

/* A label at the front of s, its length; or 0. */
static size_t label_length(const char *s)
{
	size_t n = strspn(s, LOWER UPPER DIGITS "-");

	return n > 0 && s[0] != '-' && s[n - 1] != '-' ? n : 0;
}

/* The name of a host at the front of s, its length; or 0. */
static size_t host_length(const char *s)
{
	size_t n, all = 0;

	if (*s == '[') {
		n = strspn(s + 1, DIGITS "abcdefABCDEF:");
		return n > 0 && s[n + 1] == ']' ? n + 2 : 0;
	}
	while ((n = label_length(s + all)) > 0) {
		all += n;
		if (s[all] != '.')
			return all;
		all++;
	}
	return 0;
}

static int is_domain(const char *s)
{
	size_t n = host_length(s);

	return n > 0 && (!s[n] || (s[n] == ':' && is_all_of(s + n + 1, DIGITS)));
}

/* A separator at the front of s, its length; or 0. */
static size_t separator_length(const char *s)
{
	if (*s == '.')
		return 1;
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

static int is_path(const char *s)
{
	for (;;) {
		size_t n = strspn(s, LOWER DIGITS);

		if (n == 0)
			return 0;
		s += n;
		if (!*s)
			return 1;
		n = *s == '/' ? 1 : separator_length(s);
		if (n == 0)
			return 0;
		s += n;
	}
}

static int is_tag(const char *s)
{
	return strlen(s) <= TAG_MAX && *s != '.' && *s != '-' &&
	       is_all_of(s, LOWER UPPER DIGITS "_.-");
}

static int is_digest(const char *s)
{
	size_t n = sizeof(digest_kind) - 1;

	return strncmp(s, digest_kind, n) == 0 && strlen(s + n) == SHA256_TEXT_BYTES - 1 &&
	       sha256_is_at(s + n);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

struct reference_parts { /* NULL: there is none */
	const char *domain, *path, *tag, *digest;
};

/* Cuts s at its delimiters. */
static void parts_cut(char *s, struct reference_parts *ret)
{
	char *at = strchr(s, '@');

	if (at)
		*at++ = 0;
	char *last = strrchr(s, '/');
	char *colon = strchr(last ? last : s, ':');
	if (colon)
		*colon++ = 0;
	*ret = (struct reference_parts){.path = s, .tag = colon, .digest = at};

	char *slash = strchr(s, '/');
	if (!slash)
		return;
	*slash = 0;
	if (strpbrk(s, ".:") || strcmp(s, "localhost") == 0) {
		ret->domain = s;
		ret->path = slash + 1;
	} else {
		*slash = '/';
	}
}

static int parts_check(const struct reference_parts *p, struct err *e)
{
	if (p->domain && !is_domain(p->domain))
		return err_set(e, EINVAL, "'%s' is not a registry's name", p->domain);
	if (!p->domain && is_all_of(p->path, DIGITS "abcdef") &&
	    strlen(p->path) == SHA256_TEXT_BYTES - 1)
		return err_set(e, EINVAL, "a digest alone does not say of which repository");
	if (strpbrk(p->path, UPPER))
		return err_set(e, EINVAL, "'%s' has upper case letters, which no repository has",
			       p->path);
	if (!is_path(p->path))
		return err_set(e, EINVAL, "'%s' is not a repository's name", p->path);
	if (p->tag && !is_tag(p->tag))
		return err_set(e, EINVAL, "'%s' is not a tag", p->tag);
	if (p->digest && !is_digest(p->digest))
		return err_set(e, EINVAL, "'%s' is not 'sha256:' and 64 digits of 0-9 and a-f",
			       p->digest);
	return 0;
}

static int parts_join(const struct reference_parts *p, struct reference *ret, struct err *e)
{
	const char *domain = p->domain ? p->domain : "docker.io";

	if (strcmp(domain, "index.docker.io") == 0) /* its name of old */
		domain = "docker.io";
	int official = strcmp(domain, "docker.io") == 0 && !strchr(p->path, '/');
	int n = snprintf(ret->full, sizeof(ret->full), "%s/%s%s%s%s", domain,
			 official ? "library/" : "", p->path, p->digest ? "@" : ":",
			 p->digest ? p->digest
			 : p->tag  ? p->tag
				   : "latest");
	if (n < 0 || (size_t)n >= sizeof(ret->full))
		return err_set(e, EINVAL, "it has more than %d bytes as a whole", IMAGE_BYTES - 1);
	ret->domain_len = (uint16_t)strlen(domain);
	ret->repository_len = (uint16_t)(ret->domain_len + 1 + (official ? strlen("library/") : 0) +
					 strlen(p->path));
	ret->has_digest = p->digest != NULL;
	return 0;
}

int reference_parse(const char *text, struct reference *ret, struct err *e)
{
	char copy[2 * IMAGE_BYTES]; /* a tag that is dropped may make it the longer one */
	struct reference_parts p;
	int r;

	*ret = (struct reference){0};
	if (strlen(text) >= sizeof(copy)) {
		r = err_set(e, EINVAL, "it has more than %zu bytes", sizeof(copy) - 1);
	} else {
		memcpy(copy, text, strlen(text) + 1);
		parts_cut(copy, &p);
		r = parts_check(&p, e);
		if (r == 0)
			r = parts_join(&p, ret, e);
	}
	if (r == 0)
		return 0;
	*ret = (struct reference){0};
	return err_wrap(e, r, "'%.80s' is no image's name", text);
}
