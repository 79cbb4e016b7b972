/* SPDX-License-Identifier: Apache-2.0 */
/* image_archive.h - what tests of archives have in common: an archive of three layers in several forms, and keeper and
 * reader as two processes, as in the program. */
#ifndef TESTS_LIB_IMAGE_ARCHIVE_H
#define TESTS_LIB_IMAGE_ARCHIVE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/door.h"
#include "image/make.h"
#include "tests/lib/image_erofs.h"
#include "tests/lib/image_fixture.h"
#include "util/sha256.h"

enum { TEXT_BYTES = 4096, LAYERS = 3 };

static char top[] = "/tmp/conker-image.XXXXXX";
static int work;
static struct bytes archive; /* a layout as a tar; or its files are below top/layout */
static int as_dir;
static struct err *said; /* by the reader */
static struct make_job job;
static struct keeper keeper;

static char digest[LAYERS][SHA256_TEXT_BYTES], diff_id[LAYERS][SHA256_TEXT_BYTES];
static size_t size[LAYERS];
static char config_hex[SHA256_TEXT_BYTES], manifest_hex[SHA256_TEXT_BYTES];

static inline int made_dir(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	(void)mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void set_up(void)
{
	cr_assert(mkdtemp(top));
	work = made_dir("work");
	said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	job = (struct make_job){.input = -1,
				.want = {"linux", "amd64", "", NULL},
				.limits = {LIMIT_ENTRIES, LIMIT_BYTES, LIMIT_RATIO},
				.progress = {.fd = -1}};
	keeper = (struct keeper){.work = work, .layout = -1, .blobs = -1, .layers = -1};
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static inline void tear_down(void)
{
	(void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	bytes_free(&archive);
}

/* ---- making archives ---- */

static inline void file_put(const char *name, const void *data, size_t len)
{
	if (!as_dir) {
		tar_put(&archive,
			&(struct tar_item){.type = '0', .name = name, .data = data, .len = len});
		return;
	}
	int dir = made_dir("layout");
	(void)mkdirat(dir, "blobs", 0700);
	(void)mkdirat(dir, "blobs/sha256", 0700);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	cr_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	(void)close(fd);
	(void)close(dir);
}

static inline void hex_of(const void *data, size_t len, char hex[SHA256_TEXT_BYTES])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, data, len);
	sha256_end(&s, hex);
}

static inline void blob_put(const void *data, size_t len, char hex[SHA256_TEXT_BYTES])
{
	char name[128];

	hex_of(data, len, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.64s", hex);
	file_put(name, data, len);
}

static inline void layer_make(size_t i, struct bytes *raw)
{
	char name[8], text[32];

	(void)snprintf(name, sizeof(name), "f%zu", i);
	(void)snprintf(text, sizeof(text), "of layer %zu", i);
	tar_file(raw, name, text);
	tar_end(raw);
	hex_of(raw->p, raw->len, diff_id[i]);
}

static inline void layers_put(void)
{
	for (size_t i = 0; i < LAYERS; i++) {
		struct bytes raw = {0}, z = {0};

		layer_make(i, &raw);
		if (i == 0)
			bytes_gzip(&raw, &z);
		else if (i == 1)
			bytes_zstd(&raw, &z);
		else
			bytes_add(&z, raw.p, raw.len);
		blob_put(z.p, z.len, digest[i]);
		size[i] = z.len;
		bytes_free(&raw);
		bytes_free(&z);
	}
}

static inline size_t config_text(char *text, const char *arch)
{
	return (size_t)snprintf(text, TEXT_BYTES,
				"{\"os\":\"linux\",\"architecture\":\"%s\",\"config\":{\"Env\":["
				"\"A=1\\n2%%\",\"B=\"],"
				"\"Entrypoint\":[\"/e\",\"x\"],\"Cmd\":null,\"ExposedPorts\":{\"80/"
				"tcp\":{}},\"User\":\"u:g\","
				"\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/"
				"v\":{}},\"Healthcheck\":{\"Test\":[]}},"
				"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\","
				"\"sha256:%s\",\"sha256:%s\"]}}",
				arch, diff_id[0], diff_id[1], diff_id[2]);
}

static inline void config_put(const char *arch)
{
	char text[TEXT_BYTES];

	blob_put(text, config_text(text, arch), config_hex);
}

static inline size_t manifest_put(void)
{
	static const char type[] = "application/vnd.oci.image.layer.v1.tar";
	char text[TEXT_BYTES], config[TEXT_BYTES];
	size_t n = (size_t)snprintf(
		text, sizeof(text),
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:%s\",\"size\":%zu},"
		"\"layers\":["
		"{\"mediaType\":\"%s+gzip\",\"digest\":\"sha256:%s\",\"size\":%zu},"
		"{\"mediaType\":\"%s+zstd\",\"digest\":\"sha256:%s\",\"size\":%zu},"
		"{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
		config_hex, config_text(config, "amd64"), type, digest[0], size[0], type, digest[1],
		size[1], type, digest[2], size[2]);

	blob_put(text, n, manifest_hex);
	return n;
}

static inline void index_put_text(const char *manifests)
{
	char text[TEXT_BYTES];
	int n = snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%.4000s]}",
			 manifests);

	file_put("index.json", text, (size_t)n);
	file_put("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

/* A descriptor of the manifest, with what else it says. */
static inline const char *descriptor(const char *more)
{
	static char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text),
		       "{\"mediaType\":\"application/"
		       "vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\"%s}",
		       manifest_hex, more);
	return text;
}

