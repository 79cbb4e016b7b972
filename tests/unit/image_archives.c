/* Rules of image/make.h, oci.h, docker.h and door.h: what an archive is, which image of it is meant, that it is what its
 * digests say, and that nothing half-made stays. Keeper and reader are two processes here, as in the program. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static int made_dir(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	(void)mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void set_up(void)
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

static void tear_down(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	FILE *f = popen(command, "r"); /* NOLINT: a name of ours */
	if (f)
		(void)pclose(f);
	bytes_free(&archive);
}

TestSuite(image_archives, .init = set_up, .fini = tear_down);

/* ---- making archives ---- */

static void file_put(const char *name, const void *data, size_t len)
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

static void hex_of(const void *data, size_t len, char hex[SHA256_TEXT_BYTES])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, data, len);
	sha256_end(&s, hex);
}

static void blob_put(const void *data, size_t len, char hex[SHA256_TEXT_BYTES])
{
	char name[128];

	hex_of(data, len, hex);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.64s", hex);
	file_put(name, data, len);
}

static void layer_make(size_t i, struct bytes *raw)
{
	char name[8], text[32];

	(void)snprintf(name, sizeof(name), "f%zu", i);
	(void)snprintf(text, sizeof(text), "of layer %zu", i);
	tar_file(raw, name, text);
	tar_end(raw);
	hex_of(raw->p, raw->len, diff_id[i]);
}

static void layers_put(void)
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

static size_t config_text(char *text, const char *arch)
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

static void config_put(const char *arch)
{
	char text[TEXT_BYTES];

	blob_put(text, config_text(text, arch), config_hex);
}

static size_t manifest_put(void)
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

static void index_put_text(const char *manifests)
{
	char text[TEXT_BYTES];
	int n = snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%.4000s]}",
			 manifests);

	file_put("index.json", text, (size_t)n);
	file_put("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

/* A descriptor of the manifest, with what else it says. */
static const char *descriptor(const char *more)
{
	static char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text),
		       "{\"mediaType\":\"application/"
		       "vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\"%s}",
		       manifest_hex, more);
	return text;
}

static void layout_put(void)
{
	layers_put();
	config_put("amd64");
	(void)manifest_put();
	index_put_text(descriptor(""));
}

/* ---- running ---- */

static void give_input(void)
{
	if (as_dir)
		keeper.layout = made_dir("layout");
	else if (job.input < 0)
		job.input = bytes_file(&archive);
}

/* The program's exit status; *said has the error. */
static int run(void)
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

static void made(void)
{
	int status = run();

	cr_assert_eq(status, 0, "%s", said->msg);
}

static void refused(int code, const char *words)
{
	int status = run();

	cr_assert(status == 1 && said->code == code && strstr(said->msg, words), "%d %d %s", status,
		  said->code, said->msg);
}

static int is_made(const char *name)
{
	return faccessat(work, name, F_OK, 0) == 0;
}

