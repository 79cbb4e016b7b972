/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.c - what a reference names in its registry, as an OCI layout.
 *
 *	which	the manifest, through an index if there is one: by digest from the store, else from the registry
 *	what	its blobs, and their sizes; those that the store has are linked into the layout
 *	room	for what lacks is looked for before the first byte of it
 *	copy	skopeo fetches what lacks into the layout, by the manifest's digest; each blob that is whole is the
 *		store's at once, so that whoever is interrupted goes on from there
 *	layout	index.json, with the manifest as the registry has it
 *
 * So nothing is asked for a digest that is here with all its blobs, and a tag costs one question.
 *
 * skopeo's own index.json is not used: it makes an OCI manifest of one of Docker's, whose digest and configuration are
 * others than the registry's. Of its layout only the blobs count that the registry's manifest names. The configuration of such an image
 * is asked for by itself.
 *
 * The digests of documents are checked here, for decisions hang on them; skopeo checks those of what it fetches; and whoever
 * unpacks a layer does again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "util/io.h"
#include "util/num.h"

enum {
	INDICES_MAX = 3,         /* that lead to each other */
	SILENCE_MAX_MS = 180000, /* a slow disk may be silent for a while, too */
	NAME_MAX_BYTES = 16 + IMAGE_BYTES + SHA256_TEXT_BYTES,
	LOCAL_MAX_BYTES = 512,
};

#define DEFAULT_PLATFORM "linux/amd64"
#define PARTIAL_PREFIX   "oci-put-blob"

struct fetching {
	const struct image_work *w;
	const struct reference *ref;
	struct image_watch *watch;
	struct err *e;
	int auth;
	struct blobs blobs;
	char manifest[SHA256_TEXT_BYTES];
	struct plan plan;
	int64_t heard_ms; /* when there was more than before */
};

/* ---- progress ------------------------------------------------------------------------------------------ */

/* What skopeo has of blobs that are not whole. */
static uint64_t partial_bytes(const struct fetching *f)
{
	auto_dir *d = dir_stream(f->w->fd, "layout");
	struct dirent *de;
	uint64_t sum = 0;

	while (d && (de = readdir(d)))
		if (strncmp(de->d_name, PARTIAL_PREFIX, sizeof(PARTIAL_PREFIX) - 1) == 0)
			sum += (uint64_t)max_(blob_bytes(dirfd(d), de->d_name), (int64_t)0);
	return sum;
}

/* What is whole goes into the store. The bytes of what is here. */
static uint64_t keep_whole(struct fetching *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->plan.n; i++) {
		struct plan_blob *b = &f->plan.blob[i];

		if (!b->kept && blob_bytes(f->blobs.layout, b->hex) == (int64_t)b->bytes) {
			blob_keep(&f->blobs, b->hex);
			b->kept = 1;
		}
		sum += b->kept ? b->bytes : 0;
	}
	return sum;
}

static int fetch_tick(void *arg, struct err *e)
{
	struct fetching *f = arg;
	conker_image_progress *now = &f->watch->now;

	if (now->step == CONKER_IMAGE_FETCH) {
		uint64_t sum = keep_whole(f) + partial_bytes(f);

		sum = min_(sum, f->plan.total);
		if (sum > now->done_bytes)
			f->heard_ms = now_ms();
		now->done_bytes = max_(sum, now->done_bytes); /* another try begins anew */
	}
	if (now_ms() - f->heard_ms > SILENCE_MAX_MS)
		return err_set(e, ETIMEDOUT, "%.*s: nothing came for %d seconds",
			       (int)f->ref->domain_len, f->ref->full, SILENCE_MAX_MS / 1000);
	return image_tell(f->watch, e);
}

static int fetch_step(struct fetching *f, enum conker_image_step step, uint64_t done)
{
	f->watch->now.step = step;
	f->watch->now.done_bytes = done;
	f->watch->now.total_bytes = step == CONKER_IMAGE_FETCH ? f->plan.total : 0;
	f->heard_ms = now_ms();
	return image_tell(f->watch, f->e);
}

static int fetch_skopeo(struct fetching *f, const char *const *args, int out)
{
	struct skopeo s = {.w = f->w, .ref = f->ref, .auth = f->auth, .tick = fetch_tick, .arg = f};

	return skopeo_run(&s, args, out, f->e);
}

/* ---- documents: indices, manifests, configurations ------------------------------------------------------- */

/* The name in the registry; by a digest unless that is "". */
static void name_in_registry(const struct fetching *f, const char *hex, char ret[NAME_MAX_BYTES])
{
	if (*hex)
		(void)snprintf(ret, NAME_MAX_BYTES, "docker://%.*s@sha256:%s",
			       (int)f->ref->repository_len, f->ref->full, hex);
	else
		(void)snprintf(ret, NAME_MAX_BYTES, "docker://%s", f->ref->full);
}

