/* SPDX-License-Identifier: Apache-2.0 */
/* init_ports.c - arbitrary text as /proc/net/tcp: root in the box has its say in what stands there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "guest-init/serve/ports.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t port[] = {0, 80, 8080, 65535};
	char *text = malloc(size + 1); /* exactly as large, so that a byte too far is seen */

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	assert(ports_scan(text, size, port, (int)countof(port)) < 1u << countof(port));
	free(text);
	return 0;
}
