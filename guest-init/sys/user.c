/* SPDX-License-Identifier: Apache-2.0 */
/* user.c - see user.h. */
#include "guest-init/sys/user.h"

#include <errno.h>
#include <string.h>

#include "util/num.h"

enum { FIELDS_MAX = 7 };

struct fields {
	struct text f[FIELDS_MAX];
	size_t n;
};

static int text_is(struct text t, const char *s, size_t len)
{
	return t.len == len && memcmp(t.p, s, len) == 0;
}

/* Cuts the next line off rest and splits it at ':'. 0 at the end of the text. */
static int next_line(struct text *rest, struct fields *ret)
{
	if (rest->len == 0)
		return 0;

	const char *nl = memchr(rest->p, '\n', rest->len);
	struct text line = {rest->p, nl ? (size_t)(nl - rest->p) : rest->len};
	size_t used = nl ? line.len + 1 : line.len;

	rest->p += used;
	rest->len -= used;
	for (ret->n = 0; ret->n < FIELDS_MAX; ret->n++) {
		const char *colon = line.len ? memchr(line.p, ':', line.len) : NULL;
		size_t n = colon ? (size_t)(colon - line.p) : line.len;

		ret->f[ret->n] = (struct text){line.p, n};
		if (!colon) {
			ret->n++;
			break;
		}
		line.p += n + 1;
		line.len -= n + 1;
	}
	return 1;
}

static int parse_id(const char *p, size_t len, uint32_t *ret)
{
	uint64_t v;

	/* (uid_t)-1 means "unchanged" to the system calls. */
	if (num_parse(p, len, 10, UINT32_MAX - 1, &v) < 0)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

enum passwd_field { PW_NAME, PW_PASSWORD, PW_UID, PW_GID, PW_GECOS, PW_HOME };
enum group_field { GR_NAME, GR_PASSWORD, GR_GID, GR_MEMBERS };

static void keep_home(struct text home, struct user *u)
{
	if (home.len == 0 || home.len >= sizeof(u->home))
		return;
	memcpy(u->home, home.p, home.len);
	u->home[home.len] = 0;
}

/* Finds a user by name, or by u->uid when name is empty; fills u and cuts *name to the one found. */
static int find_user(struct text passwd, struct text *name, struct user *u)
{
	struct fields l;

	while (next_line(&passwd, &l)) {
		uint32_t uid, gid;

		if (l.n <= PW_HOME || parse_id(l.f[PW_UID].p, l.f[PW_UID].len, &uid) < 0 ||
		    parse_id(l.f[PW_GID].p, l.f[PW_GID].len, &gid) < 0)
			continue;
		if (name->len ? !text_is(l.f[PW_NAME], name->p, name->len) : uid != u->uid)
			continue;
		u->uid = uid;
		u->gid = gid;
		*name = l.f[PW_NAME];
		keep_home(l.f[PW_HOME], u);
		return 0;
	}
	return -ENOENT;
}

static int find_group(struct text group, const char *name, size_t name_len, uint32_t *ret)
{
	struct fields l;

	while (next_line(&group, &l))
		if (l.n > GR_GID && text_is(l.f[GR_NAME], name, name_len) &&
		    parse_id(l.f[GR_GID].p, l.f[GR_GID].len, ret) == 0)
			return 0;
	return parse_id(name, name_len, ret);
}

static int is_member(struct text members, struct text name)
{
	while (members.len > 0) {
		const char *comma = memchr(members.p, ',', members.len);
		size_t n = comma ? (size_t)(comma - members.p) : members.len;

		if (text_is(name, members.p, n))
			return 1;
		n += comma ? 1 : 0;
		members.p += n;
		members.len -= n;
	}
	return 0;
}

static void add_groups(struct text group, struct text name, struct user *u)
{
	struct fields l;

	while (name.len && u->n_groups < USER_GROUPS_MAX && next_line(&group, &l)) {
		uint32_t gid;

		if (l.n <= GR_MEMBERS || parse_id(l.f[GR_GID].p, l.f[GR_GID].len, &gid) < 0)
			continue;
		if (gid != u->gid && is_member(l.f[GR_MEMBERS], name))
			u->groups[u->n_groups++] = gid;
	}
}

int user_resolve(const char *spec, struct text passwd, struct text group, struct user *ret)
{
	size_t len = strlen(spec);
	const char *colon = strchr(spec, ':');
	struct text name = {spec, colon ? (size_t)(colon - spec) : len};

	*ret = (struct user){.home = "/"};
	if (name.len == 0 || len > USER_SPEC_MAX_BYTES)
		return -EINVAL;
	if (find_user(passwd, &name, ret) < 0) {
		if (parse_id(name.p, name.len, &ret->uid) < 0)
			return -EINVAL;
		name.len = 0;
		(void)find_user(passwd, &name, ret); /* unlisted is fine */
	}
	if (colon && find_group(group, colon + 1, strlen(colon + 1), &ret->gid) < 0)
		return -EINVAL;
	ret->groups[ret->n_groups++] = ret->gid;
	if (!colon)
		add_groups(group, name, ret);
	return 0;
}
