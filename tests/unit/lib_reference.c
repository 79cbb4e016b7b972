/* SPDX-License-Identifier: Apache-2.0 */
/* lib_reference.c - names of images: what they are as a whole, and what is none. */
#include "lib/images/images.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SUM "sha256:" HEX
#define TEN "abcdefghij"
#define T64 TEN TEN TEN TEN TEN TEN "abcd"

static struct reference ref;
static struct err err;

static void is_whole(const char *text, const char *repository, size_t domain_len, const char *rest)
{
	struct reference again;
	char full[IMAGE_BYTES];

	(void)snprintf(full, sizeof(full), "%s%s", repository, rest);
	cr_assert_eq(reference_parse(text, &ref, &err), 0, "%s: %s", text, err.msg);
	cr_expect_str_eq(ref.full, full);
	cr_expect_eq(ref.repository_len, strlen(repository), "%s", text);
	cr_expect_eq(ref.domain_len, domain_len, "%s", text);
	cr_expect_eq(ref.has_digest, *rest == '@', "%s", text);
	cr_expect_eq(reference_parse(ref.full, &again, &err), 0, "%s: %s", ref.full, err.msg);
	cr_expect_eq(memcmp(&again, &ref, sizeof(ref)), 0, "%s", ref.full);
}

static void is_none(const char *text, const char *says)
{
	err = (struct err){0};
	cr_expect_eq(reference_parse(text, &ref, &err), -EINVAL, "%s is %s", text, ref.full);
	cr_expect(strstr(err.msg, says), "%s: %s", text, err.msg);
	cr_expect_str_empty(ref.full);
}

Test(lib_reference, what_is_short_is_of_docker_io)
{
	is_whole("python", "docker.io/library/python", 9, ":latest");
	is_whole("python:3.12-slim", "docker.io/library/python", 9, ":3.12-slim");
	is_whole("a/b", "docker.io/a/b", 9, ":latest");
	is_whole("a/b/c:1", "docker.io/a/b/c", 9, ":1");
	is_whole("docker.io/python", "docker.io/library/python", 9, ":latest");
	is_whole("docker.io/a/b", "docker.io/a/b", 9, ":latest");
	is_whole("docker.io/library/python", "docker.io/library/python", 9, ":latest");
	is_whole("index.docker.io/python", "docker.io/library/python", 9, ":latest");
	is_whole("index.docker.io/a/b:x", "docker.io/a/b", 9, ":x");
	/* Not what one might think, and Docker's. */
	is_whole("localhost", "docker.io/library/localhost", 9, ":latest");
	is_whole("localhost:5000", "docker.io/library/localhost", 9, ":5000");
	is_whole("docker.io", "docker.io/library/docker.io", 9, ":latest");
	is_whole("library/python", "docker.io/library/python", 9, ":latest");
}

Test(lib_reference, what_has_a_dot_or_a_colon_or_is_localhost_is_a_registry)
{
	is_whole("ghcr.io/a/b", "ghcr.io/a/b", 7, ":latest");
	is_whole("quay.io/a:v1", "quay.io/a", 7, ":v1");
	is_whole("localhost/x", "localhost/x", 9, ":latest");
	is_whole("localhost:5000/x", "localhost:5000/x", 14, ":latest");
	is_whole("localhost:5000/x:y", "localhost:5000/x", 14, ":y");
	is_whole("registry:80/library/x", "registry:80/library/x", 11, ":latest");
	is_whole("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b", 14, ":c");
	is_whole("[::1]/x", "[::1]/x", 5, ":latest");
	is_whole("[2001:DB8::7]:5000/x:y", "[2001:DB8::7]:5000/x", 18, ":y");
	is_whole("Example.COM/x", "Example.COM/x", 11, ":latest");
	is_whole("a-b.c--d.e/x", "a-b.c--d.e/x", 10, ":latest");
	is_whole("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage", 11, ":xn--n3h.com");
	is_whole("docker.io:443/x", "docker.io:443/x", 13, ":latest");
}

Test(lib_reference, separators_within_a_path)
{
	is_whole("a.b_c__d-e---f", "docker.io/library/a.b_c__d-e---f", 9, ":latest");
	is_whole("foo_bar.com:8080", "docker.io/library/foo_bar.com", 9, ":8080");
	is_whole("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com", 9, ":8080");
	is_whole("g.io/0/1__2/3", "g.io/0/1__2/3", 4, ":latest");
	is_none("a..b", "not a repository's name");
	is_none("a___b", "not a repository's name");
	is_none("a._b", "not a repository's name");
	is_none("a-_b", "not a repository's name");
	is_none("_a", "not a repository's name");
	is_none("-a/b", "not a repository's name");
	is_none("a-", "not a repository's name");
	is_none("a/.b", "not a repository's name");
	is_none("a//b", "not a repository's name");
	is_none("a/b/", "not a repository's name");
	is_none("/a", "not a repository's name");
	is_none("g.io/", "not a repository's name");
	is_none("g.io//a", "not a repository's name");
	is_none("", "not a repository's name");
	is_none(":tag", "not a repository's name");
	is_none("@" SUM, "not a repository's name");
	is_none("a b", "not a repository's name");
	is_none("a\nb", "not a repository's name");
	is_none("\xc3\xa4", "not a repository's name");
	is_none("a/../b", "not a repository's name");
	is_none("../b", "not a registry's name");
	is_none("./b", "not a registry's name");
	is_none("a%2fb", "not a repository's name");
	is_none("https://github.com/docker/docker", "not a registry's name");
	is_none("docker://python", "not a registry's name");
	is_none("oci:dir/x", "not a registry's name");
}

