/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/sys/user.h. */
#include "guest-init/sys/user.h"
#include "tests/lib/test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment\n"
			     "broken:x:5\n"
			     "badid:x:abc:1::/:\n"
			     "alice:x:1000:100:Alice,,,:/home/alice:/bin/sh\n"
			     "1234:x:77:78::/home/odd:\n"
			     "nohome:x:5:6:::\n"
			     "last:x:9:9::/last:/bin/sh"; /* no newline at the end */
static const char group[] = "root:x:0:\n"
			    "users:x:100:alice\n"
			    "wheel:x:10:root,alice\n"
			    "audio:x:11:al,alicex,alice\n"
			    "video:x:12:alicex\n"
			    "short:x:13\n";

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

static int resolve(const char *spec, struct user *u)
{
	return user_resolve(spec, text(passwd), text(group), u);
}

Test(init_user, name_gives_ids_home_and_groups)
{
	struct user u;

	cr_assert_eq(resolve("alice", &u), 0);
	cr_assert_eq(u.uid, 1000);
	cr_assert_eq(u.gid, 100);
	cr_assert_str_eq(u.home, "/home/alice");
	cr_assert_eq(u.n_groups, 3);
	cr_assert_arr_eq(u.groups, ((uint32_t[]){100, 10, 11}), 12);
}

Test(init_user, uid_finds_its_line)
{
	struct user u;

	cr_assert_eq(resolve("1000", &u), 0);
	cr_assert_eq(u.gid, 100);
	cr_assert_eq(u.n_groups, 3);
}

Test(init_user, name_of_digits_wins_over_the_number)
{
	struct user u;

	cr_assert_eq(resolve("1234", &u), 0);
	cr_assert_eq(u.uid, 77);
}

Test(init_user, unlisted_uid_is_fine_and_has_group_0)
{
	struct user u;

	cr_assert_eq(resolve("4242", &u), 0);
	cr_assert_eq(u.uid, 4242);
	cr_assert_eq(u.gid, 0);
	cr_assert_str_eq(u.home, "/");
	cr_assert_eq(u.n_groups, 1);
}

Test(init_user, explicit_group_replaces_all_groups)
{
	struct user u;

	cr_assert_eq(resolve("alice:wheel", &u), 0);
	cr_assert_eq(u.gid, 10);
	cr_assert_eq(u.n_groups, 1);
	cr_assert_eq(u.groups[0], 10);
	cr_assert_eq(resolve("7:8", &u), 0);
	cr_assert_eq(u.uid, 7);
	cr_assert_eq(u.gid, 8);
}

Test(init_user, missing_files_leave_numbers)
{
	struct user u;

	cr_assert_eq(user_resolve("5:6", (struct text){0}, (struct text){0}, &u), 0);
	cr_assert_eq(u.gid, 6);
	cr_assert_eq(user_resolve("root", (struct text){0}, (struct text){0}, &u), -EINVAL);
}

Test(init_user, refuses_what_is_no_user)
{
	static const char *const bad[] = {
		"",       "nobody", ":0",   "alice:",      "alice:nogroup",
		"broken", "badid",  "al",   "alicex",      "4294967295",
		"-1",     "1 ",     "0x10", "99999999999", "alice:-1",
		"ali",    "short:x"};
	struct user u;

	for (size_t i = 0; i < countof(bad); i++)
		cr_assert_eq(resolve(bad[i], &u), -EINVAL, "%s", bad[i]);
}

Test(init_user, last_line_needs_no_newline)
{
	struct user u;

	cr_assert_eq(resolve("last", &u), 0);
	cr_assert_str_eq(u.home, "/last");
}

Test(init_user, empty_home_is_the_root)
{
	struct user u;

	cr_assert_eq(resolve("nohome", &u), 0);
	cr_assert_str_eq(u.home, "/");
}

Test(init_user, groups_are_bounded)
{
	char many[8192] = "";
	struct user u;

	for (int i = 0; i < 200; i++)
		(void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "g%d:x:%d:alice\n",
			       i, 2000 + i);
	cr_assert_eq(user_resolve("alice", text(passwd), text(many), &u), 0);
	cr_assert_eq(u.n_groups, USER_GROUPS_MAX);
}

/* Any bytes are a possible /etc/passwd; every prefix of a real one must be read within its
 * bounds. */
Test(init_user, every_prefix_stays_in_bounds)
{
	struct user u;

	for (size_t n = 0; n < sizeof(passwd); n++) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, passwd, n);
		(void)!user_resolve("last", (struct text){copy, n}, (struct text){copy, n}, &u);
		free(copy);
	}
}
