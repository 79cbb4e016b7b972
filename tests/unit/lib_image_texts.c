/* SPDX-License-Identifier: Apache-2.0 */
/* lib_image_texts.c - what images are written down as: names as files, manifests, configurations, progress. All pure. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/images/store.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

TestSuite(lib_image_texts, .timeout = 30);

/* ---- names --------------------------------------------------------------------------------------------- */

Test(lib_image_texts, a_name_is_a_file_name_and_back)
{
	static const char *const names[][2] = {
		{"python", "python"},
		{"docker.io/library/python:3.12-slim", "docker.io%2Flibrary%2Fpython:3.12-slim"},
		{"a@sha256:0", "a@sha256:0"},
		{"..", "%2E."},
		{".hidden", "%2Ehidden"},
		{"50%", "50%25"},
		{"a\nb\x7f \xff", "a%0Ab%7F%20%FF"},
	};
	char file[LINK_NAME_BYTES], name[IMAGE_BYTES];

	for (size_t i = 0; i < countof(names); i++) {
		cr_expect_eq(link_name(names[i][0], file), 0);
		cr_expect_str_eq(file, names[i][1]);
		cr_expect_eq(link_read_name(file, name), 0, "%s", file);
		cr_expect_str_eq(name, names[i][0]);
	}
}

Test(lib_image_texts, what_is_no_name_is_no_file)
{
	static const char *const files[] = {"",      "%2f", "a%2fb", "%41", "%",   "%0", "%zz",
					    "a%00b", ".",   "..",    ".x",  "a/b", "a b"};
	char file[LINK_NAME_BYTES], name[IMAGE_BYTES], text[300];

	for (size_t i = 0; i < countof(files); i++)
		cr_expect_lt(link_read_name(files[i], name), 0, "%s", files[i]);
	cr_expect_eq(link_name("", file), -EINVAL);
	memset(text, 'x', sizeof(text));
	text[256] = 0;
	cr_expect_eq(link_name(text, file), -EINVAL);
	text[255] = 0;
	cr_expect_eq(link_name(text, file), 0);
	text[100] = '/';
	cr_expect_eq(link_name(text, file), -ENAMETOOLONG);
}

/* ---- manifests ----------------------------------------------------------------------------------------- */

static void add_sum(char *text, size_t room)
{
	char sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, text, strlen(text));
	sha256_end(&s, sum);
	snprintf(text + strlen(text), room - strlen(text), "sum=%s\n", sum);
}

static const char good[] =
	"conker-image 1\nos=linux\narchitecture=amd64\nmanifest=" ID_A "\nconfig=\nlayer=" ID_A
	" 1024 100 " ID_B "\nlayer=" ID_B " 2048 0 -\nlayer=" ID_A " 1024 100 -\nmeta=4096 " ID_A
	"\ndata=0 " ID_A "\ndata=8192 " ID_B
	"\ninodes=3\nentries_left_out=1\nattributes_left_out=2\n";

static int parse(const char *text, struct made *ret, struct err *e)
{
	auto_free char *copy = malloc(strlen(text) + 200);

	memcpy(copy, text, strlen(text) + 1);
	add_sum(copy, strlen(text) + 200);
	return made_parse(copy, strlen(copy), ret, e);
}

Test(lib_image_texts, a_manifest_is_read)
{
	auto_free struct made *m = malloc(sizeof(*m));
	struct err e = {0};

	cr_assert_eq(parse(good, m, &e), 0, "%s", e.msg);
	cr_expect_str_eq(m->os, "linux");
	cr_expect_str_eq(m->manifest, ID_A);
	cr_expect_str_eq(m->config, "");
	cr_expect_eq(m->nlayers, 3);
	cr_expect_str_eq(m->layer[0].blob, ID_B);
	cr_expect_eq(m->layer[1].stream_bytes, 2048);
	cr_expect_str_eq(m->layer[1].blob, "");
	cr_expect_eq(m->ndata, 2);
	cr_expect_eq(m->data[0].bytes, 0, "empty ones occur");
	cr_expect_eq(m->data[1].bytes, 8192);
	cr_expect_eq(m->meta_bytes, 4096);
	cr_expect_eq(m->inodes, 3);
	cr_expect_eq(m->attributes_left_out, 2);
	cr_expect_eq(strlen(m->id), 64);
}

