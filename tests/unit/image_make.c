/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of image/make.h, docker.h, archive.h and door.h: what an archive is, layers that are there already, and that nothing
 * half-made stays. */
#include "tests/lib/image_archive.h"

TestSuite(image_make, .init = set_up, .fini = tear_down);

/* ---- layers that are there ---- */

Test(image_make, a_layer_that_is_there_is_not_read_again)
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
		(void)snprintf(name, sizeof(name), "%.64s.data", diff_id[i]);
		if (i)
			cr_assert_eq(renameat(work, name, keeper.layers, name), 0);
	}
	made();
	append(&again, "meta.erofs");
	cr_assert(first.len == again.len && memcmp(first.p, again.p, first.len) == 0);
	cr_assert_eq(unlinkat(keeper.layers, name, 0), 0);
	refused(ENOENT, "layer 3 of 3: the blob sha256:"); /* an index without its data is none */
	bytes_free(&first);
	bytes_free(&again);
	(void)close(dir);
}

Test(image_make, a_damaged_index_is_made_again)
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

Test(image_make, a_layer_that_comes_twice_is_in_the_disk_once)
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

Test(image_make, a_docker_archive_is_read_with_a_layer_that_is_a_link)
{
	docker_put("manifest.json", NULL, 1);
	job.want.ref = "a:2";
	made();
	has_all_layers();
	job.want.ref = "b";
	refused(ENOENT, "no image of the name 'b'");
}

Test(image_make, a_docker_configuration_has_the_digest_of_its_name)
{
	docker_put("manifest.json",
		   "0123456789012345678901234567890123456789012345678901234567890123.json", 1);
	refused(EBADMSG, "the configuration: its digest is");
}

Test(image_make, a_docker_archive_without_its_configuration_is_refused)
{
	docker_put("./manifest.json", "gone.json", 0);
	refused(ENOENT, "'gone.json', the configuration, is not in the archive");
}

Test(image_make, links_between_members_in_a_circle_or_out_of_the_archive_are_no_members)
{
	tar_link(&archive, '2', "manifest.json", "manifest.json");
	tar_link(&archive, '2', "index.json", "../../../etc/passwd");
	tar_link(&archive, '1', "oci-layout", "oci-layout");
	tar_end(&archive);
	refused(ENOENT, "'oci-layout': a hard link to"); /* a root file system, then */
}

/* ---- root file systems ---- */

Test(image_make, any_other_archive_is_a_root_file_system_of_one_layer)
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

Test(image_make, a_root_file_system_may_have_a_manifest_json_of_its_own)
{
	tar_file(&archive, "manifest.json", "{\"name\": \"a web application\"}");
	tar_file(&archive, "oci-layout", "");
	tar_end(&archive);
	made();
	cr_assert(strstr(text_of("manifest"), "\ninodes=3\n"));
}

Test(image_make, what_is_no_archive_is_refused)
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

Test(image_make, the_door_knows_digests_and_a_few_words_only)
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

Test(image_make, a_signal_ends_the_reader_and_leaves_nothing_half_made)
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
