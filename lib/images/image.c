/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - images by name: got, made, named, removed. list.c says what there is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/images/store.h"

enum { TRIES_MAX = 4 };

/* What a call that makes an image works with. */
struct call {
	struct image_work w;
	struct image_watch watch;
	conker_image_opts o;
};

static int call_begin(struct call *c, const char *name, const conker_image_opts *opts,
		      struct err *e)
{
	*c = (struct call){.w = {.store = -1, .fd = -1}};
	int r = opts ? opts_in(&c->o, sizeof(c->o), opts, e) : 0;

	if (r == 0)
		r = api_may_wait(e);
	if (r < 0)
		return r;
	c->watch.o = &c->o;
	c->watch.now.name = name;
	return work_begin(&c->w, e);
}

/* The layers that are whole are kept for the next time, if it was the user who did not want to wait. */
static int call_end(struct call *c, int r)
{
	if (r == -ECANCELED || r == -EINTR)
		publish_layers(&c->w);
	work_end(&c->w);
	return r;
}

/* ---- making -------------------------------------------------------------------------------------------- */

/* A disk that is full may have made the program say something else. */
static int make_and_publish(struct call *c, int input, const char *name, struct err *e)
{
	int r = image_make(&c->w, input, &c->watch, e);

	if (r < 0)
		return r;
	c->watch.now.step = CONKER_IMAGE_PUBLISH;
	c->watch.now.done_bytes = c->watch.now.total_bytes = 0;
	r = image_tell(&c->watch, e);
	return r < 0 ? r : publish(&c->w, name, e);
}

/* Somebody may have removed a layer that the image was made on: then that is made, too. */
static int make_until_published(struct call *c, int input, const char *name, struct err *e)
{
	int r = make_and_publish(c, input, name, e);

	for (int i = 1; r == -ERESTART && i < TRIES_MAX; i++) {
		publish_layers(&c->w);
		/* A directory is at its beginning always. */
		if (lseek(input, 0, SEEK_SET) < 0)
			break;
		r = make_and_publish(c, input, name, e);
	}
	return r == -ERESTART ? err_set(e, EAGAIN, "a layer was removed meanwhile; try again") : r;
}

/* ---- import -------------------------------------------------------------------------------------------- */

