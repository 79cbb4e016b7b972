/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of what an image says of itself, below what the caller of an execution says: those of Docker's run and exec. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/handle/defaults.h"

#define LIST(...) ((const char *[]){__VA_ARGS__, NULL})

static struct image_config image = {
	.entrypoint = (char *[]){(char *)"/entry", (char *)"-x", NULL},
	.cmd = (char *[]){(char *)"serve", (char *)"all", NULL},
	.env = (char *[]){(char *)"PATH=/opt/bin", (char *)"A=image", (char *)"AB=image", NULL},
	.workdir = "/srv",
	.user = "1000:1000",
	.stop_signal = SIGQUIT,
};

static void is_list(const char *const *got, const char *const *want)
{
	size_t i = 0;

	for (; want[i]; i++) {
		cr_assert(got && got[i], "%zu: '%s' is missing", i, want[i]);
		cr_expect_str_eq(got[i], want[i]);
	}
	cr_expect_null(got[i], "%s", got[i]);
}

static const char *const none[] = {NULL};

Test(lib_defaults, the_command_of_an_image)
{
	static struct image_config no_entry, nothing;
	const struct {
		const char *rule;
		struct image_config *image;
		uint32_t flags;
		const char *const *argv, *const *want; /* NULL: refused */
	} cases[] = {
		{"nothing given: entrypoint and arguments of the image", &image,
		 CONKER_EXEC_IMAGE_COMMAND, NULL,
		 (const char *[]){"/entry", "-x", "serve", "all", NULL}},
		{"an empty list is nothing", &image, CONKER_EXEC_IMAGE_COMMAND, none,
		 (const char *[]){"/entry", "-x", "serve", "all", NULL}},
		{"arguments take the place of the image's", &image, CONKER_EXEC_IMAGE_COMMAND,
		 (const char *[]){"one", NULL}, (const char *[]){"/entry", "-x", "one", NULL}},
		{"without an entrypoint they are the command", &no_entry, CONKER_EXEC_IMAGE_COMMAND,
		 (const char *[]){"one", NULL}, (const char *[]){"one", NULL}},
		{"without both it is the image's", &no_entry, CONKER_EXEC_IMAGE_COMMAND, NULL,
		 (const char *[]){"serve", "all", NULL}},
		{"an image that has neither", &nothing, CONKER_EXEC_IMAGE_COMMAND, NULL, NULL},
		{"an image that says nothing of itself", NULL, CONKER_EXEC_IMAGE_COMMAND, NULL,
		 NULL},
		{"not asked for: the caller's alone", &image, 0, (const char *[]){"one", NULL},
		 (const char *[]){"one", NULL}},
		{"not asked for, and none given", &image, 0, NULL, NULL},
	};
	struct defaults d;
	struct err e = {0};

	no_entry.cmd = image.cmd;
	for (size_t i = 0; i < countof(cases); i++) {
		conker_exec_opts o = {.argv = cases[i].argv, .flags = cases[i].flags};
		int r = defaults_apply(&d, cases[i].image, &o, &e);

		cr_expect_eq(r, cases[i].want ? 0 : -EINVAL, "%s: %d", cases[i].rule, r);
		if (r == 0)
			is_list(o.argv, cases[i].want);
		defaults_fini(&d);
	}
}

Test(lib_defaults, the_environment_is_the_images_below_the_callers)
{
	struct defaults d;
	struct err e = {0};
	conker_exec_opts o = {.argv = LIST("x"), .env = LIST("A=mine", "B=", "ABC=mine")};

	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	is_list(o.env, LIST("PATH=/opt/bin", "AB=image", "A=mine", "B=", "ABC=mine"));
	defaults_fini(&d);
	o = (conker_exec_opts){.argv = LIST("x")};
	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	is_list(o.env, LIST("PATH=/opt/bin", "A=image", "AB=image"));
	defaults_fini(&d);
}

Test(lib_defaults, directory_and_user_are_the_images_unless_said)
{
	struct defaults d;
	struct err e = {0};
	conker_exec_opts o = {.argv = LIST("x")};

	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	cr_expect(strcmp(o.cwd, "/srv") == 0 && strcmp(o.user, "1000:1000") == 0);
	cr_expect(d.make_cwd, "the image's is made if it is missing");
	defaults_fini(&d);
	o = (conker_exec_opts){.argv = LIST("x"), .cwd = "/here", .user = "root"};
	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	cr_expect(strcmp(o.cwd, "/here") == 0 && strcmp(o.user, "root") == 0);
	cr_expect(!d.make_cwd, "the caller's is not");
	defaults_fini(&d);
}

Test(lib_defaults, the_stop_signal_is_of_the_images_own_command_only)
{
	struct image_config silent = {.cmd = (char *[]){(char *)"a", NULL}};
	struct defaults d;
	struct err e = {0};
	conker_exec_opts o = {.argv = LIST("x")};

	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	cr_expect_eq(o.stop_signal, 0);
	defaults_fini(&d);
	o = (conker_exec_opts){.flags = CONKER_EXEC_IMAGE_COMMAND};
	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	cr_expect_eq(o.stop_signal, SIGQUIT);
	defaults_fini(&d);
	o = (conker_exec_opts){.flags = CONKER_EXEC_IMAGE_COMMAND, .stop_signal = SIGUSR1};
	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	cr_expect_eq(o.stop_signal, SIGUSR1, "the caller's goes first");
	defaults_fini(&d);
	o = (conker_exec_opts){.flags = CONKER_EXEC_IMAGE_COMMAND};
	cr_assert_eq(defaults_apply(&d, &silent, &o, &e), 0);
	cr_expect_eq(o.stop_signal, SIGTERM, "as docker's");
	defaults_fini(&d);
}

Test(lib_defaults, plain_has_nothing_of_the_image)
{
	struct defaults d;
	struct err e = {0};
	conker_exec_opts o = {.argv = LIST("x"), .env = LIST("A=1"), .flags = CONKER_EXEC_PLAIN};

	cr_assert_eq(defaults_apply(&d, &image, &o, &e), 0);
	is_list(o.env, LIST("A=1"));
	cr_expect(!o.cwd && !o.user && !d.make_cwd);
	defaults_fini(&d);
}
