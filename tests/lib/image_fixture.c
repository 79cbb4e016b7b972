/* SPDX-License-Identifier: Apache-2.0 */
/* image_fixture.c - see image_fixture.h. */
#include "tests/lib/image_fixture.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "util/erofs.h"
#include "util/tar.h"

/* ---- bytes ------------------------------------------------------------------------------------------------- */

void bytes_add(struct bytes *b, const void *p, size_t len)
{
	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len) + 4096;
		b->p = realloc(b->p, b->room);
		assert(b->p);
	}
	if (len == 0)
		return;
	if (p)
		memcpy(b->p + b->len, p, len);
	else
		memset(b->p + b->len, 0, len);
	b->len += len;
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

int bytes_file(const struct bytes *b)
{
	int fd = memfd_create("bytes", MFD_CLOEXEC);

	assert(fd >= 0);
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(fd, b->p + at, b->len - at);

		assert(n > 0);
		at += (size_t)n;
	}
	assert(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

void bytes_gzip(const struct bytes *from, struct bytes *to)
{
	uint8_t buf[4096];
	z_stream z = {.next_in = from->p, .avail_in = (uInt)from->len};
	int r = deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);

	assert(r == Z_OK);
	do {
		z.next_out = buf;
		z.avail_out = sizeof(buf);
		r = deflate(&z, Z_FINISH);
		bytes_add(to, buf, sizeof(buf) - z.avail_out);
	} while (r == Z_OK);
	(void)deflateEnd(&z);
}

void bytes_zstd(const struct bytes *from, struct bytes *to)
{
	size_t at = to->len, room = ZSTD_compressBound(from->len);

	bytes_add(to, NULL, room);
	size_t n = ZSTD_compress(to->p + at, room, from->p, from->len, 1);
	assert(!ZSTD_isError(n));
	to->len = at + n;
}

/* ---- tar --------------------------------------------------------------------------------------------------- */

static void octal(uint8_t *field, size_t bytes, unsigned long v)
{
	char s[24];

	(void)snprintf(s, sizeof(s), "%0*lo", (int)bytes - 1, v);
	memcpy(field, s, bytes);
}

static void header(struct bytes *b, const struct tar_item *t, char type, const char *name,
		   size_t len)
{
	uint8_t h[TAR_BLOCK_BYTES] = {0};
	unsigned sum = 0;

	memcpy(h, name, strnlen(name, 100));
	octal(h + 100, 8, t->mode ? t->mode : type == '5' ? 0755 : 0644);
	octal(h + 108, 8, t->uid);
	octal(h + 116, 8, t->gid);
	octal(h + 124, 12, len);
	octal(h + 136, 12, (unsigned long)t->mtime);
	h[156] = (uint8_t)type;
	if (t->link)
		memcpy(h + 157, t->link, strnlen(t->link, 100));
	memcpy(h + 257, "ustar\00000", 8);
	octal(h + 329, 8, t->major);
	octal(h + 337, 8, t->minor);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	octal(h + 148, 7, sum);
	bytes_add(b, h, sizeof(h));
}

static void payload(struct bytes *b, const void *data, size_t len)
{
	bytes_add(b, data, len);
	bytes_add(b, NULL, tar_padding(len));
}

void pax(struct bytes *b, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(key) + len + 3, total = rest + 1;
	char head[32];

	while ((size_t)snprintf(head, sizeof(head), "%zu", total) + rest != total)
		total = (size_t)snprintf(head, sizeof(head), "%zu", total) + rest;
	bytes_add(b, head, strlen(head));
	bytes_add(b, " ", 1);
	bytes_add(b, key, strlen(key));
	bytes_add(b, "=", 1);
	bytes_add(b, value, len);
	bytes_add(b, "\n", 1);
}

void tar_put(struct bytes *b, const struct tar_item *t)
{
	struct tar_item none = {0};
	struct bytes x = {0};

	if (t->pax_len)
		bytes_add(&x, t->pax, t->pax_len);
	if (strlen(t->name) > 100)
		pax(&x, "path", t->name, strlen(t->name));
	if (t->link && strlen(t->link) > 100)
		pax(&x, "linkpath", t->link, strlen(t->link));
	if (x.len) {
		header(b, &none, 'x', "pax", x.len);
		payload(b, x.p, x.len);
	}
	bytes_free(&x);
	header(b, t, t->type, t->name, t->len);
	payload(b, t->data, t->len);
}

