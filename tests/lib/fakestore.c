/* SPDX-License-Identifier: Apache-2.0 */
/* fakestore.c - see fakestore.h. */
#include "tests/lib/fakestore.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fakeinit.h"

enum { BLOCK = 4096, LAYER_BLOCKS = 2 };

static char images[PATH_MAX], program[PATH_MAX];

static void must(int ok)
{
	if (!ok)
		abort();
}

const char *fakestore_use(void)
{
	const char *dir = fakevmm_use();
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	must(n > 0);
	exe[n] = 0;
	*strrchr(exe, '/') = 0;
	(void)snprintf(images, sizeof(images), "%s/images", dir);
	(void)snprintf(program, sizeof(program), "%.3000s/../../../conker-image", exe);
	must(mkdir(images, 0755) == 0);
	setenv("CONKER_IMAGES", images, 1);
	setenv("CONKER_IMAGE_PROGRAM", program, 1);
	return images;
}

void fakestore_program(const char *script)
{
	(void)snprintf(program, sizeof(program), "%.3000s/../program", images);
	int fd = open(program, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	must(fd >= 0 && dprintf(fd, "#!/bin/sh\n%s\n", script) > 0 && close(fd) == 0);
	setenv("CONKER_IMAGE_PROGRAM", program, 1);
}

static void sum_of(const char *s, size_t len, char ret[SHA256_TEXT_BYTES])
{
	struct sha256 sum;

	sha256_init(&sum);
	sha256_add(&sum, s, len);
	sha256_end(&sum, ret);
}

void fakestore_diff_id(const char *name, char ret[SHA256_TEXT_BYTES])
{
	sum_of(name, strlen(name), ret);
}

void fakestore_layer(const char *name, const char *suffix, char *ret, size_t size)
{
	char id[SHA256_TEXT_BYTES];

	fakestore_diff_id(name, id);
	(void)snprintf(ret, size, "%s/layers/%s.%s", images, id, suffix);
}

static void put(int dir, const char *name, const void *data, size_t len, size_t size)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len && ftruncate(fd, (off_t)size) == 0 &&
	     close(fd) == 0);
}

static void put_text(int dir, const char *name, char *text, size_t room)
{
	char sum[SHA256_TEXT_BYTES];
	size_t n = strlen(text);

	sum_of(text, n, sum);
	n += (size_t)snprintf(text + n, room - n, "sum=%s\n", sum);
	put(dir, name, text, n, n);
}

static void put_meta(int out, size_t layers)
{
	static const uint8_t magic[] = {0xe2, 0xe1, 0xf5, 0xe0};
	uint8_t b[BLOCK] = {0};

	memcpy(b + 1024, magic, sizeof(magic));
	b[1024 + 12] = 12;
	b[1024 + 36] = (uint8_t)(1 + layers * LAYER_BLOCKS);
	put(out, "meta.erofs", b, sizeof(b), sizeof(b));
}

static void put_layer(int out, const char *name)
{
	char id[SHA256_TEXT_BYTES], file[SHA256_TEXT_BYTES + 8];
	uint8_t data[BLOCK * LAYER_BLOCKS];

	if (*name == '-')
		return;
	fakestore_diff_id(name, id);
	memset(data, 'x', sizeof(data));
	(void)snprintf(file, sizeof(file), "%s.data", id);
	put(out, file, data, sizeof(data), sizeof(data));
	(void)snprintf(file, sizeof(file), "%s.index", id);
	put(out, file, "index", 5, 5);
}

void fakestore_out(const struct image_work *w, const char *const *layers, const char *config,
		   char ret_id[IMAGE_ID_BYTES])
{
	enum { ROOM = 64 << 10 };
	auto_free char *text = malloc(ROOM);
	char id[SHA256_TEXT_BYTES];
	size_t n, count = 0;

	must(text && (mkdirat(w->fd, WORK_OUT, 0755) == 0 || 1));
	int out = store_sub_there(w->fd, WORK_OUT);
	must(out >= 0);
	n = (size_t)snprintf(text, ROOM,
			     "conker-image 1\nos=linux\narchitecture=amd64\nmanifest=\nconfig=\n");
	for (; layers[count]; count++) {
		put_layer(out, layers[count]);
		fakestore_diff_id(layers[count] + (*layers[count] == '-'), id);
		n += (size_t)snprintf(text + n, ROOM - n, "layer=%s 10240 100 -\n", id);
	}
	put_meta(out, count);
	n += (size_t)snprintf(text + n, ROOM - n, "meta=%d %064d\n", BLOCK, 0);
	for (size_t i = 0; i < count; i++) {
		fakestore_diff_id(layers[i] + (*layers[i] == '-'), id);
		n += (size_t)snprintf(text + n, ROOM - n, "data=%d %s\n", BLOCK * LAYER_BLOCKS, id);
	}
	(void)snprintf(text + n, ROOM - n, "inodes=5\nentries_left_out=0\nattributes_left_out=0\n");
	sum_of(text, strlen(text), ret_id);
	put_text(out, "manifest", text, ROOM);
	(void)snprintf(text, ROOM, "conker-image-config 1\n%s", config ? config : "");
	put_text(out, "config", text, ROOM);
	close(out);
}

int fakestore_publish(const char *name, const char *const *layers, char ret_id[IMAGE_ID_BYTES])
{
	struct image_work w;
	struct err e = {0};

	must(work_begin(&w, &e) == 0);
	fakestore_out(&w, layers, NULL, ret_id);
	int r = publish(&w, name, &e);
	work_end(&w);
	return r;
}

static int count_one(int dir, const char *file, void *arg)
{
	(void)dir;
	(void)file;
	++*(int *)arg;
	return 0;
}

int fakestore_count(const char *sub)
{
	int dir = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;

	must(dir >= 0);
	int there = faccessat(dir, sub, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	must(store_walk(dir, sub, count_one, &n) == 0);
	close(dir);
	return there ? n : -1;
}
