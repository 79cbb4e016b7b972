/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - the files that a snapshot refers to, and the host that it fits.
 *
 * A file is known by its identity (device, inode, size, time of change): a restore compares that and reads nothing.
 * Where it differs, because a directory was copied or an image installed anew, the checksum decides. Checksums are
 * kept in the cache under the identity that they belong to.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "util/io.h"

int identity_of(int fd, struct identity *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct identity){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec,
	};
	return 0;
}

int identity_same(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size_bytes == b->size_bytes &&
	       a->mtime_ns == b->mtime_ns;
}

int layer_of(int fd, char *path, int ro, struct layer *ret)
{
	*ret = (struct layer){.path = path, .ro = ro};
	return identity_of(fd, &ret->is);
}

/* ---- checksums ----------------------------------------------------------------------------------------- */

enum { CHUNK_BYTES = 256 << 10, PAGE_BYTES = 4096 };

/* Pages that are not all zeroes, each with its place: the same for a file with holes and its copy without. */
static void add_pages(struct sha256 *s, const uint8_t *buf, size_t len, uint64_t at)
{
	for (size_t i = 0; i < len; i += PAGE_BYTES) {
		size_t n = min_(len - i, (size_t)PAGE_BYTES);
		uint64_t place = at + i;

		if (io_is_zero(buf + i, n))
			continue;
		sha256_add(s, &place, sizeof(place));
		sha256_add(s, buf + i, n);
	}
}

