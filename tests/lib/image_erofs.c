/* SPDX-License-Identifier: Apache-2.0 */
/* image_erofs.c - see image_erofs.h. */
#include "tests/lib/image_erofs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 4096, INODE = 64, DIRENT = 12, DEPTH_MAX = 300 };

static uint64_t le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static const uint8_t *at(const struct erofs_disk *d, uint64_t pos, uint64_t len)
{
	assert(pos <= d->len && len <= d->len - pos);
	return d->p + pos;
}

uint64_t erofs_root_nid(const struct erofs_disk *d)
{
	const uint8_t *sb = at(d, 1024, 128);

	assert(le(sb, 4) == 0xe0f5e1e2 && sb[12] == 12);
	assert(le(sb + 36, 4) * BLOCK == d->len);
	return le(sb + 14, 2);
}

static const uint8_t *inode_at(const struct erofs_disk *d, uint64_t nid)
{
	assert(nid * 32 % BLOCK + INODE <= BLOCK);
	return at(d, nid * 32, INODE);
}

static void inode_stat(const struct erofs_disk *d, uint64_t nid, struct erofs_stat *s)
{
	const uint8_t *i = inode_at(d, nid);
	unsigned format = (unsigned)le(i, 2);

	assert((format & 1) == 1 && format < 16);
	*s = (struct erofs_stat){
		.nid = nid,
		.layout = format >> 1,
		.mode = (uint32_t)le(i + 4, 2),
		.size = le(i + 8, 8),
		.rdev = (uint32_t)le(i + 16, 4),
		.uid = (uint32_t)le(i + 24, 4),
		.gid = (uint32_t)le(i + 28, 4),
		.mtime_s = (int64_t)le(i + 32, 8),
		.mtime_ns = (uint32_t)le(i + 40, 4),
		.nlink = (uint32_t)le(i + 44, 4),
	};
	assert(s->size <= INT64_MAX && s->mtime_ns < 1000000000 && s->nlink > 0);
}

static uint64_t xattrs_bytes(const struct erofs_disk *d, uint64_t nid)
{
	uint64_t n = le(inode_at(d, nid) + 2, 2);

	assert(n != 1); /* Linux knows no head without entries */
	return n ? 12 + 4 * (n - 1) : 0;
}

/* ---- data ------------------------------------------------------------------------------------------------- */

/* The block b of a file; NULL: a hole. */
static const uint8_t *block_of(const struct erofs_disk *d, const struct erofs_stat *s, uint64_t b)
{
	uint64_t behind = s->nid * 32 + INODE + xattrs_bytes(d, s->nid), n = s->size - b * BLOCK;

	if (n > BLOCK)
		n = BLOCK;
	if (s->layout == 0)
		return at(d, (s->rdev + b) * BLOCK, BLOCK);
	if (s->layout == 2) {
		if (b < (s->size - 1) / BLOCK)
			return at(d, (s->rdev + b) * BLOCK, BLOCK);
		assert(behind % BLOCK + n <= BLOCK);
		return at(d, behind, n);
	}
	assert(s->layout == 4 && (s->rdev & ~0x1fU) == 0);
	uint64_t chunk = b >> s->rdev, block = le(at(d, (behind + 3) / 4 * 4 + 4 * chunk, 4), 4);
	if (block == UINT32_MAX)
		return NULL;
	return at(d, (block + (b - (chunk << s->rdev))) * BLOCK, BLOCK);
}

size_t erofs_read(const struct erofs_disk *d, const struct erofs_stat *s, void *buf, size_t room)
{
	size_t done = 0;

	while (done < room && done < s->size) {
		size_t in = done % BLOCK, n = BLOCK - in;
		const uint8_t *p = block_of(d, s, done / BLOCK);

		n = n > room - done ? room - done : n;
		n = n > s->size - done ? (size_t)(s->size - done) : n;
		if (p)
			memcpy((uint8_t *)buf + done, p + in, n);
		else
			memset((uint8_t *)buf + done, 0, n);
		done += n;
	}
	return done;
}

/* ---- directories ------------------------------------------------------------------------------------------- */

typedef int dir_fn(void *arg, const char *name, uint64_t nid, unsigned type);

static size_t name_len(const uint8_t *block, size_t i, size_t n, size_t size, size_t from)
{
	size_t end = i + 1 < n ? (size_t)le(block + DIRENT * (i + 1) + 8, 2) : size;

	assert(from < end && end <= size);
	return strnlen((const char *)block + from, end - from);
}

/* Until fn says nonzero, which is returned. */
static int dir_each(const struct erofs_disk *d, const struct erofs_stat *dir, dir_fn *fn, void *arg)
{
	char name[256], last[256] = "";
	int r = 0;

	assert(S_ISDIR(dir->mode) && dir->size > 0);
	for (uint64_t b = 0; b * BLOCK < dir->size && r == 0; b++) {
		size_t size =
			dir->size - b * BLOCK < BLOCK ? (size_t)(dir->size - b * BLOCK) : BLOCK;
		const uint8_t *block = block_of(d, dir, b);
		size_t first = (size_t)le(block + 8, 2), n = first / DIRENT;

		assert(first > 0 && first < size && first % DIRENT == 0);
		for (size_t i = 0; i < n && r == 0; i++) {
			size_t from = (size_t)le(block + DIRENT * i + 8, 2);
			size_t len = name_len(block, i, n, size, from);

			assert(len > 0 && len < sizeof(name));
			memcpy(name, block + from, len);
			name[len] = 0;
			assert(strcmp(last, name) < 0);
			memcpy(last, name, len + 1);
			r = fn(arg, name, le(block + DIRENT * i, 8), block[DIRENT * i + 10]);
		}
	}
	return r;
}

