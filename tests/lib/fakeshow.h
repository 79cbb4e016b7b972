/* SPDX-License-Identifier: Apache-2.0 */
/* fakeshow.h - what the fake init was asked, as text. */
#ifndef TESTS_LIB_FAKESHOW_H
#define TESTS_LIB_FAKESHOW_H

#include "proto/codec.h"

/* A line for each part of a Start, to be freed. */
char *fakeshow_start(const Conker__Start *s);
/* Of a Resume; NULL: it had none. */
void fakeshow_lifetime(char *ret, size_t size, const Conker__Lifetime *l);

#endif
