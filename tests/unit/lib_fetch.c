/* SPDX-License-Identifier: Apache-2.0 */
/* lib_fetch.c - what skopeo's complaints amount to (each was provoked), and what is a plan. */
#include "lib/images/fetch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define A     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define FATAL "time=\"2026-12-01T04:34:49Z\" level=fatal msg=\""
#define NAMED FATAL "Error parsing image name \\\"docker://r.io/t/x:1\\\": "

static struct reference ref;
static struct err err;

static void set_up(void)
{
	cr_assert_eq(reference_parse("r.io/t/x:1", &ref, &err), 0);
}

TestSuite(lib_fetch, .init = set_up);

static void means(const char *text, int error, const char *advice, const char *shown)
{
	static char said[16 << 10];
	char message[ERR_MSG_BYTES];

	(void)snprintf(said, sizeof(said), "%s", text);
	err = (struct err){0};
	cr_expect_eq(skopeo_meaning(said, &ref, 1, &err), -error, "%s: %s", text, err.msg);
	(void)snprintf(message, sizeof(message), "r.io: %s", advice);
	cr_expect(strncmp(err.msg, message, strlen(message)) == 0, "%s", err.msg);
	cr_expect(strstr(err.msg, shown), "%s", err.msg);
}

Test(lib_fetch, what_the_registry_answers)
{
	means(NAMED "reading manifest nope in r.io/t/x: manifest unknown: manifest unknown\"\n",
	      ENOENT, "the registry has no such image",
	      "(skopeo: reading manifest nope in r.io/t/x: manifest unknown: manifest unknown)");
	means(NAMED "reading manifest 1 in r.io/t/x: name unknown: repository name not known to "
		    "registry\"\n",
	      ENOENT, "the registry has no such repository", "(skopeo: reading");
	means(NAMED "reading manifest 1 in r.io/t/x: unauthorized: authentication required\"\n",
	      EACCES, "credentials are missing or wrong; log in", "(skopeo: reading");
	means(FATAL "initializing source docker://r.io/t/x:1: unable to retrieve auth token: "
		    "invalid username/password: unauthorized: x\"",
	      EACCES, "credentials are missing", "(skopeo: initializing");
	means(NAMED "reading manifest 1 in r.io/t/x: denied: requested access to the resource is "
		    "denied\"\n",
	      EACCES, "there is no such repository, or not for these credentials",
	      "(skopeo: reading");
	means(NAMED "reading manifest 1 in r.io/t/x: toomanyrequests: You have reached your pull "
		    "rate limit\"\n",
	      EAGAIN, "the registry wants fewer requests", "rate limit)");
	means(NAMED "reading manifest 1 in r.io/t/x: received unexpected HTTP status: 500 Internal "
		    "Server Error\"\n",
	      EIO, "the registry is out of order", "(skopeo: reading");
	means(FATAL "writing blob: happened during read: Digest did not match, expected sha256:" A
		    ", got sha256:" B "\"\n",
	      EBADMSG, "the registry's bytes are not what their digest says", A);
	means(FATAL "reading blob sha256:" A
		    ": Error fetching blob: invalid status code from registry 404 (Not Found)\"\n",
	      EBADMSG, "the registry lacks a part of the image", "404 (Not Found)");
}

Test(lib_fetch, what_keeps_it_from_asking)
{
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": dial tcp "
		    "127.0.0.1:443: connect: connection refused\"\n",
	      ECONNREFUSED, "no registry answers", "Get \"https://r.io/v2/\": dial tcp");
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": dial tcp: "
		    "lookup r.io on 10.0.0.1:53: no such host\"\n",
	      ENETUNREACH, "the registry's name is not known", "no such host)");
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": dial tcp: "
		    "lookup r.io: Temporary failure in name resolution\"",
	      ENETUNREACH, "the registry's name cannot be looked up", "Temporary");
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": dial tcp "
		    "10.0.0.1:443: i/o timeout\"\n",
	      ETIMEDOUT, "the registry does not answer in time", "i/o timeout)");
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": x509: "
		    "certificate signed by unknown authority\"\n",
	      EPROTO, "the registry's certificate is not trusted", "unknown authority)");
	means(NAMED "pinging container registry r.io: Get \\\"https://r.io/v2/\\\": http: server "
		    "gave HTTP response to HTTPS client\"\n",
	      EPROTO, "the registry speaks plain http", "HTTPS client)");
	means(NAMED "loading registries configuration: loading registries configuration "
		    "\\\"/x\\\": open /x: no such file or directory\"\n",
	      EINVAL, "the configuration of registries is wrong", "no such file");
	means(FATAL "Error loading trust policy: open /etc/containers/policy.json: no such file or "
		    "directory\"\n",
	      ENOENT, "skopeo lacks its trust policy", "(skopeo: Error loading");
	means(FATAL
	      "Source image rejected: Running image docker://r.io/t/x:1 is rejected by policy.\"\n",
	      EACCES, "the trust policy of this host", "(skopeo: Source");
	means(NAMED
	      "getting username and password: 1 error occurred:\\n\\t* error getting credentials - "
	      "err: exec: "
	      "\\\"docker-credential-x\\\": executable file not found in $PATH, out: ``\\n\\n\"\n",
	      EACCES, "what docker or podman keep of credentials cannot be read",
	      "docker-credential-x");
	means(FATAL
	      "writing blob: write /s/layout/oci-put-blob3000191177: no space left on device\"\n",
	      ENOSPC, "no space left for the images", "oci-put-blob");
}