Test(lib_image_texts, a_manifest_with_one_thing_wrong_is_refused)
{
	static const char *const wrong[][2] = {
		{"os=linux\n", ""},
		{"os=linux\n", "os=linux\nos=linux\n"},
		{"os=linux", "os=%zz"},
		{"amd64", "amd64amd64amd64amd64amd64amd64amd64"},
		{"manifest=a", "manifest=A"},
		{"meta=4096 " ID_A "\n", ""},
		{"meta=4096", "meta=4097"},
		{"meta=4096", "meta=0"},
		{"meta=4096", "meta=-4096"},
		{"data=8192", "data=99999999999999999999999"},
		{"data=8192", "data=18446744073709547520"},
		{"data=8192 " ID_B, "data=8192 " ID_A},
		{"data=8192 b", "data=8192 c"},
		{"data=8192 ", "data=8192  "},
		{"inodes=3\n", ""},
		{"inodes=3", "inodes=3 4"},
		{"inodes=3\n", "inodes=3\nnew=1\n"},
		{"attributes_left_out=2\n", ""},
		{"attributes_left_out=2\n", "attributes_left_out=2\nlayer=" ID_A " 1 1 -\n"},
		{" 100 " ID_B, " 100 " ID_B " x"},
		{" 100 " ID_B, " 100"},
	};
	auto_free struct made *m = malloc(sizeof(*m));
	char text[4096];

	for (size_t i = 0; i < countof(wrong); i++) {
		const char *at = strstr(good, wrong[i][0]);

		cr_assert(at, "%s", wrong[i][0]);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, wrong[i][1],
			 at + strlen(wrong[i][0]));
		cr_expect_eq(parse(text, m, NULL), -EBADMSG, "%s -> %s", wrong[i][0], wrong[i][1]);
	}
}

Test(lib_image_texts, each_bit_of_a_manifest_matters)
{
	auto_free struct made *m = malloc(sizeof(*m));
	char whole[4096], copy[4096];

	memcpy(whole, good, sizeof(good));
	add_sum(whole, sizeof(whole));
	size_t n = strlen(whole);
	for (size_t i = 0; i < n; i++) {
		memcpy(copy, whole, n + 1);
		copy[i] ^= 1;
		cr_expect_lt(made_parse(copy, n, m, NULL), 0, "byte %zu", i);
		memcpy(copy, whole, n + 1);
		cr_expect_lt(made_parse(copy, i, m, NULL), 0, "cut at %zu", i);
	}
}

Test(lib_image_texts, another_version_says_which)
{
	auto_free struct made *m = malloc(sizeof(*m));
	struct err e = {0};
	char text[] = "conker-image 12 whatever\nnew=things\n\0";

	cr_expect_eq(made_parse(text, strlen(text), m, &e), -EPROTONOSUPPORT);
	cr_expect(strstr(e.msg, "format 12 whatever"), "%s", e.msg);
	char other[] = "conker-snapshot 1\n\0";
	cr_expect_eq(made_parse(other, strlen(other), m, &e), -EBADMSG);
	cr_expect_eq(made_parse(other, 0, m, &e), -EBADMSG);
}

