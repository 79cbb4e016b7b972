/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - see compare.h. */
#include "tools/bench/compare.h"

#include <errno.h>
#include <unistd.h>

__asm__(".pushsection .rodata.compare, \"a\"\n"
	".globl compare_script\n"
	"compare_script: .incbin \"tools/bench/compare.py\"\n"
	"	.byte 0\n"
	".popsection\n");

extern const char compare_script[];

int compare_exec(const char *first, const char *second)
{
	/* -I: neither the environment nor the directory may give it modules. */
	(void)execlp("python3", "python3", "-I", "-c", compare_script, first, second, (char *)NULL);
	return errno;
}