/* With its digest, in hex; which it must be if hex has one already. */
static int document_take(struct fetching *f, int out, char hex[SHA256_TEXT_BYTES])
{
	char sum[SHA256_TEXT_BYTES];
	auto_free char *text = NULL;
	ssize_t n = run_output_take(out, &text, f->e);
	struct sha256 s;

	if (n < 0)
		return (int)n;
	sha256_init(&s);
	sha256_add(&s, text, (size_t)n);
	sha256_end(&s, sum);
	if (*hex && strcmp(hex, sum) != 0)
		return err_set(f->e, EBADMSG, "the registry answers sha256:%s with sha256:%s", hex,
			       sum);
	memcpy(hex, sum, sizeof(sum));
	return blob_put(&f->blobs, hex, text, (size_t)n, f->e);
}

/* of: what hex is of; NULL: what is asked for is the document of this digest itself. */
static int document_fetch(struct fetching *f, const char *of, char hex[SHA256_TEXT_BYTES])
{
	char name[NAME_MAX_BYTES];
	const char *args[8];
	size_t n = 0;
	auto_close int out = run_output(BLOB_SMALL_MAX, f->e);

	if (out < 0)
		return out;
	name_in_registry(f, of ? of : hex, name);
	args[n++] = "inspect";
	args[n++] = "--raw";
	if (of)
		args[n++] = "--config";
	if (f->auth >= 0) {
		args[n++] = "--authfile";
		args[n++] = SKOPEO_AUTH;
	}
	args[n++] = name;
	args[n] = NULL;
	int r = fetch_skopeo(f, args, out);
	return r < 0 ? r : document_take(f, out, hex);
}

