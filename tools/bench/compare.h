/* SPDX-License-Identifier: Apache-2.0 */
/* compare.h - two results of one host beside each other, by a script that lies in this program (compare.py). */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

/* Becomes python3 with the script, which reads both files and prints; or returns an errno: there is none. */
int compare_exec(const char *first, const char *second);

#endif