static int sum_file(int fd, int sparse, char ret[SHA256_TEXT_BYTES])
{
	auto_free uint8_t *buf = malloc(CHUNK_BYTES);
	struct sha256 s;
	off_t at = 0, data;
	ssize_t n = 0;

	if (!buf)
		return -ENOMEM;
	sha256_init(&s);
	for (;; at += n) {
		data = sparse ? lseek(fd, at, SEEK_DATA) : at;
		if (data < 0 && errno == ENXIO)
			break; /* nothing but a hole is left */
		/* Whole pages, wherever the file system lets data begin. */
		at = max_(at, data & ~(off_t)(PAGE_BYTES - 1));
		n = pread(fd, buf, CHUNK_BYTES, at);
		if (n <= 0)
			break;
		if (sparse)
			add_pages(&s, buf, (size_t)n, (uint64_t)at);
		else
			sha256_add(&s, buf, (size_t)n);
	}
	/* auto_free is unknown to it: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	sha256_end(&s, ret);
	return n < 0 ? -errno : 0;
}

int layer_sum_sparse(int fd, char ret[SHA256_TEXT_BYTES])
{
	return sum_file(fd, 1, ret);
}

static int cached_sum(int cache, const char *name, char ret[SHA256_TEXT_BYTES])
{
	auto_close int fd = openat(cache, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, SHA256_TEXT_BYTES);

	if (n < SHA256_TEXT_BYTES - 1)
		return -ENOENT;
	ret[SHA256_TEXT_BYTES - 1] = 0;
	return sha256_is_at(ret) ? 0 : -ENOENT;
}

/* What cannot be kept is computed again. */
static void keep_sum(int cache, const char *name, const char *sum)
{
	char beside[128];

	(void)snprintf(beside, sizeof(beside), "%s.%d", name, (int)getpid());
	auto_close int fd = openat(cache, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (io_write_all(fd, sum, SHA256_TEXT_BYTES - 1) < 0 ||
	    renameat(cache, beside, cache, name) < 0)
		(void)unlinkat(cache, beside, 0);
}

int layer_sum(int fd, const struct identity *is, char ret[SHA256_TEXT_BYTES])
{
	auto_close int cache = place_cache("sums", NULL);
	struct identity after = {0};
	char name[96];

	(void)snprintf(name, sizeof(name), "%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64, is->dev,
		       is->ino, is->size_bytes, is->mtime_ns);
	if (cache >= 0 && cached_sum(cache, name, ret) == 0)
		return 0;
	int r = sum_file(fd, 0, ret);
	if (r == 0)
		r = identity_of(fd, &after);
	if (r == 0 && !identity_same(is, &after))
		r = -ESTALE; /* it is being written */
	if (r == 0 && cache >= 0)
		keep_sum(cache, name, ret);
	return r;
}

int layer_check(int fd, const struct layer *l)
{
	char sum[SHA256_TEXT_BYTES];
	struct identity is = {0};
	int r = identity_of(fd, &is);

	if (r < 0)
		return r;
	if (l->is.mtime_ns == 0 || identity_same(&is, &l->is))
		return 0;
	if (!*l->sum || is.size_bytes != l->is.size_bytes)
		return -ESTALE;
	r = *l->path == '/' ? layer_sum(fd, &is, sum) : layer_sum_sparse(fd, sum);
	if (r < 0)
		return r;
	return strcmp(sum, l->sum) == 0 ? 0 : -ESTALE;
}

/* ---- the host ------------------------------------------------------------------------------------------ */

static int kvm_kind(const char **ret)
{
	static const char *const kinds[] = {"pvm", "intel", "amd"};
	char path[64];

	for (size_t i = 0; i < countof(kinds); i++) {
		(void)snprintf(path, sizeof(path), "/sys/module/kvm_%s", kinds[i]);
		*ret = kinds[i];
		if (access(path, F_OK) == 0)
			return 0;
		if (errno != ENOENT)
			return -errno;
	}
	*ret = "other";
	return 0;
}

#ifdef __x86_64__
/* Leaves that a guest's kernel and programs have looked at and rely on, without the bits that tell of the moment:
 * APIC ids, what the operating system has switched on. */
static const struct {
	uint32_t leaf, sub, mask[4]; /* of eax, ebx, ecx, edx */
} leaves[] = {
	{0x0, 0, {0, ~0U, ~0U, ~0U}},         /* the vendor */
	{0x1, 0, {~0U, 0, ~(1U << 27), ~0U}}, /* model; features but OSXSAVE */
	{0x7, 0, {0, ~0U, ~(1U << 4), ~0U}},  /* features but OSPKE */
	{0x7, 1, {~0U, ~0U, ~0U, ~0U}},
	{0xd, 0, {~0U, 0, ~0U, ~0U}}, /* XSAVE: components, largest area */
	{0xd, 1, {~0U, 0, ~0U, ~0U}},
	{0x80000001, 0, {0, 0, ~0U, ~0U}},
	{0x80000007, 0, {0, 0, 0, ~0U}},   /* the TSC never stops */
	{0x80000008, 0, {~0U, ~0U, 0, 0}}, /* widths of addresses */
};

static void identify_cpu(struct manifest *ret)
{
	uint32_t v[countof(leaves)][4] = {0}, name[4][4] = {0}; /* the last row: the end */
	struct sha256 s;

	for (size_t i = 0; i < countof(leaves); i++) {
		(void)__get_cpuid_count(leaves[i].leaf, leaves[i].sub, &v[i][0], &v[i][1], &v[i][2],
					&v[i][3]);
		for (size_t j = 0; j < 4; j++)
			v[i][j] &= leaves[i].mask[j];
	}
	sha256_init(&s);
	sha256_add(&s, v, sizeof(v));
	sha256_end(&s, ret->cpu);
	for (uint32_t i = 0; i < 3; i++)
		(void)__get_cpuid(0x80000002 + i, &name[i][0], &name[i][1], &name[i][2],
				  &name[i][3]);
	(void)snprintf(ret->cpu_name, sizeof(ret->cpu_name), "%s", (const char *)name);
	clean_text(ret->cpu_name);
}
#else
static void identify_cpu(struct manifest *ret)
{
	(void)snprintf(ret->cpu, sizeof(ret->cpu), "unknown");
}
#endif

int host_identify(struct manifest *ret)
{
	const char *kind;
	int r = kvm_kind(&kind);

	if (r < 0)
		return r;
	(void)snprintf(ret->version, sizeof(ret->version), "%s", CONKER_VERSION);
	(void)snprintf(ret->host, sizeof(ret->host), "%s", kind);
	identify_cpu(ret);
	return 0;
}

void host_boot(char ret[BOOT_BYTES])
{
	(void)dir_slurp(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret, BOOT_BYTES);
}
