/* json.h - reads and writes the JSON of our own result files. Pure.
 *
 * A subset of RFC 8259 that every other program reads: strings of printable ASCII, whole numbers below 2^64,
 * objects, arrays, true, false and null. What others add is skipped if it is made of the same. Nothing is
 * allocated, nesting is bounded by JSON_DEPTH_MAX, and each byte is looked at once.
 */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "tools/bench/text.h"
#include "util/util.h"

enum { JSON_DEPTH_MAX = 8, JSON_KEY_BYTES = 32 };

struct json {
	const char *at, *end;
	int depth;
};

/* s need not be NUL-terminated and outlives j. */
void json_init(struct json *j, const char *s, size_t len);

/* Each reads one value and what white space is before it: 0, or -EINVAL when something else is there (-E2BIG: a
 * string that does not fit with its NUL, or a number of 2^64 or more). After an error j is of no more use. */
must_check int json_read_string(struct json *j, char *ret, size_t size);
must_check int json_read_uint(struct json *j, uint64_t *ret);
must_check int json_skip(struct json *j);

/* Calls fn for each member, or each element; fn reads the value and returns 0, or an error, which ends it. A key
 * that is longer than JSON_KEY_BYTES - 1 is none of ours: fn gets its beginning. */
typedef int json_member_fn(struct json *j, const char *key, void *user);
typedef int json_element_fn(struct json *j, void *user);
must_check int json_each_member(struct json *j, json_member_fn *fn, void *user);
must_check int json_each_element(struct json *j, json_element_fn *fn, void *user);

/* Whether nothing but white space is left. */
int json_at_end(struct json *j);

/* A string with its quotes. s is printable ASCII (text_ascii()). */
void json_write_string(struct text *t, const char *s);

#endif
