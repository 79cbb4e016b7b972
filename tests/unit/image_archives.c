/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of image/oci.h and blobs.h: which image of a layout is meant, and that it is what its digests say. */
#include "tests/lib/image_archive.h"

TestSuite(image_archives, .init = set_up, .fini = tear_down);

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
	(void)snprintf(want, sizeof(want),
		       "conker-image 1\nos=linux\narchitecture=amd64\nmanifest=%s\nconfig=%s\n"
		       "layer=%s 2048\nlayer=%s 2048\nlayer=%s 2048\nmeta=4096 ",
		       manifest_hex, config_hex, diff_id[0], diff_id[1], diff_id[2]);
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
	refused(ENOEXEC, "the image is there for other platforms than linux/riscv64");
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
	refused(ENOEXEC, "the image is for linux/arm64, and linux/amd64 is wanted");
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