struct wanted {
	const char *name;
	uint64_t nid;
};

static int is_wanted(void *arg, const char *name, uint64_t nid, unsigned type)
{
	struct wanted *w = arg;

	(void)type;
	w->nid = nid;
	return strcmp(w->name, name) == 0;
}

int erofs_stat(const struct erofs_disk *d, const char *path, struct erofs_stat *ret)
{
	char buf[4096], *rest = buf, *name;

	(void)snprintf(buf, sizeof(buf), "%s", path);
	inode_stat(d, erofs_root_nid(d), ret);
	while ((name = strsep(&rest, "/"))) {
		struct wanted w = {.name = name};

		if (!*name)
			continue;
		if (!S_ISDIR(ret->mode) || !dir_each(d, ret, is_wanted, &w))
			return 0;
		inode_stat(d, w.nid, ret);
	}
	return 1;
}

/* ---- attributes -------------------------------------------------------------------------------------------- */

int erofs_getxattr(const struct erofs_disk *d, const struct erofs_stat *s, const char *name,
		   void *buf, size_t room, size_t *ret_len)
{
	static const char *const prefix[] = {[1] = "user.", [4] = "trusted.", [6] = "security."};
	uint64_t bytes = xattrs_bytes(d, s->nid), pos = s->nid * 32 + INODE + 12,
		 end = pos + bytes - 12;
	char full[300];

	while (bytes && pos < end) {
		const uint8_t *e = at(d, pos, 4);
		size_t len = (size_t)le(e + 2, 2);

		assert(e[1] < 7 && prefix[e[1]] && e[0] > 0);
		(void)snprintf(full, sizeof(full), "%s%.*s", prefix[e[1]], e[0],
			       (const char *)at(d, pos + 4, e[0]));
		assert(pos + 4 + e[0] + len <= end);
		if (strcmp(full, name) == 0) {
			assert(len <= room);
			memcpy(buf, at(d, pos + 4 + e[0], len), len);
			*ret_len = len;
			return 1;
		}
		pos += (4 + e[0] + len + 3) / 4 * 4;
	}
	assert(!bytes || pos == end);
	return 0;
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

struct walk {
	const struct erofs_disk *d;
	uint64_t self, parent;
	size_t names, dots;
	uint32_t dirs;
	int depth;
};

static unsigned type_of(uint32_t mode)
{
	static const uint32_t types[] = {0,       S_IFREG, S_IFDIR,  S_IFCHR,
					 S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK};
	unsigned t = 1;

	while (t < 7 && types[t] != (mode & S_IFMT))
		t++;
	return t;
}

static int check_name(void *arg, const char *name, uint64_t nid, unsigned type);

static void check_dir(struct walk *w, const struct erofs_stat *s, uint64_t parent)
{
	struct walk in = {.d = w->d, .self = s->nid, .parent = parent, .depth = w->depth + 1};

	assert(in.depth < DEPTH_MAX);
	(void)dir_each(w->d, s, check_name, &in);
	assert(in.dots == 2 && s->nlink == 2 + in.dirs);
	w->names += in.names;
}

static void check_data(const struct erofs_disk *d, const struct erofs_stat *s)
{
	uint8_t buf[BLOCK];
	size_t len;

	assert(!erofs_getxattr(d, s, "no.such", buf, sizeof(buf), &len));
	if (S_ISLNK(s->mode)) {
		assert(s->size > 0 && s->size < BLOCK);
		assert(erofs_read(d, s, buf, sizeof(buf)) == s->size &&
		       !memchr(buf, 0, (size_t)s->size));
	}
	if (!S_ISREG(s->mode))
		return;
	for (uint64_t b = 0; b * BLOCK < s->size && b < 1 << 16; b++)
		(void)block_of(d, s, b);
}

static int check_name(void *arg, const char *name, uint64_t nid, unsigned type)
{
	struct walk *w = arg;
	struct erofs_stat s;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		assert(nid == (name[1] ? w->parent : w->self) && type == 2);
		w->dots++;
		return 0;
	}
	assert(!strchr(name, '/'));
	inode_stat(w->d, nid, &s);
	assert(type == type_of(s.mode));
	w->names++;
	w->dirs += S_ISDIR(s.mode);
	if (S_ISDIR(s.mode))
		check_dir(w, &s, w->self);
	else
		check_data(w->d, &s);
	return 0;
}

size_t erofs_check(const struct erofs_disk *d)
{
	struct walk w = {.d = d};
	struct erofs_stat root;

	inode_stat(d, erofs_root_nid(d), &root);
	check_dir(&w, &root, root.nid);
	return w.names;
}
