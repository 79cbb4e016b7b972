/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen.c - the library can be loaded, used by a thread, and unloaded, again and again, leaving no
 * thread, descriptor or mapping behind; and it exports nothing but what its header names. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 50 };

static int count(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int mapped(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, "libconker") != NULL;
	if (f)
		fclose(f);
	return n;
}

/* In a thread, because its message is thread-local and must not outlive the library. */
static void *use(void *arg)
{
	int (*open_box)(const char *, void **) =
		(int (*)(const char *, void **))dlsym(arg, "conker_box_open");
	const char *(*errmsg)(void) = (const char *(*)(void))dlsym(arg, "conker_errmsg");
	void *box = NULL;

	return open_box && errmsg && open_box("!", &box) < 0 && *errmsg() ? arg : NULL;
}

static int round_trip(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL), *r = NULL;
	pthread_t t;

	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	if (pthread_create(&t, NULL, use, lib) != 0 || pthread_join(t, &r) != 0 || r != lib)
		return 2;
	if (dlsym(lib, "box_teardown") || dlsym(lib, "err_set") || dlsym(lib, "frame_peek"))
		return 3;
	return dlclose(lib) == 0 ? 0 : 4;
}

int main(void)
{
	int fds = count("/proc/self/fd"), r = 0;

	for (int i = 0; i < ROUNDS && r == 0; i++)
		r = round_trip("libconker.so.0");
	if (r)
		return r;
	if (count("/proc/self/fd") != fds || count("/proc/self/task") != 3)
		return 5;
	return mapped() == 0 ? 0 : 6;
}
