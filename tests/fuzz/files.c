/* SPDX-License-Identifier: Apache-2.0 */
/* files - any bytes as records about files: each that is taken can be put again, byte for byte. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[FILES_RECORD_MAX];
	struct files_record r;
	size_t at = 0, used;
	int got;

	while ((got = files_take(data + at, size - at, &r, &used)) == 1) {
		assert(used <= size - at && used <= FILES_RECORD_MAX);
		assert(files_put(&r, again) == (int)used && memcmp(again, data + at, used) == 0);
		at += used;
	}
	assert(got < 0 || size - at < FILES_RECORD_MAX);
	return 0;
}
