/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of oci_plan(): what is to be fetched, by an index or a manifest alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/oci.h"

#define A            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C            "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define IS(HEX, N)   "\"digest\":\"sha256:" HEX "\",\"size\":" #N
#define ON(ARCH)     ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" ARCH "\"}"
#define TAR          "\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\","
#define LAYER(H, N)  "{" TAR IS(H, N) "}"
#define CONFIG(H, N) "\"config\":{" IS(H, N) "}"

static struct image_want want = {.os = "linux", .arch = "amd64", .variant = ""};
static struct err err;
static char out[1 << 16];

static int plan(const char *text)
{
	int fd = memfd_create("plan", MFD_CLOEXEC);
	json_t *j = json_loads(text, 0, NULL);

	cr_assert(fd >= 0 && j, "%s", text);
	err = (struct err){0};
	int r = oci_plan(j, &want, fd, &err);
	ssize_t n = pread(fd, out, sizeof(out) - 1, 0);
	out[n > 0 ? n : 0] = 0;
	json_decref(j);
	(void)close(fd);
	return r;
}

static void is_planned(const char *text, const char *lines)
{
	cr_assert_eq(plan(text), 0, "%s", err.msg);
	cr_expect_str_eq(out, lines);
}

static void is_refused(const char *text, int code, const char *words)
{
	cr_expect_eq(plan(text), -code, "%s", err.msg);
	cr_expect(strstr(err.msg, words), "%s", err.msg);
}

Test(image_plan, a_manifest_wants_its_configuration_and_its_layers)
{
	is_planned(
		"{" CONFIG(A, 7) ",\"layers\":[" LAYER(B, 8) "," LAYER(C, 0) "," LAYER(B, 8) "]}",
		"blob " A " 7\nblob " B " 8\nblob " C " 0\nblob " B " 8\n");
	is_planned("{" CONFIG(A, 7) ",\"layers\":[]}", "blob " A " 7\n");
}

Test(image_plan, an_index_leads_to_the_manifest_of_the_platform)
{
	static const char two[] =
		"{\"manifests\":[{" IS(A, 7) ON("arm64") "},{" IS(B, 8) ON("amd64") "}]}";

	is_planned(two, "manifest " B " 8\n");
	want.arch = "arm64";
	is_planned(two, "manifest " A " 7\n");
	want.arch = "riscv64";
	is_refused(two, ENOEXEC,
		   "linux/riscv64 is not among the image's platforms: linux/arm64, linux/amd64");
	/* It may be of any. */
	is_planned("{\"manifests\":[{" IS(A, 7) "}]}", "manifest " A " 7\n");
	is_refused("{\"manifests\":[]}", ENOEXEC, "platforms: ");
}

Test(image_plan, of_several_variants_that_of_none_or_the_first)
{
	static const char text[] = "{\"manifests\":[{" IS(
		A, 1) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":"
		      "\"v3\"}},"
		      "{" IS(B, 2) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\","
				   "\"variant\":\"v2\"}}%s]}";
	char both[2048];

	(void)snprintf(both, sizeof(both), text, "");
	is_planned(both, "manifest " A " 1\n");
	want.variant = "v2";
	is_planned(both, "manifest " B " 2\n");
	want.variant = "v9";
	is_refused(both, ENOEXEC,
		   "linux/amd64/v9 is not among the image's platforms: linux/amd64/v3, "
		   "linux/amd64/v2");
	want.variant = "";
	(void)snprintf(both, sizeof(both), text, ",{" IS(C, 3) ON("amd64") "}");
	is_planned(both, "manifest " C " 3\n");
}

Test(image_plan, notes_beside_an_image_are_none)
{
	is_planned("{\"manifests\":[{" IS(
			   A, 1) ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}},"
				 "{" IS(B, 2) ",\"annotations\":{\"vnd.docker.reference.type\":"
					      "\"attestation-manifest\"}},"
					      "{" IS(C, 3) ON("amd64") "}]}",
		   "manifest " C " 3\n");
}

Test(image_plan, many_platforms_are_cut)
{
	static char text[1 << 15] = "{\"manifests\":[";

	for (int i = 0; i < 60; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
			       "%s{" IS(A, 1) ON("s390x") "}", i ? "," : "");
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
	is_refused(text, ENOEXEC, "linux/s390x, ");
	cr_expect_str_eq(err.msg + strlen(err.msg) - 3, "...");
}

Test(image_plan, what_is_no_plan)
{
	static char text[1 << 17] = "{" CONFIG(A, 7) ",\"layers\":[" LAYER(B, 8);

	is_refused("{}", EINVAL, "neither an index nor a manifest");
	is_refused("[]", EINVAL, "neither an index nor a manifest");
	is_refused("{\"fsLayers\":[]}", ENOTSUP, "Docker's first schema");
	is_refused("{\"layers\":[]}", ENOTSUP, "digest");
	is_refused("{\"config\":{\"digest\":\"sha512:" A "\",\"size\":1},\"layers\":[]}", ENOTSUP,
		   "other than sha256");
	is_refused("{\"config\":{\"digest\":\"sha256:../../x\",\"size\":1},\"layers\":[]}", EINVAL,
		   "not a digest");
	is_refused("{" CONFIG(A, -1) ",\"layers\":[]}", EINVAL, "without a size");
	is_refused("{\"config\":{\"digest\":\"sha256:" A "\",\"size\":\"1\"},\"layers\":[]}",
		   EINVAL, "without a size");
	is_refused(
		"{" CONFIG(A, 7) ",\"layers\":[{" IS(B, 8) ",\"mediaType\":\"application/wasm\"}]}",
		ENOTSUP, "a layer of the kind 'application/wasm'");
	is_refused("{" CONFIG(A, 7) ",\"layers\":[7]}", ENOTSUP, "a layer of the kind ''");
	for (int i = 0; i < LIMIT_LAYERS; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "," LAYER(B, 8));
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}");
	is_refused(text, E2BIG, "more than 512 layers");
}
