/* SPDX-License-Identifier: Apache-2.0 */
/* generation.h - a file of the box that says which copy of it this is.
 *
 * GENERATION_FILE holds 32 hexadecimal digits and a newline: the generation that the last Resume brought, or
 * zeros before the first. It appears with the first Freeze; a process that keeps state which must not exist twice
 * (random numbers, identities) reads it beside each use, or has inotify tell of IN_MODIFY. All copies of a
 * box are told before any of their processes runs. Beside it, the kernel's generator has been reseeded by
 * then (vmgenid), which needs no care of anybody's.
 *
 * The file is found under init's view of the box's root directory, each symbolic link resolved within that; what
 * users mount there later hides it from them. Whatever else they put in its place is removed, not opened.
 */
#ifndef INIT_SERVE_GENERATION_H
#define INIT_SERVE_GENERATION_H

#include <stdint.h>

#include "proto/codec.h"

#define GENERATION_FILE "/run/conker/generation"

/* Makes the file below root if *fd (0: none yet) is not that file any more. Without one there is none:
 * *fd is 0 then. */
void generation_open(int *fd, const char *root);

/* The kernel's generator; 0: none. Where a restore raises the interrupt of the generation page, that reseeds it as well;
 * it does not where a Resume is sure to come, nor is it sure to be taken first on several CPUs: generation_seed() is what
 * comes before the first user process. One system call on our kernel: the generator's key XOR the seed is the new one;
 * two and five hashes of its pool elsewhere. */
must_check int generation_open_random(const char *root);
void generation_seed(int random_fd, const uint8_t seed[SEED_BYTES]);

/* One system call. */
void generation_put(int fd, const uint8_t generation[GENERATION_BYTES]);

#endif
