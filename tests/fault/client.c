/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - the conker command against the fake VMM, with each call failing once.
 *
 *	client -l | [-v] [-e EVERY [-f FIRST]] [-k KIND] BUILD [OPERATION]...
 *
 * This program is the VMM too (tests/lib/fakevmm.c), so that a round costs milliseconds and no guest. What
 * must hold: the command does all it should, with status 0, or says on one line of stderr why not, with
 * status 125; it never hangs; and afterwards, at once or by the next command, there is no process, no
 * directory, no file too many, and a box that was there still serves.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/drive.h"
#include "tests/lib/fakeinit.h"
#include "util/util.h"

enum { ARGS = 16 };

enum box { BOX_NONE, BOX_STAYS, BOX_EACH /* a new one for each round */ };

struct operation {
	const char *name;
	enum box box;
	const char *args[ARGS];
	const char *in;  /* its standard input */
	const char *out; /* what it prints when all is well; NULL: whatever */
	/* Files that it makes, or there is none: with the content of the source; by a tool of the host. */
	const char *result, *made;
};

static const struct operation operations[] = {
	{"run", BOX_NONE, {"run", "--", "echo", "hello"}, "", "hello\n", NULL, NULL},
	{"create", BOX_NONE, {"create", "--name", "new"}, "", "new\n", NULL, NULL},
	{"exec", BOX_STAYS, {"exec", "box", "--", "echo", "hello"}, "", "hello\n", NULL, NULL},
	{"exec_input",
	 BOX_STAYS,
	 {"exec", "-i", "box", "--", "cat"},
	 "text\n",
	 "text\n",
	 NULL,
	 NULL},
	{"exec_detached", BOX_STAYS, {"exec", "-d", "box", "--", "true"}, "", NULL, NULL, NULL},
	{"ls", BOX_STAYS, {"ls"}, "", NULL, NULL, NULL},
	{"fs_ls", BOX_STAYS, {"fs", "ls", "box", "%"}, "", NULL, NULL, NULL},
	{"info", BOX_STAYS, {"info", "box"}, "", NULL, NULL, NULL},
	{"ps", BOX_STAYS, {"ps", "box"}, "", NULL, NULL, NULL},
	{"logs", BOX_STAYS, {"logs", "box"}, "", "fake console\n", NULL, NULL},
	{"cp_in", BOX_STAYS, {"cp", "-q", "source", "box:%/copy"}, "", "", "copy", NULL},
	{"cp_out", BOX_STAYS, {"cp", "-q", "box:%/source", "copy"}, "", "", "copy", NULL},
	{"stop", BOX_EACH, {"stop", "each"}, "", "", NULL, NULL},
	{"rm", BOX_EACH, {"rm", "-f", "each"}, "", "", NULL, NULL},
	{"snapshot", BOX_STAYS, {"snapshot", "box", "%/snap"}, "", NULL, NULL, NULL},
	{"restore",
	 BOX_STAYS,
	 {"run", "--from", "%/from", "--", "echo", "hello"},
	 "",
	 "hello\n",
	 NULL,
	 NULL},
	{"suspend", BOX_EACH, {"suspend", "each"}, "", "", NULL, NULL},
	{"resume", BOX_EACH, {"exec", "each", "--", "echo", "hello"}, "", "hello\n", NULL, NULL},
	{"image_import",
	 BOX_NONE,
	 {"image", "import", "imported", "%/tree"},
	 "",
	 NULL,
	 NULL,
	 "names/imported"},
};

struct client {
	const struct operation *op;
	const char *home; /* where guest, images and boxes are, and copies go */
	char exe[600];
	char source[4096];
	const char *env[9];
};

/* ---- running conker -------------------------------------------------------------------------------- */