static inline void layout_put(void)
{
	layers_put();
	config_put("amd64");
	(void)manifest_put();
	index_put_text(descriptor(""));
}

/* ---- running ---- */

static inline void give_input(void)
{
	if (as_dir)
		keeper.layout = made_dir("layout");
	else if (job.input < 0)
		job.input = bytes_file(&archive);
}

/* The program's exit status; *said has the error. */
static inline int run(void)
{
	int pair[2];
	sigset_t none;
	struct err e = {0};

	give_input();
	sigemptyset(&none);
	*said = (struct err){0};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		job.door = pair[1];
		_exit(make_image(&job, said) < 0);
	}
	(void)close(pair[1]);
	keeper.door = pair[0];
	int status = keeper_serve(&keeper, pid, &none, &e);
	(void)close(pair[0]);
	if (e.code)
		*said = e;
	return status;
}

static inline void made(void)
{
	int status = run();

	cr_assert_eq(status, 0, "%s", said->msg);
}

static inline void refused(int code, const char *words)
{
	int status = run();

	cr_assert(status == 1 && said->code == code && strstr(said->msg, words), "%d %d %s", status,
		  said->code, said->msg);
}

static inline int is_made(const char *name)
{
	return faccessat(work, name, F_OK, 0) == 0;
}

/* Names in the work directory that begin with a dot: what is half made. */
static inline int half_made(void)
{
	int fd = openat(work, ".", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fdopendir(fd);

	for (const struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] == '.' && de->d_name[1] && strcmp(de->d_name, "..") != 0;
	closedir(d);
	return n;
}

static inline void append(struct bytes *b, const char *name)
{
	int fd = openat(work, name, O_RDONLY);
	struct stat st;

	cr_assert(fd >= 0, "%s", name);
	(void)fstat(fd, &st);
	size_t at = b->len;
	bytes_add(b, NULL, (size_t)st.st_size);
	cr_assert_eq(read(fd, b->p + at, (size_t)st.st_size), st.st_size);
	(void)close(fd);
}

static inline const char *text_of(const char *name)
{
	static struct bytes b;

	b.len = 0;
	append(&b, name);
	bytes_add(&b, "", 1);
	return (const char *)b.p;
}

static inline void has_all_layers(void)
{
	struct bytes all = {0};
	char name[128], path[8], buf[64], text[32];
	struct erofs_stat s;

	append(&all, "meta.erofs");
	for (const char *p = text_of("manifest"); (p = strstr(p, "\ndata=")); p++) {
		(void)snprintf(name, sizeof(name), "%.64s.data", strchr(p, ' ') + 1);
		struct bytes copy = {0};
		bytes_add(&copy, p, strlen(p) + 1);
		append(&all, name);
		bytes_free(&copy);
	}
	struct erofs_disk d = {all.p, all.len};
	cr_assert_eq(erofs_check(&d), LAYERS);
	for (size_t i = 0; i < LAYERS; i++) {
		(void)snprintf(path, sizeof(path), "f%zu", i);
		(void)snprintf(text, sizeof(text), "of layer %zu", i);
		cr_assert(erofs_stat(&d, path, &s));
		size_t n = erofs_read(&d, &s, buf, sizeof(buf));
		cr_assert(n == strlen(text) && memcmp(buf, text, n) == 0);
	}
	cr_assert_eq(half_made(), 0);
	bytes_free(&all);
}

#endif
