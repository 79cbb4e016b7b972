/* SPDX-License-Identifier: Apache-2.0 */
/* blobs.h - blobs by digest, out of an archive or through the door; and JSON in them.
 *
 * JSON is a stranger's: at most LIMIT_JSON_BYTES, no key twice in an object, and looked at by functions that take a wrong
 * type for nothing.
 */
#ifndef IMAGE_BLOBS_H
#define IMAGE_BLOBS_H

#include <jansson.h>

#include "image/archive.h"
#include "image/span.h"
#include "util/err.h"
#include "util/sha256.h"

struct blobs {
	const struct archive *archive; /* NULL: the layout is a directory, */
	int door;                      /* to which this leads */
};

/* The blob with the digest `hex`, of so many bytes (negative: unknown). blob_close() if it was opened. */
must_check int blob_open(const struct blobs *b, const char *hex, int64_t bytes, struct span *ret,
			 struct err *e);
/* A file of the layout by its name: index.json, oci-layout. -ENOENT without a message: there is none. */
must_check int blob_open_named(const struct blobs *b, const char *name, struct span *ret);
void blob_close(const struct blobs *b, struct span *s);

/* "sha256:HEX" to HEX. -ENOTSUP: of another kind; -EINVAL. */
must_check int digest_parse(const char *s, char ret[SHA256_TEXT_BYTES], struct err *e);

/* All of the span as JSON; its digest must be `hex`, unless that is NULL, and is put to ret_sum, unless that is. */
must_check int json_read(struct span *s, const char *hex, const char *what,
			 char ret_sum[SHA256_TEXT_BYTES], json_t **ret, struct err *e);
/* The blob of a descriptor {digest, size}. */
must_check int json_blob(const struct blobs *b, const json_t *descriptor, const char *what,
			 char ret_hex[SHA256_TEXT_BYTES], json_t **ret, struct err *e);
/* A string in an object, or "". */
const char *json_text(const json_t *object, const char *key);

static inline void json_putp(json_t **j)
{
	json_decref(*j);
}
#define auto_json cleanup_(json_putp)

#endif