static int input_of(const char *text)
{
	int fd = memfd_create("in", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror("stdin");
	(void)lseek(fd, 0, SEEK_SET);
	return fd;
}

/* '%' in an argument stands for home. */
static void conker(struct drive *d, const struct client *c, const char *const *args, const char *in,
		   enum fault_kind kind, long at, struct ended *ret)
{
	char room[ARGS][256];
	const char *argv[ARGS + 2] = {c->exe};

	for (int i = 0; i < ARGS && args[i]; i++) {
		const char *p = strchr(args[i], '%');

		argv[i + 1] = args[i];
		if (p) {
			(void)snprintf(room[i], sizeof(room[i]), "%.*s%s%s", (int)(p - args[i]),
				       args[i], c->home, p + 1);
			argv[i + 1] = room[i];
		}
	}
	struct program p = {.argv = argv, .env = c->env, .fds = {input_of(in), -1, -1}, .nfds = 3};
	drive_run(d, &p, kind, at, DRIVE_LEAVE, ret);
	close(p.fds[0]);
}

static int in_peace(struct drive *d, const struct client *c, const char *const *args,
		    struct ended *ret)
{
	conker(d, c, args, "", FAULT_NONE, 0, ret);
	return ret->status;
}

#define ARGV(...) ((const char *const[ARGS]){__VA_ARGS__})

/* ---- what is left ---------------------------------------------------------------------------------- */

/* Names in home/sub, but for those in the list of words. */
static void list(const struct client *c, const char *sub, const char *expected, char *ret)
{
	char path[300], word[300];
	struct dirent *de;

	(void)snprintf(path, sizeof(path), "%s/%s", c->home, sub);
	DIR *d = opendir(path);
	ret[0] = 0;
	while (d && (de = readdir(d))) {
		(void)snprintf(word, sizeof(word), " %s ", de->d_name);
		if (!strstr(expected, word))
			wrong(ret, "%s ", de->d_name);
	}
	if (d)
		closedir(d);
}

static int file_is(const struct client *c, const char *name, const char *content)
{
	char path[300], buf[sizeof(c->source)];

	(void)snprintf(path, sizeof(path), "%s/%s", c->home, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(content) && memcmp(buf, content, (size_t)n) == 0;
}

static void remove_result(const struct client *c)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", c->home, c->op->result);
	(void)unlink(path);
}

static int is(const struct client *c, const char *name)
{
	return strcmp(c->op->name, name) == 0;
}

static void remove_snapshot(const char *name)
{
	static const char *const files[] = {"/manifest", "/state", "/memory", ""};
	char path[64];

	for (size_t i = 0; i < countof(files); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", name, files[i]);
		(void)remove(path);
	}
}

/* It is there when the command says so, and then it is whole. */
static void check_snapshot(struct drive *d, const struct client *c, int status, char *why)
{
	struct ended e;

	/* It has its name before the last fsync(), and before the connections end. */
	if (status == 0 && access("snap", F_OK) < 0)
		wrong(why, "no snapshot; ");
	if (access("snap", F_OK) == 0 &&
	    in_peace(d, c, ARGV("run", "--from", "%/snap", "--", "true"), &e) != 0)
		wrong(why, "the snapshot is of no use: %s; ", e.err);
	remove_snapshot("snap");
}

/* What a failed import left goes with the next commands, and nothing else is in its place. */
static void check_store(struct drive *d, const struct client *c, const char *kept, char *left,
			char *why)
{
	static const char *const subs[] = {"names", "made", "layers"};
	struct ended e;

	(void)unlink(c->op->made);
	if (in_peace(d, c, ARGV("image", "prune", "--all"), &e) != 0)
		wrong(why, "no prune: %s; ", e.err);
	for (size_t i = 0; i < countof(subs); i++) {
		list(c, subs[i], " . .. ", left);
		if (left[0])
			wrong(why, "in %s: %s; ", subs[i], left);
	}
	list(c, "", kept, left);
}

static void check_files(struct drive *d, const struct client *c, int status, char *why)
{
	char left[DRIVE_TEXT];

	if (c->op->result && (status == 0 || file_is(c, c->op->result, c->source))) {
		if (!file_is(c, c->op->result, c->source))
			wrong(why, "'%s' is not what was copied; ", c->op->result);
		remove_result(c); /* all of it may have come though its sender does not know */
	}
	/* It is in its place before the last fsync(). */
	int may_be = c->op->made && strcmp(d->page->call, "fsync") == 0;
	if (c->op->made && !may_be && (access(c->op->made, F_OK) == 0) != (status == 0))
		wrong(why, "status %d, but '%s' says otherwise; ", status, c->op->made);
	const char *kept =
		" . .. tree conker vmlinux vmlinux-smp initrd.cpio base.erofs source from "
		"names made layers ";
	if (strcmp(c->op->name, "snapshot") == 0)
		check_snapshot(d, c, status, why);
	list(c, "", kept, left);
	if (c->op->made)
		check_store(d, c, kept, left, why);
	if (left[0])
		wrong(why, "files left: %s; ", left);
	if (c->op->result)
		remove_result(c);
}

/* The command's own word: one line that names what failed, or none. */
static void check_said(const struct drive *d, const struct client *c, const struct ended *e,
		       enum fault_kind kind, char *why)
{
	int hit = d->page->hit;
	const char *nl = strchr(e->err, '\n');

	if (e->status == -1) {
		wrong(why, "it hangs; ");
		return;
	}
	if (e->status == 0) {
		if (c->op->out && strcmp(e->out, c->op->out) != 0)
			wrong(why, "it printed '%s'; ", e->out);
		return;
	}
	if (e->status != 125)
		wrong(why, "status %d; ", e->status);
	if (!hit || kind == FAULT_INTERRUPT)
		wrong(why, "it failed: %s; ", e->err);
	if (strncmp(e->err, "conker: ", 8) != 0 || !nl || nl[1])
		wrong(why, "not one line: '%s'; ", e->err);
	else if (!tells(e->err, d->page) && !strstr(e->err, "ended with status 127"))
		wrong(why, "it does not tell: %s; ", e->err);
}

/* Boxes are what they were, at the latest after the next command. */
static void check_boxes(struct drive *d, const struct client *c, int status, char *why)
{
	const char *kept = c->op->box == BOX_STAYS ? " . .. box " : " . .. ";
	char left[DRIVE_TEXT];
	struct ended e;

	if (strcmp(c->op->name, "rm") == 0 && status == 0) {
		list(c, "conker/boxes", kept, left);
		if (left[0])
			wrong(why, "it did not remove %s; ", left);
	}
	if (c->op->box == BOX_EACH)
		(void)in_peace(d, c, ARGV("rm", "-f", "each"), &e);
	else if (strcmp(c->op->name, "create") == 0 && status == 0)
		(void)in_peace(d, c, ARGV("rm", "-f", "new"), &e);
	list(c, "conker/boxes", kept, left);
	if (left[0]) {
		if (d->verbose)
			printf("    the next command removes %s\n", left);
		(void)in_peace(d, c, ARGV("ls", "--all"), &e);
		list(c, "conker/boxes", kept, left);
	}
	if (left[0])
		wrong(why, "boxes left: %s; ", left);
	list(c, "conker/kept", " . .. ", left);
	if (left[0])
		wrong(why, "kept on disk: %s; ", left);
	int n = drive_children(c->op->box == BOX_STAYS);
	if (n != (c->op->box == BOX_STAYS))
		wrong(why, "%d processes; ", n);
	if (c->op->box == BOX_STAYS &&
	    (in_peace(d, c, ARGV("exec", "box", "--", "echo", "alive"), &e) != 0 ||
	     strcmp(e.out, "alive\n") != 0))
		wrong(why, "the box no longer serves: %s; ", e.err);
}

static void check_books(const struct fault_page *page, char *why)
{
	if (!page->exited)
		wrong(why, "it did not come to its exit; ");
	else if (page->allocs || page->maps || page->fds)
		wrong(why, "left: %ld pieces of memory, %ld mappings, %ld descriptors; ",
		      page->allocs, page->maps, page->fds);
}

static void round_of(struct drive *d, void *user, enum fault_kind kind, long at, char *why)
{
	const struct client *c = user;
	struct fault_page seen;
	struct ended e;

	if (c->op->box == BOX_EACH && in_peace(d, c, ARGV("create", "--name", "each"), &e) != 0)
		wrong(why, "no box to begin with: %s; ", e.err);
	if (is(c, "resume") && in_peace(d, c, ARGV("suspend", "each"), &e) != 0)
		wrong(why, "it cannot be suspended: %s; ", e.err);
	conker(d, c, c->op->args, c->op->in, kind, at, &e);
	seen = *d->page;
	if (d->verbose)
		printf("    %s %ld %s: %d %s\n", kind_name(kind), at, seen.hit ? seen.call : "-",
		       e.status, e.err);
	check_said(d, c, &e, kind, why);
	check_books(&seen, why);
	check_files(d, c, e.status, why);
	*d->page = seen;
	check_boxes(d, c, e.status, why);
	*d->page = seen; /* what the peaceful commands did does not count */
}

static void set_up(struct client *c, const char *build)
{
	static char guest[128], images[128], run[128], state[128], cache[128], vmm[4200],
		image[4200];
	char path[300];

	c->home = fakevmm_use();
	(void)snprintf(c->exe, sizeof(c->exe), "%s/tests/fault/conker", build);
	(void)snprintf(guest, sizeof(guest), "CONKER_GUEST=%s", c->home);
	(void)snprintf(images, sizeof(images), "CONKER_IMAGES=%s", c->home);
	(void)snprintf(run, sizeof(run), "XDG_RUNTIME_DIR=%s", c->home);
	(void)snprintf(state, sizeof(state), "XDG_STATE_HOME=%s", c->home);
	(void)snprintf(cache, sizeof(cache), "XDG_CACHE_HOME=%s", c->home);
	(void)snprintf(vmm, sizeof(vmm), "CONKER_VMM=%s", getenv("CONKER_VMM"));
	(void)snprintf(image, sizeof(image), "CONKER_IMAGE_PROGRAM=%s/conker-image", build);
	const char *env[] = {guest, images, run, state, cache, vmm, image, "PATH=/usr/bin:/bin",
			     NULL};
	memcpy(c->env, env, sizeof(env));
	memset(c->source, 'x', sizeof(c->source) - 1);
	(void)snprintf(path, sizeof(path), "%s/source", c->home);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, c->source, sizeof(c->source) - 1) < 0 || chdir(c->home) < 0)
		perror(path);
	close(fd);
	if (mkdir("tree", 0755) < 0 || mkdir("tree/etc", 0755) < 0)
		perror("tree");
}

