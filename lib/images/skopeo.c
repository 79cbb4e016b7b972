/* SPDX-License-Identifier: Apache-2.0 */
/* skopeo.c - the program that speaks to registries: what it is given, and what its complaints amount to.
 *
 * It reads its host's configuration: registries.conf (mirrors, plain http), certs.d, policy.json, and who may log in where, from
 * podman's and docker's files. Of our environment it gets what is needed for that, and a proxy; and CONKER_REGISTRIES_CONF
 * in place of registries.conf. Credentials that the caller has go in a file that has no name; never as an argument, which everybody
 * on the host can read.
 *
 * It tells what went wrong in a sentence for people, some of which a registry wrote. It is searched for words of Go's
 * libraries and of the registry's API, to choose an errno and an advice; the sentence itself is shown, cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "util/io.h"

enum { ENV_MAX = 32, ARGS_MAX = 20, SAID_MAX = 16 << 10, SHOWN_MAX = 280, CREDS_MAX = 8 << 10 };

/* ---- environment --------------------------------------------------------------------------------------- */

static int is_passed(const char *variable)
{
	static const char *const names[] = {
		"HOME=",        "DOCKER_CONFIG=", "REGISTRY_AUTH_FILE=", "http_proxy=",
		"https_proxy=", "no_proxy=",      "HTTP_PROXY=",         "HTTPS_PROXY=",
		"NO_PROXY=",    "SSL_CERT_FILE=", "SSL_CERT_DIR=",       "XDG_" /* and more */,
	};

	for (size_t i = 0; i < countof(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return 1;
	return 0;
}

static void env_choose(char *ret[ENV_MAX])
{
	size_t n = 0;

	ret[n++] = (char *)"PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
	ret[n++] = (char *)"LC_ALL=C";
	for (char **v = environ; v && *v && n < ENV_MAX - 1; v++)
		if (is_passed(*v))
			ret[n++] = *v;
	ret[n] = NULL;
}

/* ---- credentials --------------------------------------------------------------------------------------- */

static void base64(const char *from, size_t len, char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < len ? (uint8_t)from[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*to++ = i + k > len ? '=' : digits[v >> (18 - 6 * k) & 63];
	}
	*to = 0;
}

static int auth_write(int fd, const char *creds, const struct reference *ref)
{
	char code[CREDS_MAX / 3 * 4 + 8];

	base64(creds, strlen(creds), code);
	int n = dprintf(fd, "{\"auths\":{\"%.*s\":{\"auth\":\"%s\"}}}\n", (int)ref->domain_len,
			ref->full, code);
	int r = n < 0 ? -errno : 0;
	explicit_bzero(code, sizeof(code));
	return r;
}

int skopeo_auth(const char *creds, const struct reference *ref, struct err *e)
{
	if (*creds == ':' || !strchr(creds, ':'))
		return err_set(e, EINVAL, "credentials are USER:PASSWORD");
	if (strlen(creds) > CREDS_MAX)
		return err_set(e, EINVAL, "credentials of more than %d bytes", CREDS_MAX);
	auto_close int fd = memfd_create("conker-auth", MFD_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return err_errno(e, "make a file for credentials");
	int r = auth_write(fd, creds, ref);
	return r < 0 ? err_set(e, -r, "write credentials: %s", strerror(-r)) : take_fd(fd);
}

/* ---- what it said -------------------------------------------------------------------------------------- */

#define LOG_IN "log in with skopeo, podman or docker login, or give --creds"

/* In this order, for one sentence may have several: what kept it from asking, then the registry's answers. */
static const struct {
	const char *text;
	int error;
	const char *advice;
} meanings[] = {
	{"loading trust policy", ENOENT,
	 "skopeo lacks its trust policy, /etc/containers/policy.json, which is in the package "
	 "golang-github-containers-common"},
	{"rejected by policy", EACCES, "the trust policy of this host, policy.json, forbids it"},
	{"Source image rejected", EACCES, "the trust policy of this host, policy.json, forbids it"},
	{"loading registries configuration", EINVAL, "the configuration of registries is wrong"},
	{"getting username and password", EACCES,
	 "what docker or podman keep of credentials cannot be read"},
	{"error getting credentials", EACCES,
	 "what docker or podman keep of credentials cannot be read"},
	{"server gave HTTP response to HTTPS client", EPROTO,
	 "the registry speaks plain http, which registries.conf has to allow (insecure = true)"},
	{"x509: ", EPROTO,
	 "the registry's certificate is not trusted; put its authority's into "
	 "/etc/containers/certs.d/REGISTRY/ca.crt, or set SSL_CERT_FILE"},
	{"no space left on device", ENOSPC, "no space left for the images"},
	{"disk quota exceeded", EDQUOT, "the quota of the images' file system is used up"},
	{"connection refused", ECONNREFUSED, "no registry answers"},
	{"no such host", ENETUNREACH, "the registry's name is not known"},
	{"server misbehaving", ENETUNREACH, "the registry's name cannot be looked up"},
	{"name resolution", ENETUNREACH, "the registry's name cannot be looked up"},
	{"network is unreachable", ENETUNREACH, "there is no way to the registry"},
	{"no route to host", ENETUNREACH, "there is no way to the registry"},
	{"i/o timeout", ETIMEDOUT, "the registry does not answer in time"},
	{"handshake timeout", ETIMEDOUT, "the registry does not answer in time"},
	{"deadline exceeded", ETIMEDOUT, "the registry does not answer in time"},
	{"connection reset", ECONNRESET, "the registry ended the connection"},
	{"unexpected EOF", ECONNRESET, "the registry ended the connection"},
	{"toomanyrequests", EAGAIN,
	 "the registry wants fewer requests; try again later, or log in"},
	{"unauthorized", EACCES, "credentials are missing or wrong; " LOG_IN},
	{"authentication required", EACCES, "credentials are missing or wrong; " LOG_IN},
	{"denied", EACCES, "there is no such repository, or not for these credentials; " LOG_IN},
	{"manifest unknown", ENOENT, "the registry has no such image"},
	{"name unknown", ENOENT, "the registry has no such repository"},
	{"Digest did not match", EBADMSG, "the registry's bytes are not what their digest says"},
	{"status code from registry 5", EIO, "the registry is out of order"},
	{"status code from registry 401", EACCES, "credentials are missing or wrong; " LOG_IN},
	{"status code from registry 403", EACCES, "not for these credentials; " LOG_IN},
	{"Error fetching blob", EBADMSG, "the registry lacks a part of the image"},
	{"exceeded maximum allowed size", EFBIG, "the manifest has more than 4 MiB"},
	{"unexpected HTTP status", EIO, "the registry is out of order"},
	{"invalid reference format", EINVAL, "skopeo does not know such a name"},
};

/* What follows `mark` in s for the last time; or s. */
static char *behind_last(char *s, const char *mark)
{
	char *p = s;

	while ((p = strstr(p, mark)))
		s = p += strlen(mark);
	return s;
}

/* Of lines as `time="..." level=fatal msg="..."` what the last one has to say, shortened, in place. */
static char *sentence(char *said)
{
	static const char named[] = "Error parsing image name \"";
	char *s = behind_last(said, "level=fatal msg=\""), *to = s;

	for (char *p = s; *p && *p != '\n' && *p != '"'; p++) {
		if (*p == '\\' && p[1]) {
			p++;
			*to++ = *p == 'n' || *p == 't' ? ' ' : *p;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	if (strncmp(s, named, sizeof(named) - 1) == 0 && strstr(s, "\": "))
		s = strstr(s, "\": ") + 3;
	if (strlen(s) > SHOWN_MAX)
		memcpy(s + SHOWN_MAX, "...", 4);
	return s;
}

int skopeo_meaning(char *said, const struct reference *ref, int status, struct err *e)
{
	int error = EIO;
	const char *advice = "skopeo failed";

	for (size_t i = 0; i < countof(meanings); i++)
		if (strstr(said, meanings[i].text)) {
			error = meanings[i].error;
			advice = meanings[i].advice;
			break;
		}
	char *s = sentence(said);
	if (!*s)
		return err_set(e, EIO, "%.*s: skopeo ended with status %d", (int)ref->domain_len,
			       ref->full, status);
	return err_set(e, error, "%.*s: %s (skopeo: %s)", (int)ref->domain_len, ref->full, advice,
		       s);
}

static int complain(const struct skopeo *s, int said, int status, struct err *e)
{
	auto_free char *text = calloc(1, SAID_MAX + 1);

	if (!text)
		return err_set(e, ENOMEM, "no memory for what skopeo said");
	if (io_pread_all(said, text, SAID_MAX, 0) < 0)
		text[0] = 0;
	return skopeo_meaning(text, s->ref, status, e);
}

/* ---- running it ---------------------------------------------------------------------------------------- */

int skopeo_run(const struct skopeo *s, const char *const *args, int out, struct err *e)
{
	const char *conf = getenv("CONKER_REGISTRIES_CONF"), *argv[ARGS_MAX];
	char *env[ENV_MAX];
	const int fds[] = {s->w->fd, s->auth};
	struct image_run run = {.argv = argv,
				.env = env,
				.in = -1,
				.out = out,
				.fds = fds,
				.nfds = s->auth < 0 ? 1 : 2,
				.tick = s->tick,
				.arg = s->arg};
	size_t n = 0;

	argv[n++] = "skopeo";
	if (conf && *conf) {
		argv[n++] = "--registries-conf";
		argv[n++] = conf;
	}
	while (*args && n < ARGS_MAX - 1)
		argv[n++] = *args++;
	argv[n] = NULL;
	env_choose(env);
	auto_close int said = -1;
	int r = run_watched(&run, &said, e);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "skopeo is not installed; install the package skopeo");
	return r <= 0 ? r : complain(s, said, r, e);
}
