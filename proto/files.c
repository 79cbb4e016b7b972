/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - see files.h. */
#include "proto/files.h"

#include <errno.h>
#include <string.h>

#include "util/le.h"

enum {
	LENGTH_BYTES = 4,
	AT_KIND = 0,
	AT_CHANGE = 1,
	AT_ZERO = 2,
	AT_NAME = 4,
	AT_TARGET = 6,
	AT_MODE = 8,
	AT_UID = 12,
	AT_GID = 16,
	AT_NLINK = 20,
	AT_BYTES = 24,
	AT_ALLOCATED = 32,
	AT_MTIME = 40,
};

int files_put(const struct files_record *r, uint8_t *buf)
{
	size_t name = strlen(r->name), target = strlen(r->target);
	size_t len = FILES_FIXED_BYTES + name + target + 2;
	uint8_t *p = buf + LENGTH_BYTES;

	if (name > FILES_STRING_MAX || target > FILES_STRING_MAX)
		return -ENAMETOOLONG;
	le_put(buf, len, LENGTH_BYTES);
	p[AT_KIND] = (uint8_t)r->kind;
	p[AT_CHANGE] = (uint8_t)r->change;
	le_put(p + AT_ZERO, 0, 2);
	le_put(p + AT_NAME, name, 2);
	le_put(p + AT_TARGET, target, 2);
	le_put(p + AT_MODE, r->mode, 4);
	le_put(p + AT_UID, r->uid, 4);
	le_put(p + AT_GID, r->gid, 4);
	le_put(p + AT_NLINK, r->nlink, 4);
	le_put(p + AT_BYTES, r->bytes, 8);
	le_put(p + AT_ALLOCATED, r->allocated_bytes, 8);
	le_put(p + AT_MTIME, (uint64_t)r->mtime_us, 8);
	memcpy(p + FILES_FIXED_BYTES, r->name, name + 1);
	memcpy(p + FILES_FIXED_BYTES + name + 1, r->target, target + 1);
	return (int)(LENGTH_BYTES + len);
}

/* A string of exactly n bytes and a NUL. */
static int is_string(const uint8_t *p, size_t n)
{
	return p[n] == 0 && !memchr(p, 0, n);
}

static int take_fixed(const uint8_t *p, struct files_record *ret)
{
	*ret = (struct files_record){
		.kind = (enum files_kind)p[AT_KIND],
		.change = (enum files_change)p[AT_CHANGE],
		.mode = (uint32_t)le_get(p + AT_MODE, 4),
		.uid = (uint32_t)le_get(p + AT_UID, 4),
		.gid = (uint32_t)le_get(p + AT_GID, 4),
		.nlink = (uint32_t)le_get(p + AT_NLINK, 4),
		.bytes = le_get(p + AT_BYTES, 8),
		.allocated_bytes = le_get(p + AT_ALLOCATED, 8),
		.mtime_us = (int64_t)le_get(p + AT_MTIME, 8),
	};
	if (p[AT_KIND] < FILES_ENTRY || p[AT_KIND] > FILES_CHANGE || le_get(p + AT_ZERO, 2) != 0)
		return -EPROTO;
	if (ret->kind != FILES_CHANGE)
		return p[AT_CHANGE] == 0 ? 0 : -EPROTO;
	return p[AT_CHANGE] >= FILES_CREATED && p[AT_CHANGE] <= FILES_OVERFLOW ? 0 : -EPROTO;
}

int files_take(const uint8_t *buf, size_t len, struct files_record *ret, size_t *ret_used)
{
	const uint8_t *p = buf + LENGTH_BYTES, *strings = p + FILES_FIXED_BYTES;

	if (len < LENGTH_BYTES)
		return 0;
	uint64_t rest = le_get(buf, LENGTH_BYTES);
	if (rest < FILES_FIXED_BYTES + 2 || rest > FILES_RECORD_MAX - LENGTH_BYTES)
		return -EPROTO;
	if (len - LENGTH_BYTES < rest)
		return 0;
	size_t name = le_get(p + AT_NAME, 2), target = le_get(p + AT_TARGET, 2);
	if (rest != FILES_FIXED_BYTES + name + target + 2 || take_fixed(p, ret) < 0)
		return -EPROTO;
	if (!is_string(strings, name) || !is_string(strings + name + 1, target))
		return -EPROTO;
	ret->name = (const char *)strings;
	ret->target = (const char *)strings + name + 1;
	*ret_used = LENGTH_BYTES + (size_t)rest;
	return 1;
}