Test(lib_image_texts, the_most_layers_and_one_more)
{
	enum { ROOM = 256 << 10 };
	auto_free struct made *m = malloc(sizeof(*m));
	auto_free char *text = malloc(ROOM);

	for (int layers = IMAGE_LAYERS_MAX; layers <= IMAGE_LAYERS_MAX + 1; layers++) {
		int n = snprintf(text, ROOM,
				 "conker-image 1\nos=l\narchitecture=a\nmanifest=\nconfig=\n");

		for (int i = 0; i < layers; i++)
			n += snprintf(text + n, (size_t)(ROOM - n), "layer=%064x 1 1 %064x\n", i,
				      i);
		n += snprintf(text + n, (size_t)(ROOM - n), "meta=4096 " ID_A "\n");
		for (int i = 0; i < layers; i++)
			n += snprintf(text + n, (size_t)(ROOM - n), "data=4096 %064x\n", i);
		snprintf(text + n, (size_t)(ROOM - n),
			 "inodes=1\nentries_left_out=0\nattributes_left_out=0\n");
		cr_assert_lt(strlen(text), IMAGE_MANIFEST_MAX_BYTES);
		cr_expect_eq(parse(text, m, NULL), layers > IMAGE_LAYERS_MAX ? -EBADMSG : 0);
	}
}

/* ---- configurations ------------------------------------------------------------------------------------ */

static int config(const char *lines, struct image_config *ret)
{
	size_t room = strlen(lines) + 200;
	char *text = malloc(room);

	snprintf(text, room, "conker-image-config 1\n%s", lines);
	add_sum(text, room);
	return image_config_parse(text, strlen(text), ret, NULL);
}

Test(lib_image_texts, a_configuration_is_read)
{
	struct image_config c;

	cr_assert_eq(
		config("os=linux\nentrypoint=/e\nentrypoint=-x\ncmd=a b\ncmd=\nenv=A=b%0Ac\n"
		       "env=B=%25\nworkdir=/w\nuser=u:g\nstop_signal=SIGINT\nport=80/tcp\n"
		       "label=k=v\nignored_volume=/data\nignored_volume=/x\nignored=healthcheck\n"
		       "future=1\n",
		       &c),
		0);
	cr_expect_str_eq(c.entrypoint[0], "/e");
	cr_expect_str_eq(c.entrypoint[1], "-x");
	cr_expect_null(c.entrypoint[2]);
	cr_expect_str_eq(c.cmd[0], "a b");
	cr_expect_str_eq(c.cmd[1], "");
	cr_expect_null(c.cmd[2]);
	cr_expect_str_eq(c.env[0], "A=b\nc");
	cr_expect_str_eq(c.env[1], "B=%");
	cr_expect_null(c.env[2]);
	cr_expect_str_eq(c.workdir, "/w");
	cr_expect_str_eq(c.user, "u:g");
	cr_expect_eq(c.stop_signal, 2);
	cr_expect_str_eq(c.stop_signal_name, "SIGINT");
	cr_expect_str_eq(c.ports[0], "80/tcp");
	cr_expect_str_eq(c.labels[0], "k=v");
	cr_expect_str_eq(c.ignored[0], "volume /data");
	cr_expect_str_eq(c.ignored[1], "volume /x");
	cr_expect_str_eq(c.ignored[2], "healthcheck");
	cr_expect_null(c.ignored[3]);
	image_config_free(&c);
}

Test(lib_image_texts, a_configuration_that_says_nothing_has_empty_lists)
{
	struct opened_image none = {.id = ""};
	struct image_config c;

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(i ? image_config_load(&none, &c, NULL) : config("", &c), 0);
		cr_expect_null(c.entrypoint[0]);
		cr_expect_null(c.cmd[0]);
		cr_expect_null(c.env[0]);
		cr_expect_null(c.ports[0]);
		cr_expect_null(c.labels[0]);
		cr_expect_null(c.ignored[0]);
		cr_expect_null(c.workdir);
		cr_expect_eq(c.stop_signal, 0);
		image_config_free(&c);
	}
}

Test(lib_image_texts, signals_by_name_and_number)
{
	static const struct {
		const char *line;
		int signo;
	} cases[] = {{"stop_signal=9\n", 9},
		     {"stop_signal=KILL\n", 9},
		     {"stop_signal=SIGRTMIN+3\n", 37},
		     {"stop_signal=900\n", 0},
		     {"stop_signal=nonsense\n", 0}};
	struct image_config c;

	for (size_t i = 0; i < countof(cases); i++) {
		cr_assert_eq(config(cases[i].line, &c), 0);
		cr_expect_eq(c.stop_signal, cases[i].signo, "%s", cases[i].line);
		image_config_free(&c);
	}
}