Test(lib_reference, upper_case_is_for_registries_and_tags)
{
	is_whole("a:V1_x.Y-", "docker.io/library/a", 9, ":V1_x.Y-");
	is_none("Python", "upper case");
	is_none("docker/Docker", "upper case");
	is_none("Docker/docker", "upper case");
	is_none("ghcr.io/A/b", "upper case");
	is_none("Uppercase:tag", "upper case");
}

Test(lib_reference, registries_that_are_none)
{
	is_none("-a.io/x", "not a registry's name");
	is_none("a-.io/x", "not a registry's name");
	is_none("a..io/x", "not a registry's name");
	is_none("a.io./x", "not a registry's name");
	is_none(".io/x", "not a registry's name");
	is_none("a_b.io/x", "not a registry's name");
	is_none("a.io:/x", "not a registry's name");
	is_none("a.io:80a/x", "not a registry's name");
	is_none("a.io:80:80/x", "not a registry's name");
	is_none("user@a.io/x", "not 'sha256:'");
	is_none("[::1/x", "not a registry's name");
	is_none("[]:80/x", "not a registry's name");
	is_none("[::1]x/x", "not a registry's name");
	is_none("[fe80::1%eth0]/x", "not a registry's name");
	is_none("::1/x", "not a registry's name");
}

Test(lib_reference, tags)
{
	is_whole("a:" T64 T64, "docker.io/library/a", 9, ":" T64 T64);
	is_whole("a:_", "docker.io/library/a", 9, ":_");
	is_none("a:" T64 T64 "x", "not a tag");
	is_none("a:", "not a tag");
	is_none("a:.x", "not a tag");
	is_none("a:-x", "not a tag");
	is_none("a:b:c", "not a tag");
	is_none("a:b c", "not a tag");
	is_none("a:b$", "not a tag");
	is_none("aa/asdf$$^/aa", "not a repository's name");
}

Test(lib_reference, a_digest_counts_and_its_tag_does_not)
{
	is_whole("a@" SUM, "docker.io/library/a", 9, "@" SUM);
	is_whole("a:3.12@" SUM, "docker.io/library/a", 9, "@" SUM);
	is_whole("ghcr.io/a/b:c@" SUM, "ghcr.io/a/b", 7, "@" SUM);
	is_whole("localhost:5000/a@" SUM, "localhost:5000/a", 14, "@" SUM);
	is_none("a@", "not 'sha256:'");
	is_none("a@sha256:", "not 'sha256:'");
	is_none("a@" HEX, "not 'sha256:'");
	is_none("a@" SUM "0", "not 'sha256:'");
	is_none("a@sha256:ABCDEF" HEX, "not 'sha256:'");
	is_none("a@sha512:" HEX HEX, "not 'sha256:'");
	is_none("a@" SUM "@" SUM, "not 'sha256:'");
	is_none("a@" SUM ":tag", "not 'sha256:'");
	is_none("a:@" SUM, "not a tag");
	is_none(HEX, "a digest alone");
	is_none(HEX ":tag", "a digest alone");
	is_whole(SUM, "docker.io/library/sha256", 9, ":" HEX); /* as Docker reads it */
	is_whole("a/" HEX, "docker.io/a/" HEX, 9, ":latest");
}

Test(lib_reference, at_most_255_bytes)
{
	/* docker.io/a/, 240 letters, :xx */
	char text[600] = "a/";

	memset(text + 2, 'b', 240);
	memcpy(text + 242, ":xx", 4);
	cr_assert_eq(reference_parse(text, &ref, &err), 0, "%s", err.msg);
	cr_expect_eq(strlen(ref.full), 255);
	memcpy(text + 242, ":xxx", 5);
	is_none(text, "more than 255 bytes");
	memset(text + 2, 'b', 597);
	is_none(text, "more than 511 bytes");
	/* The digest counts, not the tag that is dropped. */
	(void)snprintf(text, sizeof(text), "%s:%s@%s", T64 T64, T64 T64, SUM);
	cr_expect_eq(reference_parse(text, &ref, &err), 0, "%s", err.msg);
}