static int wanted(const struct operation *op, char **names)
{
	if (!*names)
		return 1;
	for (; *names; names++)
		if (strcmp(*names, op->name) == 0)
			return 1;
	return 0;
}

static void list_operations(void)
{
	for (size_t i = 0; i < countof(operations); i++)
		puts(operations[i].name);
}

static void loops(struct drive *d, struct client *c)
{
	struct ended e;
	char name[64];

	if (c->op->box == BOX_STAYS && in_peace(d, c, ARGV("create", "--name", "box"), &e) != 0)
		printf("not ok fault.%s (no box: %s)\n", c->op->name, e.err);
	if (is(c, "restore") && in_peace(d, c, ARGV("snapshot", "box", "%/from"), &e) != 0)
		printf("not ok fault.%s (no snapshot: %s)\n", c->op->name, e.err);
	(void)snprintf(name, sizeof(name), "client.%s", c->op->name);
	drive_kinds(d, name, 0, round_of, c);
	if (c->op->box == BOX_STAYS)
		(void)in_peace(d, c, ARGV("rm", "-f", "box"), &e);
	remove_snapshot("from");
}

int main(int argc, char **argv)
{
	struct client c = {0};
	struct drive d;

	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		list_operations();
		return 0;
	}
	int at = drive_init(&d, argc, argv);
	if (at < 0 || at >= argc) {
		(void)fprintf(stderr, "usage: client -l | [-v] [-e EVERY [-f FIRST]] [-k KIND] "
				      "BUILD [OPERATION]...\n");
		return 2;
	}
	set_up(&c, argv[at]);
	for (size_t i = 0; i < countof(operations); i++) {
		c.op = &operations[i];
		if (wanted(c.op, argv + at + 1))
			loops(&d, &c);
	}
	(void)drive_kill_all();
	fakevmm_clean();
	return drive_fini(&d);
}
