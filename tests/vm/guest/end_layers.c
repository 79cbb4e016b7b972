/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that mounts /dev/vda, the image of ../layers.sh, and reads what each of its layers brought. Says "layers 30 ok", or
 * what went wrong, and powers the machine off. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LAYERS = 30, EMPTY = 15, LINES = 20 };

static void end(const char *what, int layer)
{
	printf("layers %d %s%s%s\n", layer, what, errno ? ": " : "", errno ? strerror(errno) : "");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void check_line(FILE *f, int layer, const char *want)
{
	char line[64] = "";

	if (!fgets(line, sizeof(line), f) && ferror(f))
		end("read", layer);
	if (strcmp(line, want) != 0)
		end("wrong data", layer);
}

static void check_layer(int layer)
{
	char path[64], want[64];

	snprintf(path, sizeof(path), "/mnt/layer-%d/text", layer);
	FILE *f = fopen(path, "r");
	if (!f)
		end("open", layer);
	for (int i = 1; i <= layer * LINES; i++) {
		snprintf(want, sizeof(want), "layer %d line %d\n", layer, i);
		check_line(f, layer, want);
	}
	check_line(f, layer, "");
	fclose(f);
}

int main(void)
{
	struct stat st;

	mkdir("/dev", 0755);
	mkdir("/mnt", 0755);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY)
		end("devtmpfs", 0);
	if (mount("/dev/vda", "/mnt", "erofs", MS_RDONLY, NULL) < 0)
		end("mount", 0);
	errno = 0;
	for (int layer = 1; layer <= LAYERS; layer++)
		if (layer != EMPTY)
			check_layer(layer);
	if (stat("/mnt/layer-15", &st) < 0 || !S_ISDIR(st.st_mode))
		end("stat", EMPTY);
	FILE *f = fopen("/mnt/last", "r");
	if (!f)
		end("open", LAYERS);
	check_line(f, LAYERS, "30\n");
	end("ok", LAYERS);
}
