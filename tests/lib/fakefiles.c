/* SPDX-License-Identifier: Apache-2.0 */
/* fakefiles.c - see fakefiles.h. */
#include "tests/lib/fakefiles.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-init/files/operations.h"

enum { ARGS_ROOM = 16, OUT_ROOM = 1 << 20 };

struct fakefiles {
	int argc;
	char *argv[ARGS_ROOM + 1];
	FILE *in, *out, *err;
};

struct fakefiles *fakefiles_new(const Conker__Start *s)
{
	struct fakefiles *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	for (size_t i = 0; i < s->n_argv && i < ARGS_ROOM; i++)
		f->argv[f->argc++] = strdup((char *)s->argv[i].data);
	f->in = tmpfile();
	f->out = tmpfile();
	f->err = tmpfile();
	return f;
}

void fakefiles_input(struct fakefiles *f, const void *data, size_t len)
{
	(void)fwrite(data, 1, len, f->in);
}

/* "CODE/REST" */
static int say(const char *what, int to_stderr)
{
	static char buf[OUT_ROOM];
	char *rest;
	int code = (int)strtoll(what, &rest, 10);
	FILE *file = to_stderr ? NULL : fopen(rest, "r");
	size_t n = file ? fread(buf, 1, sizeof(buf), file) : 0;

	(void)!write(1, buf, n);
	if (to_stderr)
		(void)!write(2, rest + 1, strlen(rest + 1));
	return code;
}

static int child(struct fakefiles *f)
{
	const char *path = f->argc > 3 ? f->argv[3] : "";

	rewind(f->in);
	(void)dup2(fileno(f->in), 0);
	(void)dup2(fileno(f->out), 1);
	(void)dup2(fileno(f->err), 2);
	if (strncmp(path, "/fake/say/", 10) == 0)
		return say(path + 10, 0);
	if (strncmp(path, "/fake/complain/", 15) == 0)
		return say(path + 15, 1);
	if (strncmp(path, "/fake/kill/", 11) == 0)
		(void)raise((int)strtoll(path + 11, NULL, 10));
	return files_main(f->argc, f->argv);
}

struct fakefiles_end fakefiles_run(struct fakefiles *f)
{
	struct fakefiles_end end = {.out = malloc(OUT_ROOM)};
	int status = 0;

	(void)fflush(f->in);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child(f));
	(void)waitpid(pid, &status, 0);
	rewind(f->out);
	rewind(f->err);
	end.out_len = fread(end.out, 1, OUT_ROOM, f->out);
	(void)!fread(end.err, 1, sizeof(end.err) - 1, f->err);
	end.signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	return end;
}

void fakefiles_free(struct fakefiles *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->argc; i++)
		free(f->argv[i]);
	(void)fclose(f->in);
	(void)fclose(f->out);
	(void)fclose(f->err);
	free(f);
}