/* Names in the work directory that begin with a dot: what is half made. */
static int half_made(void)
{
	int fd = openat(work, ".", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fdopendir(fd);

	for (const struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] == '.' && de->d_name[1] && strcmp(de->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void append(struct bytes *b, const char *name)
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

static const char *text_of(const char *name)
{
	static struct bytes b;

	b.len = 0;
	append(&b, name);
	bytes_add(&b, "", 1);
	return (const char *)b.p;
}

static void has_all_layers(void)
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

/* ---- OCI layouts ---- */

Test(image_archives, a_layout_is_read_as_a_directory_as_a_tar_compressed_and_from_a_pipe)
{
	char first[SHA256_TEXT_BYTES], now[SHA256_TEXT_BYTES];

	for (int form = 0; form < 4; form++) {
		struct bytes z = {0};
		int pipe_fds[2];

		as_dir = form == 0;
		archive.len = 0;
		layout_put();
		if (!as_dir)
			tar_end(&archive);
		job.input = keeper.layout = -1;
		if (form == 2) {
			bytes_gzip(&archive, &z);
			job.input = bytes_file(&z);
		}
		if (form == 3) {
			cr_assert_eq(pipe(pipe_fds), 0);
			cr_assert(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
			cr_assert_eq(write(pipe_fds[1], archive.p, archive.len),
				     (ssize_t)archive.len);
			(void)close(pipe_fds[1]);
			job.input = pipe_fds[0];
		}
		made();
		has_all_layers();
		const char *text = text_of("manifest");
		hex_of(text, strlen(text), form ? now : first);
		cr_assert(!form || strcmp(first, now) == 0);
		bytes_free(&z);
	}
}

Test(image_archives, the_configuration_comes_as_lines)
{
	layout_put();
	made();
	const char *text = text_of("config");
	static const char want[] =
		"conker-image-config 1\nos=linux\narchitecture=amd64\n"
		"entrypoint=/e\nentrypoint=x\nenv=A=1%0A2%25\nenv=B=\nworkdir=/w\nuser=u:g\n"
		"stop_signal=SIGINT\nport=80/tcp\nignored_volume=/v\nignored=healthcheck\nsum=";
	cr_assert(strncmp(text, want, sizeof(want) - 1) == 0, "%s", text);
	char sum[SHA256_TEXT_BYTES];
	hex_of(text, sizeof(want) - 1 - 4, sum);
	cr_assert(strncmp(text + sizeof(want) - 1, sum, 64) == 0);
}

Test(image_archives, the_manifest_names_format_digests_and_sizes_in_the_order_of_the_disk)
{
	char want[TEXT_BYTES];

	layout_put();
	made();
	const char *text = text_of("manifest");
	(void)snprintf(
		want, sizeof(want),
		"conker-image 1\nos=linux\narchitecture=amd64\nmanifest=%s\nconfig=%s\n"
		"layer=%s 2048 %zu %s\nlayer=%s 2048 %zu %s\nlayer=%s 2048 %zu %s\nmeta=4096 ",
		manifest_hex, config_hex, diff_id[0], size[0], digest[0], diff_id[1], size[1],
		digest[1], diff_id[2], size[2], digest[2]);
	cr_assert(strncmp(text, want, strlen(want)) == 0, "%s", text);
	(void)snprintf(want, sizeof(want), "\ndata=4096 %s\ndata=4096 %s\ndata=4096 %s\ninodes=4\n",
		       diff_id[0], diff_id[1], diff_id[2]);
	cr_assert(strstr(text, want), "%s", text);
}

Test(image_archives, of_several_platforms_the_one_wanted_is_taken)
{
	char list[TEXT_BYTES], amd64[TEXT_BYTES];

	layers_put();
	config_put("amd64");
	(void)manifest_put();
	(void)snprintf(amd64, sizeof(amd64), "%s",
		       descriptor(",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}"));
	memset(manifest_hex, 'a', 64); /* is not there, and nobody asks */
	(void)snprintf(list, sizeof(list), "%.1000s,%.1000s", amd64,
		       descriptor(",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}"));
	memset(manifest_hex, 'b', 64);
	(void)snprintf(
		list + strlen(list), sizeof(list) - strlen(list), ",%.1000s",
		descriptor(",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}"));
	index_put_text(list);
	made();
	has_all_layers();
	job.want.arch = "riscv64";
	refused(ENOENT, "the image is there for other platforms than linux/riscv64");
}

Test(image_archives, an_index_in_an_index_is_followed_a_few_times)
{
	static const char nested[] = "{\"mediaType\":\"application/"
				     "vnd.oci.image.index.v1+json\",\"digest\":\"sha256:%s\"}";
	char text[TEXT_BYTES], list[TEXT_BYTES], hex[SHA256_TEXT_BYTES];

	layout_put();
	(void)snprintf(list, sizeof(list), "%s", descriptor(""));
	for (int depth = 1; depth <= 4; depth++) {
		int n = snprintf(text, sizeof(text), "{\"manifests\":[%.1000s]}", list);
		blob_put(text, (size_t)n, hex);
		(void)snprintf(list, sizeof(list), nested, hex);
		index_put_text(list);
		(void)close(job.input);
		job.input = -1;
		if (depth <= 3)
			made();
		else
			refused(ELOOP, "indices in each other");
	}
}

Test(image_archives, the_configuration_must_be_of_the_platform_too)
{
	layers_put();
	config_put("arm64");
	(void)manifest_put();
	index_put_text(descriptor(""));
	refused(ENOEXEC, "the image is for linux/arm64, and this machine runs linux/amd64");
}

Test(image_archives, of_several_names_one_must_be_said)
{
	char list[TEXT_BYTES], one[TEXT_BYTES];

	layout_put();
	(void)snprintf(
		one, sizeof(one), "%s",
		descriptor(",\"annotations\":{\"org.opencontainers.image.ref.name\":\"one\"}"));
	char was[SHA256_TEXT_BYTES];
	memcpy(was, manifest_hex, sizeof(was));
	memset(manifest_hex, 'c', 64);
	(void)snprintf(
		list, sizeof(list), "%.1000s,%.1000s", one,
		descriptor(",\"annotations\":{\"org.opencontainers.image.ref.name\":\"two\"}"));
	memcpy(manifest_hex, was, sizeof(was));
	index_put_text(list);
	refused(ENOTUNIQ, "several images, 'one' and 'two' among them");
	job.want.ref = "one";
	made();
	job.want.ref = "three";
	refused(ENOENT, "no image of the name 'three'");
}

Test(image_archives, a_wrong_digest_of_any_blob_is_noticed)
{
	const char *const hex[] = {digest[0], digest[2], config_hex, manifest_hex};

	layout_put();
	tar_end(&archive);
	for (size_t i = 0; i < countof(hex); i++) {
		char name[128];
		size_t at = 0;

		(void)snprintf(name, sizeof(name), "blobs/sha256/%.64s", hex[i]);
		while (strcmp((char *)archive.p + at, name) != 0)
			at += 512;
		archive.p[at + 512 + 30] ^= 1; /* of a tar: in a name */
		(void)close(job.input);
		job.input = -1;
		int status = run();
		cr_assert(status == 1 && (said->code == EBADMSG || said->code == EINVAL), "%s",
			  said->msg);
		cr_assert(!is_made("manifest") && !is_made("meta.erofs") && half_made() == 0);
		archive.p[at + 512 + 30] ^= 1;
	}
	(void)close(job.input);
	job.input = -1;
	made();
}

Test(image_archives, a_blob_of_another_size_is_not_even_read)
{
	layers_put();
	config_put("amd64");
	size[1]++;
	(void)manifest_put();
	index_put_text(descriptor(""));
	refused(EBADMSG, "and should have");
	cr_assert(strstr(said->msg, "layer 2 of 3"), "%s", said->msg);
}

Test(image_archives, a_wrong_diff_id_is_noticed_and_what_was_whole_before_stays)
{
	char name[128], right[SHA256_TEXT_BYTES];

	layers_put();
	memcpy(right, diff_id[0], sizeof(right));
	memset(diff_id[1], '0', 64);
	config_put("amd64");
	(void)manifest_put();
	index_put_text(descriptor(""));
	refused(EBADMSG, "layer 2: the digest of its content is sha256:");
	cr_assert(half_made() == 0 && !is_made("manifest"));
	(void)snprintf(name, sizeof(name), "%.64s.data", right);
	cr_assert(is_made(name));
	(void)snprintf(name, sizeof(name), "%.64s.index", right);
	cr_assert(is_made(name));
}

Test(image_archives, a_missing_blob_is_named)
{
	layers_put();
	config_put("amd64");
	memset(digest[2], 'd', 64);
	(void)manifest_put();
	index_put_text(descriptor(""));
	refused(ENOENT, "layer 3 of 3: the blob sha256:dddd");
}

Test(image_archives, digests_of_other_kinds_and_names_that_are_paths_are_refused)
{
	layers_put();
	config_put("amd64");
	(void)manifest_put();
	index_put_text("{\"mediaType\":\"x.manifest\",\"digest\":\"sha512:00\"}");
	refused(EOPNOTSUPP, "a digest of a kind other than sha256");
	archive.len = 0;
	(void)close(job.input);
	job.input = -1;
	index_put_text("{\"digest\":\"sha256:../../../../../../../../../../../../etc/"
		       "passwd00000000000000000000000\"}");
	refused(EINVAL, "not a digest");
}

Test(image_archives, a_blob_of_a_directory_that_is_a_link_or_a_pipe_is_not_opened)
{
	char name[128], path[256];

	as_dir = 1;
	layout_put();
	(void)snprintf(name, sizeof(name), "blobs/sha256/%.64s", digest[0]);
	int dir = made_dir("layout");
	(void)snprintf(path, sizeof(path), "%s/elsewhere", top);
	cr_assert_eq(renameat(dir, name, AT_FDCWD, path), 0);
	cr_assert_eq(symlinkat(path, dir, name), 0);
	refused(ELOOP, "the blob sha256:");
	cr_assert_eq(unlinkat(dir, name, 0), 0);
	cr_assert_eq(mkfifoat(dir, name, 0600), 0);
	refused(EINVAL, "the blob sha256:");
	(void)close(dir);
}

Test(image_archives, a_directory_that_is_no_layout_is_refused)
{
	as_dir = 1;
	file_put("file", "x", 1);
	refused(EINVAL, "the directory is not an OCI image layout");
}

/* ---- layers that are there ---- */

Test(image_archives, a_layer_that_is_there_is_not_read_again)
{
	char name[128];
	struct bytes first = {0}, again = {0};

	as_dir = 1;
	layout_put();
	made();
	append(&first, "meta.erofs");
	/* The blobs are gone, and in a store of their own the indices are enough. */
	int dir = made_dir("layout");
	keeper.layers = made_dir("store");
	for (size_t i = 0; i < LAYERS; i++) {
		(void)snprintf(name, sizeof(name), "blobs/sha256/%.64s", digest[i]);
		cr_assert_eq(unlinkat(dir, name, 0), 0);
		(void)snprintf(name, sizeof(name), "%.64s.index", diff_id[i]);
		if (i)
			cr_assert_eq(renameat(work, name, keeper.layers, name), 0);
	}
	made();
	append(&again, "meta.erofs");
	cr_assert(first.len == again.len && memcmp(first.p, again.p, first.len) == 0);
	bytes_free(&first);
	bytes_free(&again);
	(void)close(dir);
}

Test(image_archives, a_damaged_index_is_made_again)
{
	char name[128];

	layout_put();
	made();
	(void)snprintf(name, sizeof(name), "%.64s.index", diff_id[1]);
	int fd = openat(work, name, O_WRONLY);
	cr_assert(pwrite(fd, "x", 1, 300) == 1);
	(void)close(fd);
	made();
	has_all_layers();
}

Test(image_archives, a_layer_that_comes_twice_is_in_the_disk_once)
{
	struct bytes raw = {0};

	layers_put();
	memcpy(digest[1], digest[0], sizeof(digest[0]));
	memcpy(diff_id[1], diff_id[0], sizeof(diff_id[0]));
	size[1] = size[0];
	config_put("amd64");
	(void)manifest_put();
	index_put_text(descriptor(""));
	made();
	const char *text = text_of("manifest"), *p = strstr(text, "\ndata=");
	cr_assert(p && strstr(p + 1, "\ndata=") && !strstr(strstr(p + 1, "\ndata=") + 1, "\ndata="),
		  "%s", text);
	bytes_free(&raw);
}

/* ---- what docker and podman save ---- */

static void docker_put(const char *manifest_name, const char *config_name, int with_config)
{
	char text[TEXT_BYTES], name[160];
	struct bytes raw = {0};

	for (size_t i = 0; i < LAYERS; i++) {
		raw.len = 0;
		layer_make(i, &raw);
		(void)snprintf(name, sizeof(name), "%s%zu/layer.tar", "v1-id-", i);
		if (i == 1) { /* as docker saves a layer that it has saved before */
			tar_put(&archive, &(struct tar_item){.type = '0',
							     .name = "other/layer.tar",
							     .data = raw.p,
							     .len = raw.len});
			tar_link(&archive, '2', name, "../other/layer.tar");
		} else {
			tar_put(&archive,
				&(struct tar_item){
					.type = '0', .name = name, .data = raw.p, .len = raw.len});
		}
	}
	size_t n = config_text(text, "amd64");
	hex_of(text, n, config_hex);
	if (!config_name)
		(void)snprintf(name, sizeof(name), "%s.json", config_hex);
	else
		(void)snprintf(name, sizeof(name), "%s", config_name);
	if (with_config)
		file_put(name, text, n);
	n = (size_t)snprintf(text, sizeof(text),
			     "[{\"Config\":\"%s\",\"RepoTags\":[\"a:1\",\"a:2\"],\"Layers\":[\"v1-"
			     "id-0/layer.tar\",\"v1-id-1/layer.tar\",\"v1-id-2/layer.tar\"]}]",
			     name);
	file_put(manifest_name, text, n);
	tar_end(&archive);
	bytes_free(&raw);
}

Test(image_archives, a_docker_archive_is_read_with_a_layer_that_is_a_link)
{
	docker_put("manifest.json", NULL, 1);
	job.want.ref = "a:2";
	made();
	has_all_layers();
	job.want.ref = "b";
	refused(ENOENT, "no image of the name 'b'");
}

Test(image_archives, a_docker_configuration_has_the_digest_of_its_name)
{
	docker_put("manifest.json",
		   "0123456789012345678901234567890123456789012345678901234567890123.json", 1);
	refused(EBADMSG, "the configuration: its digest is");
}

Test(image_archives, a_docker_archive_without_its_configuration_is_refused)
{
	docker_put("./manifest.json", "gone.json", 0);
	refused(ENOENT, "'gone.json', the configuration, is not in the archive");
}

Test(image_archives, links_between_members_in_a_circle_or_out_of_the_archive_are_no_members)
{
	tar_link(&archive, '2', "manifest.json", "manifest.json");
	tar_link(&archive, '2', "index.json", "../../../etc/passwd");
	tar_link(&archive, '1', "oci-layout", "oci-layout");
	tar_end(&archive);
	refused(ENOENT, "'oci-layout': a hard link to"); /* a root file system, then */
}

/* ---- root file systems ---- */

Test(image_archives, any_other_archive_is_a_root_file_system_of_one_layer)
{
	for (size_t i = 0; i < LAYERS; i++) {
		char name[8], text[32];

		(void)snprintf(name, sizeof(name), "f%zu", i);
		(void)snprintf(text, sizeof(text), "of layer %zu", i);
		tar_file(&archive, name, text);
	}
	tar_end(&archive);
	made();
	has_all_layers();
	cr_assert(strstr(text_of("manifest"), "\nmanifest=\nconfig=\nlayer="));
}

Test(image_archives, a_root_file_system_may_have_a_manifest_json_of_its_own)
{
	tar_file(&archive, "manifest.json", "{\"name\": \"a web application\"}");
	tar_file(&archive, "oci-layout", "");
	tar_end(&archive);
	made();
	cr_assert(strstr(text_of("manifest"), "\ninodes=3\n"));
}

Test(image_archives, what_is_no_archive_is_refused)
{
	bytes_add(&archive, "hello, this is not an archive at all", 36);
	refused(EINVAL, "");
	archive.len = 0;
	(void)close(job.input);
	job.input = -1;
	for (int i = 0; i < 100; i++)
		bytes_add(&archive, "some text ", 10);
	refused(EINVAL, "not a tar archive");
	cr_assert_eq(half_made(), 0);
}

/* ---- the door ---- */

static int asked(int door, struct door_request q)
{
	int r = door_ask(door, &q);

	if (r > 0)
		(void)close(r);
	return r;
}

Test(image_archives, the_door_knows_digests_and_a_few_words_only)
{
	struct door_request q[] = {
		{.verb = DOOR_BLOB, .hex = "../../etc/passwd"},
		{.verb = DOOR_LAYER, .hex = ""},
		{.verb = DOOR_BLOB,
		 .hex = "ABCDEF6789012345678901234567890123456789012345678901234567890123"},
		{.verb = DOOR_NEW, .slot = SLOTS},
		{.verb = DOOR_NEW, .hex = "x"},
		{.verb = DOOR_KEEP, .name = NAMES},
		{.verb = DOOR_KEEP, .name = NAME_META, .hex = "../x"},
		{.verb = DOOR_KEEP, .name = NAME_DATA, .hex = "../../x"},
		{.verb = DOOR_VERBS},
		{.verb = UINT32_MAX, .slot = UINT32_MAX, .name = UINT32_MAX},
	};
	int pair[2];
	sigset_t none;
	struct err e = {0};

	sigemptyset(&none);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int wrong = 0;

		(void)close(pair[0]);
		for (size_t i = 0; i < countof(q); i++)
			wrong += asked(pair[1], q[i]) != -EINVAL;
		struct door_request no_nul = {.verb = DOOR_BLOB};
		memset(no_nul.hex, 'a', sizeof(no_nul.hex));
		wrong += asked(pair[1], no_nul) != -EINVAL;
		wrong += asked(pair[1],
			       (struct door_request){.verb = DOOR_NEW, .slot = SLOT_DATA}) <= 0;
		raise(wrong ? SIGABRT : SIGKILL);
	}
	(void)close(pair[1]);
	keeper.door = pair[0];
	cr_assert_eq(keeper_serve(&keeper, pid, &none, &e), 1);
	cr_assert(e.code == EIO && strstr(e.msg, "ended by SIGKILL"), "%s", e.msg);
	cr_assert_eq(half_made(), 0);
}

Test(image_archives, a_signal_ends_the_reader_and_leaves_nothing_half_made)
{
	int pair[2], pipe_fds[2];
	sigset_t set;
	struct err e = {0};

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	cr_assert(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && pipe(pipe_fds) == 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid_t self = getpid(), pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		job.door = pair[1];
		job.input = pipe_fds[0]; /* on which nothing comes */
		if (asked(pair[1], (struct door_request){.verb = DOOR_NEW, .slot = SLOT_INDEX}) > 0)
			(void)kill(self, SIGTERM);
		_exit(make_image(&job, said) < 0);
	}
	(void)close(pair[1]);
	keeper.door = pair[0];
	cr_assert_eq(keeper_serve(&keeper, pid, &set, &e), 128 + SIGTERM);
	cr_assert(e.code == EINTR && half_made() == 0);
}
