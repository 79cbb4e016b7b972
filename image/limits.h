/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - what an archive may ask of this host before it is refused. Each refusal names the entry and the bound. */
#ifndef IMAGE_LIMITS_H
#define IMAGE_LIMITS_H

#include <stdint.h>

enum {
	LIMIT_ENTRIES = 1000000, /* of all layers together; --max-entries */
	LIMIT_RATIO =
		200, /* of bytes unpacked to bytes read, above LIMIT_RATIO_FREE_BYTES; --max-ratio */
	LIMIT_RATIO_FREE_BYTES = 256 << 20,
	LIMIT_LAYERS = 512,
	LIMIT_DEPTH = 256,           /* of directories */
	LIMIT_LINKS = 40,            /* symbolic links on the way to one entry, as Linux has it */
	LIMIT_STEPS = 50000000,      /* names on the ways through links, of all entries together */
	LIMIT_CHUNKS = 64 << 10,     /* of one file with holes ... */
	LIMIT_CHUNKS_ALL = 16 << 20, /* ... and of all */
	LIMIT_JSON_BYTES = 4 << 20,  /* of an index, a manifest, a configuration */
	LIMIT_MEMBERS = 16384,       /* of an archive of images */
	LIMIT_MEMORY_BYTES = 1 << 30,
	LIMIT_CPU_S = 3600,
};

#define LIMIT_BYTES (64ULL << 30) /* of the streams of all layers; --max-bytes */

struct limits {
	uint64_t entries, bytes, ratio;
};

#endif
