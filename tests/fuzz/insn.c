/* SPDX-License-Identifier: Apache-2.0 */
/* insn - any bytes decode within their length, the same whatever follows, or not at all. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "vmm/arch/x86/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct insn i, shorter;
	int r = insn_decode(data, size, &i);

	if (r == 0) {
		assert(i.len >= 1 && i.len <= size && i.len <= INSN_MAX_BYTES);
		assert(i.id < INSN_IDS && i.reg < 16 && i.rm < 16);
		assert(i.base >= INSN_BASE_RIP && i.base < 16);
		assert(i.index >= INSN_NO_REG && i.index < 16 && i.index != 4);
		assert(insn_decode(data, i.len, &shorter) == 0);
		assert(memcmp(&i, &shorter, sizeof(i)) == 0);
		assert(insn_decode(data, i.len - 1U, &shorter) == -ENODATA);
	} else {
		assert(r == -ENOENT || r == -EINVAL || r == -ENODATA);
		assert(r != -EINVAL || size >= INSN_MAX_BYTES);
		assert(r != -ENODATA || size < INSN_MAX_BYTES);
	}
	return 0;
}