void tar_end(struct bytes *b)
{
	bytes_add(b, NULL, TAR_END_BYTES);
}

void tar_file(struct bytes *b, const char *name, const char *text)
{
	tar_put(b,
		&(struct tar_item){.type = '0', .name = name, .data = text, .len = strlen(text)});
}

void tar_dir(struct bytes *b, const char *name)
{
	tar_put(b, &(struct tar_item){.type = '5', .name = name});
}

void tar_link(struct bytes *b, char type, const char *name, const char *to)
{
	tar_put(b, &(struct tar_item){.type = type, .name = name, .link = to});
}

/* ---- an image ---------------------------------------------------------------------------------------------- */

void made_begin(struct made *m)
{
	*m = (struct made){.limits = {LIMIT_ENTRIES, LIMIT_BYTES, LIMIT_RATIO},
			   .progress = {.fd = -1}};
	int r = tree_init(&m->tree, m->limits.entries, &m->e);
	assert(r == 0);
}

int made_layer(struct made *m, const struct bytes *stream)
{
	size_t i = m->n++;
	int fd = bytes_file(stream);
	struct span from = {.fd = fd, .bytes = stream->len};
	struct layer_job job = {.tree = &m->tree,
				.limits = &m->limits,
				.progress = &m->progress,
				.bytes = &m->bytes};

	assert(i < MADE_LAYERS_MAX);
	m->tree.entries_max = m->limits.entries;
	m->data[i] = job.data_fd = memfd_create("data", MFD_CLOEXEC);
	m->index[i] = memfd_create("index", MFD_CLOEXEC);
	job.index_fd = fcntl(m->index[i], F_DUPFD_CLOEXEC, 3);
	assert(job.data_fd >= 0 && job.index_fd >= 0);
	tree_next_layer(&m->tree);
	int r = layer_read(&job, &from, &m->layers[i], &m->e);
	(void)close(fd);
	return r;
}

int made_layer_from(struct made *m, const struct made *from, size_t layer)
{
	struct index_in *x = malloc(sizeof(*x));
	size_t i = m->n++;
	int fd = fcntl(from->index[layer], F_DUPFD_CLOEXEC, 3);

	assert(x && fd >= 0);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	m->data[i] = fcntl(from->data[layer], F_DUPFD_CLOEXEC, 3);
	m->index[i] = fcntl(from->index[layer], F_DUPFD_CLOEXEC, 3);
	tree_next_layer(&m->tree);
	int r = index_open(x, fd, from->layers[layer].diff_id);
	if (r == 0) {
		m->layers[i].blocks = x->head.blocks;
		r = layer_apply(&m->tree, x, &m->e);
		index_close(x);
	}
	free(x);
	return r;
}

static void append_file(struct bytes *b, int fd)
{
	struct stat st;

	assert(fstat(fd, &st) == 0);
	size_t at = b->len;
	bytes_add(b, NULL, (size_t)st.st_size);
	ssize_t n = pread(fd, b->p + at, (size_t)st.st_size, 0);
	assert(n == st.st_size);
}

void made_disk(struct made *m)
{
	uint64_t base[MADE_LAYERS_MAX + 1] = {0}, blocks = 0;
	int fd = memfd_create("meta", MFD_CLOEXEC);

	for (size_t i = 0; i < m->n; i++) {
		base[i + 1] = blocks;
		blocks += m->layers[i].blocks;
	}
	struct meta_plan plan = {.base = base, .data_blocks = blocks};
	int r = meta_write(&m->tree, &plan, fd, &m->meta, &m->e);
	assert(r == 0);
	append_file(&m->disk, fd);
	assert(m->disk.len == m->meta.bytes && m->disk.len % EROFS_BLOCK_BYTES == 0);
	for (size_t i = 0; i < m->n; i++)
		append_file(&m->disk, m->data[i]);
	assert(m->disk.len == m->meta.bytes + blocks * EROFS_BLOCK_BYTES);
	(void)close(fd);
}

void made_free(struct made *m)
{
	for (size_t i = 0; i < m->n; i++) {
		(void)close(m->data[i]);
		(void)close(m->index[i]);
	}
	tree_free(&m->tree);
	bytes_free(&m->disk);
}