static int document_plan(struct fetching *f, const char *hex)
{
	const char *platform = f->watch->o->platform;
	auto_close int fd = openat(f->blobs.layout, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_errno(f->e, "open what the registry said");
	return plan_ask(fd, platform ? platform : DEFAULT_PLATFORM, fetch_tick, f, &f->plan, f->e);
}

/* The manifest that is meant, and its plan. */
static int resolve(struct fetching *f)
{
	char hex[SHA256_TEXT_BYTES] = "";

	if (f->ref->has_digest)
		memcpy(hex, strchr(f->ref->full, '@') + strlen("@sha256:"), sizeof(hex));
	for (int i = 0; i <= INDICES_MAX; i++) {
		int r = *hex && blob_take_checked(&f->blobs, hex) ? 0
								  : document_fetch(f, NULL, hex);
		if (r == 0)
			r = document_plan(f, hex);
		if (r < 0)
			return r;
		if (!f->plan.next[0]) {
			memcpy(f->manifest, hex, sizeof(hex));
			return 0;
		}
		memcpy(hex, f->plan.next, sizeof(hex));
	}
	return err_set(f->e, ELOOP, "more than %d indices in each other", INDICES_MAX);
}

/* ---- room ---------------------------------------------------------------------------------------------- */

static uint64_t mib(uint64_t bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

/* "20G": bytes, K, M, G or T. */
static int size_parse(const char *s, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *at = s, *unit;
	unsigned shift = 0;

	if (num_take(&at, NULL, 10, UINT64_MAX, ret) < 0)
		return -EINVAL;
	if (*at) {
		unit = strchr(units, *at);
		if (!unit || at[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (*ret > UINT64_MAX >> shift)
		return -EINVAL;
	*ret <<= shift;
	return 0;
}

static int check_allowed(const struct fetching *f)
{
	static const char var[] = "CONKER_IMAGES_MAX";
	const char *s = getenv(var);
	uint64_t max;

	if (!s || !*s)
		return 0;
	if (size_parse(s, &max) < 0)
		return err_set(f->e, EINVAL, "%s: '%s' is not a size: digits, and K, M, G or T",
			       var, s);
	if (f->plan.total <= max)
		return 0;
	return err_set(f->e, ENOSPC, "the image has %" PRIu64 " MiB, compressed, and %s allows %s",
		       mib(f->plan.total), var, s);
}

static int check_free(const struct fetching *f, uint64_t here)
{
	struct statvfs vfs;
	uint64_t lacks = f->plan.total - here;

	if (fstatvfs(f->w->store, &vfs) < 0)
		return 0;
	uint64_t room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (lacks <= room)
		return 0;
	return err_set(f->e, ENOSPC,
		       "%" PRIu64 " MiB are to be fetched, and the images' file system has %" PRIu64
		       " MiB left",
		       mib(lacks), mib(room));
}

/* ---- blobs --------------------------------------------------------------------------------------------- */

/* Links what the store has. The bytes of that. */
static uint64_t take_kept(struct fetching *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->plan.n; i++) {
		struct plan_blob *b = &f->plan.blob[i];

		b->kept = blob_take(&f->blobs, b->hex, b->bytes);
		sum += b->kept ? b->bytes : 0;
	}
	return sum;
}

/* skopeo writes a manifest in place, which would be into the store's file. */
static int manifest_aside(struct fetching *f, int back)
{
	static const char aside[] = "layout/manifest";
	int r = back ? renameat(f->w->fd, aside, f->blobs.layout, f->manifest)
		     : renameat(f->blobs.layout, f->manifest, f->w->fd, aside);

	return r < 0 ? err_errno(f->e, "put the manifest aside") : 0;
}

static int copy_blobs(struct fetching *f)
{
	char name[NAME_MAX_BYTES];
	const char *args[12];
	size_t n = 0;

	name_in_registry(f, f->manifest, name);
	args[n++] = "copy";
	args[n++] = "--retry-times=3";
	args[n++] = "--dest-oci-accept-uncompressed-layers";
	if (f->auth >= 0) {
		args[n++] = "--src-authfile";
		args[n++] = SKOPEO_AUTH;
	}
	args[n++] = name;
	args[n++] = "oci:" SKOPEO_WORK "/layout:latest";
	args[n] = NULL;
	int r = manifest_aside(f, 0);
	if (r == 0)
		r = fetch_skopeo(f, args, -1);
	(void)keep_whole(f);
	return r < 0 ? r : manifest_aside(f, 1);
}

/* A configuration that skopeo has changed on its way. */
static int fetch_config(struct fetching *f)
{
	struct plan_blob *config = &f->plan.blob[0];

	return config->kept ? 0 : document_fetch(f, f->manifest, config->hex);
}

static int check_whole(const struct fetching *f)
{
	for (size_t i = 0; i < f->plan.n; i++) {
		const struct plan_blob *b = &f->plan.blob[i];

		if (blob_bytes(f->blobs.layout, b->hex) != (int64_t)b->bytes)
			return err_set(f->e, EBADMSG,
				       "sha256:%s is not in the registry, or not with the %" PRIu64
				       " bytes that the manifest says",
				       b->hex, b->bytes);
	}
	return 0;
}

static int all_kept(const struct fetching *f)
{
	size_t i = 0;

	while (i < f->plan.n && f->plan.blob[i].kept)
		i++;
	return i == f->plan.n;
}

static int fetch_blobs(struct fetching *f)
{
	uint64_t here = take_kept(f);
	int r;

	if (all_kept(f))
		return fetch_step(f, CONKER_IMAGE_FETCH, here);
	r = check_allowed(f);
	if (r == 0)
		r = check_free(f, here);
	if (r == 0)
		r = fetch_step(f, CONKER_IMAGE_FETCH, here);
	if (r == 0)
		r = copy_blobs(f);
	if (r == 0)
		r = fetch_config(f);
	if (r == 0)
		r = check_whole(f);
	return r < 0 ? r : fetch_step(f, CONKER_IMAGE_FETCH, f->plan.total);
}

/* ---- the layout ---------------------------------------------------------------------------------------- */

static int text_put(const struct fetching *f, const char *name, const char *text)
{
	(void)unlinkat(f->w->fd, name, 0);
	auto_close int fd = openat(f->w->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_write_all(fd, text, strlen(text));

	return r < 0 ? err_set(f->e, -r, "write '%s': %s", name, strerror(-r)) : 0;
}

static int layout_put(const struct fetching *f)
{
	char text[LOCAL_MAX_BYTES];
	int r = text_put(f, "layout/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}\n");

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text),
		       "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
		       "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\","
		       "\"size\":%" PRId64 "}]}\n",
		       f->manifest, blob_bytes(f->blobs.layout, f->manifest));
	return text_put(f, "layout/index.json", text);
}

int fetch(const struct image_work *w, const struct reference *ref, struct image_watch *watch,
	  struct err *e)
{
	const char *creds = watch->o->creds;
	auto_close int auth = creds ? skopeo_auth(creds, ref, e) : -1;

	if (creds && auth < 0)
		return auth;
	auto_free struct fetching *f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(e, ENOMEM, "no memory to fetch an image");
	f->w = w;
	f->ref = ref;
	f->watch = watch;
	f->e = e;
	f->auth = auth;
	int r = blobs_open(w, &f->blobs, e);
	if (r < 0)
		return r;
	r = fetch_step(f, CONKER_IMAGE_RESOLVE, 0);
	if (r == 0)
		r = resolve(f);
	if (r == 0)
		r = fetch_blobs(f);
	if (r == 0)
		r = layout_put(f);
	blobs_close(&f->blobs);
	return r;
}

void fetch_distrust(const struct image_work *w)
{
	struct blobs b;

	if (blobs_open(w, &b, NULL) < 0)
		return;
	auto_dir *d = dir_stream(b.layout, ".");
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (sha256_is_at(de->d_name))
			(void)unlinkat(b.kept, de->d_name, 0);
	blobs_close(&b);
}
