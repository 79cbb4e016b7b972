/* SPDX-License-Identifier: Apache-2.0 */
/* joined KERNEL INITRD CMDLINE FILE...: conker-vmm with the files joined to its one disk, its console on standard output. A
 * shell has too few descriptors for it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VALUE_BYTES = 8 << 10 };

static int must_open(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* FD+FD+...:ro */
static char *join(char *const *files)
{
	static char value[VALUE_BYTES];
	size_t used = 0;

	for (; *files; files++)
		used += (size_t)snprintf(value + used, sizeof(value) - used, "%s%d",
					 used ? "+" : "", must_open(*files));
	(void)snprintf(value + used, sizeof(value) - used, ":ro");
	return value;
}

int main(int argc, char **argv)
{
	char kernel[16], initrd[16];

	if (argc < 5)
		return 2;
	(void)snprintf(kernel, sizeof(kernel), "%d", must_open(argv[1]));
	(void)snprintf(initrd, sizeof(initrd), "%d", must_open(argv[2]));
	execlp("conker-vmm", "conker-vmm", "--memory-mib", "64", "--cpus", "1", "--kernel-fd",
	       kernel, "--initrd-fd", initrd, "--cmdline", argv[3], "--console-fd", "1", "--disk",
	       join(argv + 4), NULL);
	perror("conker-vmm");
	return 1;
}
