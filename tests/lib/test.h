/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - what nearly every unit test wants of Criterion and of libc. */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#endif
