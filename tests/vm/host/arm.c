/* SPDX-License-Identifier: Apache-2.0 */
/* arm.c - the page of a running program under tests/fault/inject.h.
 *
 *	arm PAGE new		makes the file
 *	arm PAGE KIND AT	the AT-th call of that kind (a number of enum fault_kind) from now on fails
 *	arm PAGE		disarms, and prints which call has failed, if one did
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fault/inject.h"

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct fault_page)) < 0)
		return 1;
	struct fault_page *page =
		mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || (argc != 3 && !page->loaded))
		return 1;
	page->kind = FAULT_NONE;
	if (argc == 2 && page->hit)
		printf("%.*s\n", (int)sizeof(page->call), page->call);
	if (argc < 4)
		return 0;
	page->hit = 0;
	page->at = strtoll(argv[3], NULL, 10);
	for (int k = 0; k < FAULT_KINDS; k++)
		page->count[k] = 0;
	page->kind = (int)strtoll(argv[2], NULL, 10);
	return 0;
}