Test(lib_fetch, the_last_word_counts_and_what_is_long_or_unfit_is_made_fit)
{
	char many[3000] = FATAL "writing blob: ";

	means("time=\"x\" level=warning msg=\"Failed, retrying in 1s ... (1/2). Error: "
	      "initializing source: connection refused\"\n" FATAL
	      "initializing source docker://r.io/t/x:1: connect: connection refused\"\n",
	      ECONNREFUSED, "no registry answers",
	      "(skopeo: initializing source docker://r.io/t/x:1: connect: connection refused)");
	means(FATAL "a\x1b[2Jb\\u001b\"", EIO, "skopeo failed", "(skopeo: a?[2Jbu001b)");
	means("FATA[0000] in another form", EIO, "skopeo failed",
	      "(skopeo: FATA[0000] in another form)");
	means(FATAL "cut off in the middle \\", EIO, "skopeo failed",
	      "(skopeo: cut off in the middle \\)");
	means("", EIO, "skopeo ended with status 1", "");
	memset(many + strlen(many), 'x', sizeof(many) - strlen(many) - 1);
	means(many, EIO, "skopeo failed", "xxx...)");
}

static int planned(const char *text, struct plan *p)
{
	char lines[1024];

	(void)snprintf(lines, sizeof(lines), "%s", text);
	return plan_parse(lines, p);
}

Test(lib_fetch, a_plan_is_one_manifest_or_some_blobs)
{
	static struct plan p;

	cr_assert_eq(planned("manifest " A " 7\n", &p), 0);
	cr_expect_str_eq(p.next, A);
	cr_expect_eq(p.n, 0);
	cr_assert_eq(planned("blob " A " 7\nblob " B " 0\nblob " A " 7\n", &p), 0);
	cr_expect_str_empty(p.next);
	cr_expect_eq(p.n, 2, "each once");
	cr_expect_eq(p.total, 7);
	cr_expect_str_eq(p.blob[1].hex, B);
}

Test(lib_fetch, what_is_no_plan)
{
	static const char *const texts[] = {
		"",
		"\n",
		"x\n",
		"blob\n",
		"blob " A "\n",
		"blob " A " \n",
		"blob " A " x\n",
		"blob " A " -1\n",
		"blob " A " 7",
		"blob " A "0 7\n",
		"blob " A " 9223372036854775808\n",
		"blob ../x 7\n",
		"manifest " A " 7\nmanifest " B " 7\n",
		"manifest " A " 7\nblob " B " 7\n",
		"blob " A " 7\nblob " A " 8\n",
		"blob " A " 7\n\n",
		"blob " A " 9223372036854775807\nblob " B " 9223372036854775807\n",
		" blob " A " 7\n",
	};
	static struct plan p;

	for (size_t i = 0; i < countof(texts); i++)
		cr_expect_eq(planned(texts[i], &p), -EBADMSG, "%s", texts[i]);
}

Test(lib_fetch, more_blobs_than_an_image_has)
{
	static struct plan p;
	static char lines[(PLAN_BLOBS_MAX + 1) * 80];
	size_t n = 0;

	for (int i = 0; i < PLAN_BLOBS_MAX; i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, "blob %064x 1\n", i);
	char *more = strdup(lines);
	cr_expect_eq(plan_parse(more, &p), 0);
	cr_expect_eq(p.n, PLAN_BLOBS_MAX);
	free(more);
	(void)snprintf(lines + n, sizeof(lines) - n, "blob %064x 1\n", PLAN_BLOBS_MAX);
	cr_expect_eq(plan_parse(lines, &p), -EBADMSG);
}

static void has_auth(const char *creds, const char *text)
{
	char buf[512] = "";
	struct stat st;
	int fd = skopeo_auth(creds, &ref, &err);

	cr_assert(fd >= 0, "%s", err.msg);
	cr_assert(pread(fd, buf, sizeof(buf) - 1, 0) > 0);
	cr_expect_str_eq(buf, text);
	cr_expect(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
	cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	(void)close(fd);
}

Test(lib_fetch, credentials_are_a_file_for_one_registry)
{
	static char many[9 << 10] = "u:";

	has_auth("u:pass", "{\"auths\":{\"r.io\":{\"auth\":\"dTpwYXNz\"}}}\n");
	has_auth("u:passw", "{\"auths\":{\"r.io\":{\"auth\":\"dTpwYXNzdw==\"}}}\n");
	has_auth("u:p:sswd", "{\"auths\":{\"r.io\":{\"auth\":\"dTpwOnNzd2Q=\"}}}\n");
	has_auth("u:\"\\\n\xff", "{\"auths\":{\"r.io\":{\"auth\":\"dToiXAr/\"}}}\n");
	cr_expect_eq(skopeo_auth("user", &ref, &err), -EINVAL);
	cr_expect_eq(skopeo_auth(":x", &ref, &err), -EINVAL);
	cr_expect_eq(skopeo_auth("", &ref, &err), -EINVAL);
	memset(many + 2, 'x', sizeof(many) - 3);
	cr_expect_eq(skopeo_auth(many, &ref, &err), -EINVAL);
}