Test(lib_image_texts, damaged_configurations_are_refused)
{
	static const char *const lines[] = {"cmd\n", "cmd=%0\n", "cmd=%00\n", "cmd=%zz\n"};
	struct image_config c;
	struct err e = {0};

	for (size_t i = 0; i < countof(lines); i++) {
		cr_expect_eq(config(lines[i], &c), -EBADMSG, "%s", lines[i]);
		image_config_free(&c);
	}
	char *text = strdup("conker-image-config 1\ncmd=a\nsum=" ID_A "\n ");
	cr_expect_eq(image_config_parse(text, strlen(text) - 1, &c, &e), -EBADMSG);
	image_config_free(&c);
	text = strdup("conker-image-config 2\n ");
	cr_expect_eq(image_config_parse(text, strlen(text) - 1, &c, &e), -EBADMSG);
	cr_expect(strstr(e.msg, "no format"), "%s", e.msg);
	image_config_free(&c);
}

/* ---- progress ------------------------------------------------------------------------------------------ */

Test(lib_image_texts, progress_comes_in_pieces_of_any_size)
{
	static const char text[] = "unjailed namespaces Operation not permitted\nspool 5 0\n"
				   "have 1 3\nlayer 2 3 4096 1048576\n";

	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct told t = {.len = 0};
		conker_image_progress p = {0};

		for (size_t i = 0; i < sizeof(text) - 1; i += piece)
			cr_assert_eq(told_feed(&t, text + i, min_(piece, sizeof(text) - 1 - i), &p),
				     0);
		cr_expect_eq(p.step, CONKER_IMAGE_UNPACK);
		cr_expect_eq(p.layer, 2);
		cr_expect_eq(p.layers, 3);
		cr_expect_eq(p.done_bytes, 4096);
		cr_expect_eq(p.total_bytes, 1048576);
	}
}

Test(lib_image_texts, lines_that_are_none_are_refused)
{
	static const char *const lines[] = {
		"\n",
		"layer\n",
		"layer 1\n",
		"layer 0 1 1 1\n",
		"layer 2 1 1 1\n",
		"layer 1 513 1 1\n",
		"layer 1 1 1\n",
		"layer 1 1 1 1 1\n",
		"layer 1 1 -1 1\n",
		"have 1 1 1\n",
		"have  1 1\n",
		"layers 1 1 1 1\n",
		"spool 1\n",
		"spool x y\n",
		"spool 99999999999999999999 1\n",
		"lay",
	};
	struct told t;
	conker_image_progress p;

	for (size_t i = 0; i + 1 < countof(lines); i++) {
		t.len = 0;
		cr_expect_eq(told_feed(&t, lines[i], strlen(lines[i]), &p), -EPROTO, "%s",
			     lines[i]);
	}
	t.len = 0;
	cr_expect_eq(told_feed(&t, "lay", 3, &p), 0, "more may come");
	cr_expect_eq(told_feed(&t, "er\0", 3, &p), -EPROTO);
	t.len = 0;
	for (size_t i = 0; i < TOLD_LINE_MAX_BYTES - 1; i++)
		cr_assert_eq(told_feed(&t, "x", 1, &p), 0);
	cr_expect_eq(told_feed(&t, "x", 1, &p), -EPROTO, "too long");
}

Test(lib_image_texts, a_complaint_has_an_errno)
{
	const char *why;

	cr_expect_eq(told_error("E2BIG layer 2 of 3: much", &why), E2BIG);
	cr_expect_str_eq(why, "layer 2 of 3: much");
	cr_expect_eq(told_error("ENOEXEC x", &why), ENOEXEC);
	cr_expect_eq(told_error("EWHAT x", &why), EIO);
	cr_expect_str_eq(why, "EWHAT x");
	cr_expect_eq(told_error("EINVALx", &why), EIO);
	cr_expect_eq(told_error("", &why), EIO);
}