static int is_layout(int dir)
{
	return faccessat(dir, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	       faccessat(dir, "index.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Of those that are not read here; who has the file has the program, too. */
static int check_compression(int fd, struct err *e)
{
	static const struct {
		const char *magic, *program;
	} known[] = {{"\xfd"
		      "7zXZ",
		      "xz"},
		     {"BZh", "bzip2"},
		     {"LZIP", "lzip"}};
	char head[6] = "";

	if (pread(fd, head, sizeof(head) - 1, 0) < 0)
		return 0; /* a pipe */
	for (size_t i = 0; i < countof(known); i++)
		if (strncmp(head, known[i].magic, strlen(known[i].magic)) == 0)
			return err_set(
				e, EOPNOTSUPP,
				"it is compressed by %s, which is not read here; `%s -dc FILE | "
				"conker image import NAME -` does it",
				known[i].program, known[i].program);
	return 0;
}

static int open_input(struct call *c, const char *path, struct err *e)
{
	struct stat st;

	if (strcmp(path, "-") == 0) {
		int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? err_errno(e, "standard input") : fd;
	}
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode) && !is_layout(fd))
		return image_pack(&c->w, path, &c->watch, e);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(e, EINVAL, "it is neither a directory nor an archive");
	int r = check_compression(fd, e);
	return r < 0 ? r : take_fd(fd);
}

int conker_image_import(const char *name, const char *path, const conker_image_opts *opts)
{
	struct err *e = api_enter();
	struct call c;

	if (!name || !path)
		return err_set(e, EINVAL, "no name or no path given");
	int r = name_check("image", name, e);
	if (r < 0)
		return r;
	r = call_begin(&c, name, opts, e);
	auto_close int input = r < 0 ? r : open_input(&c, path, e);
	if (r == 0)
		r = min_(input, 0);
	if (r == 0)
		r = make_until_published(&c, input, name, e);
	r = call_end(&c, r);
	return r < 0 ? err_wrap(e, api_descriptors(r, e), "import '%s' as image '%s'", path, name)
		     : 0;
}

/* ---- pull ---------------------------------------------------------------------------------------------- */

static int is_of_manifest(int dir, const char *id, const char *manifest)
{
	auto_free struct made *m = malloc(sizeof(*m));

	return m && made_load(dir, id, m, NULL) == 0 && strcmp(m->manifest, manifest) == 0;
}

/* Whether the name has the image of that manifest already, whole. */
static int is_here(const char *name, const char *manifest)
{
	struct opened_image i;

	if (image_open(name, &i, NULL) < 0)
		return 0;
	auto_close int dir = open(i.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int here = dir >= 0 && *i.id && is_of_manifest(dir, i.id, manifest);
	image_close(&i);
	return here;
}

/* Of the layout that fetch() left, whose index.json is ours; "": it cannot be told. */
static void layout_manifest(int layout, char ret[SHA256_TEXT_BYTES])
{
	char index[1024];
	const char *at = strstr(dir_slurp(layout, "index.json", index, sizeof(index)), "\"sha256:");

	ret[0] = 0;
	if (at && sha256_is_at(at + sizeof("sha256:")))
		(void)snprintf(ret, SHA256_TEXT_BYTES, "%.64s", at + sizeof("sha256:"));
}

static int pull(struct call *c, const struct reference *ref, struct err *e)
{
	char manifest[SHA256_TEXT_BYTES];
	int r = fetch(&c->w, ref, &c->watch, e);

	if (r < 0)
		return r;
	auto_close int layout = store_sub_there(c->w.fd, "layout");
	if (layout < 0)
		return err_set(e, -layout, "what was fetched: %s", strerror(-layout));
	layout_manifest(layout, manifest);
	if (*manifest && is_here(ref->full, manifest))
		return 0;
	r = make_until_published(c, layout, ref->full, e);
	if (r == -EBADMSG)
		fetch_distrust(&c->w);
	return r;
}

int conker_image_pull(const char *ref, const conker_image_opts *opts)
{
	struct err *e = api_enter();
	struct reference parsed;
	struct call c;

	if (!ref)
		return err_set(e, EINVAL, "no reference given");
	int r = reference_parse(ref, &parsed, e);
	if (r < 0)
		return r;
	r = call_begin(&c, parsed.full, opts, e);
	if (r == 0)
		r = pull(&c, &parsed, e);
	r = call_end(&c, r);
	return r < 0 ? err_wrap(e, api_descriptors(r, e), "pull '%s'", parsed.full) : 0;
}

/* ---- names --------------------------------------------------------------------------------------------- */

static int tag(const struct image_work *w, const char *image, const char *name, struct err *e)
{
	char full[IMAGE_BYTES], id[IMAGE_ID_BYTES];
	auto_close int locked = dir_lock(w->store, e);
	int r = locked < 0 ? locked : image_find(w->store, image, full, id, e);

	if (r < 0)
		return r;
	if (!*id)
		return err_set(e, EOPNOTSUPP,
			       "image '%s' is a single file, which has one name; import it again",
			       full);
	return name_bind(w, name, id, e);
}

int conker_image_tag(const char *image, const char *name)
{
	struct err *e = api_enter();
	struct image_work w;

	if (!image || !name)
		return err_set(e, EINVAL, "no image or no name given");
	int r = name_check("image", name, e);
	if (r < 0)
		return r;
	r = work_begin(&w, e);
	if (r == 0)
		r = tag(&w, image, name, e);
	work_end(&w);
	return r < 0 ? err_wrap(e, r, "tag image '%s'", image) : 0;
}

/* With the store locked. */
static int name_remove(int store, const char *name, const char *id, struct err *e)
{
	char path[LINK_PATH_BYTES];

	if (!*id && former_file(name, path) < 0)
		return err_set(e, EINVAL, "image '%s'", name);
	if (*id && link_path(name, path) < 0)
		return err_set(e, EINVAL, "image '%s'", name);
	if (unlinkat(store, path, 0) < 0)
		return errno == ENOENT ? err_set(e, ENOENT, "image '%s' is built in", name)
				       : err_errno(e, "remove image '%s'", name);
	return *id ? image_collect(store, id, e) : 0;
}

int conker_image_remove(const char *name)
{
	struct err *e = api_enter();
	char full[IMAGE_BYTES], id[IMAGE_ID_BYTES];

	if (!name)
		return err_set(e, EINVAL, "no name given");
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	auto_close int locked = dir_lock(store, e);
	int r = locked < 0 ? locked : image_find(store, name, full, id, e);
	return r < 0 ? r : name_remove(store, full, id, e);
}

int conker_image_resolve(const char *image, char ret[256])
{
	struct err *e = api_enter();
	char id[IMAGE_ID_BYTES];

	if (!image || !ret)
		return err_set(e, EINVAL, "no image given");
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	int r = image_find(store, image, ret, id, e);
	if (r == -ENOENT && *ret) {
		(void)api_enter();
		return 0;
	}
	return r < 0 ? r : 1;
}

/* ---- room ---------------------------------------------------------------------------------------------- */

int conker_image_prune(uint32_t flags, int64_t older_s, uint64_t *ret_bytes)
{
	struct err *e = api_enter();
	/* Not today's second: the clock of files may be ahead of ours. */
	int64_t before_s = older_s > 0 ? time(NULL) - older_s : INT64_MAX;
	uint64_t bytes = 0;

	if (flags & ~(uint32_t)CONKER_PRUNE_ALL)
		return err_set(e, EINVAL, "flags %#x", flags);
	auto_close int store = place_images(e);
	if (store < 0)
		return store;
	auto_close int locked = dir_lock(store, e);
	if (locked < 0)
		return locked;
	works_sweep(store);
	int r = blobs_prune(store, before_s, 1, &bytes);
	if (r < 0)
		return err_set(e, -r, "remove blobs: %s", strerror(-r));
	r = images_prune(store, (flags & CONKER_PRUNE_ALL) != 0, before_s, &bytes, e);
	if (ret_bytes)
		*ret_bytes = bytes;
	return r;
}
