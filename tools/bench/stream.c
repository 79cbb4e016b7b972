/* SPDX-License-Identifier: Apache-2.0 */
/* stream - how many bytes a second pass between a command and its caller, beside plain vsock.
 *
 *   stream [-n ROUNDS] [-s MIB] DIRECTORY COMMAND
 *
 * DIRECTORY has the guest's program `pump`. A round moves MIB out of a box through the stdout of one
 * execution, and into it through the stdin of another, each from its start to its exit. COMMAND, run by
 * sh, starts a second machine whose PID 1 is `pump` itself, with the listening socket that it finds as
 * descriptor 9 for its vsock port 5000: the same bytes, kernel, VMM and device without our protocol.
 * All four take turns.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conker.h"
#include "tools/bench/boxes.h"
#include "tools/bench/host.h"
#include "tools/bench/jail.h"
#include "tools/bench/machine.h"
#include "tools/bench/table.h"
#include "util/num.h"

enum { BLOCK_BYTES = 256 << 10, LISTEN_FD = 9 };

struct options {
	unsigned rounds, mib;
	const char *dir, *command;
};

struct bench {
	conker_box *box;
	uint64_t bytes;
	struct sockaddr_un plain;
	int listener;
	pid_t vmm;
	struct result r;
	struct series *out, *in, *plain_out, *plain_in;
};

extern char **environ;
static char block[BLOCK_BYTES];

/* ---- through an execution --------------------------------------------------------------------- */

static int pump_out(struct bench *b)
{
	char count[24];
	const char *argv[] = {"/tmp/pump", "out", count, NULL};
	struct ran ran;

	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)b->bytes);
	return boxes_run(b->box, argv, &ran) == 0 && ran.bytes == b->bytes ? 0 : -1;
}

static int pump_in(struct bench *b)
{
	const char *argv[] = {"/tmp/pump", "in", NULL};
	struct ran ran;

	return boxes_feed(b->box, argv, block, sizeof(block), b->bytes, &ran);
}

/* ---- plain vsock ------------------------------------------------------------------------------ */

static int start_plain(struct bench *b, const char *command)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
	posix_spawn_file_actions_t fa;

	b->plain.sun_family = AF_UNIX;
	(void)snprintf(b->plain.sun_path, sizeof(b->plain.sun_path), "/tmp/bench-stream.%d",
		       (int)getpid());
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (b->listener < 0 ||
	    bind(b->listener, (struct sockaddr *)&b->plain, sizeof(b->plain)) < 0 ||
	    listen(b->listener, 8) < 0)
		return -1;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, b->listener, LISTEN_FD);
	int r = posix_spawnp(&b->vmm, "sh", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return r ? -1 : 0;
}

static void stop_plain(struct bench *b)
{
	if (b->vmm > 0) {
		kill(b->vmm, SIGTERM);
		waitpid(b->vmm, NULL, 0);
	}
	unlink(b->plain.sun_path);
}

static int dial(struct bench *b, char what)
{
	unsigned char head[9] = {(unsigned char)what};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 8; i++)
		head[i + 1] = (unsigned char)(b->bytes >> 8 * i);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&b->plain, sizeof(b->plain)) == 0 &&
	    write(fd, head, sizeof(head)) == sizeof(head))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int plain_out(struct bench *b)
{
	int fd = dial(b, 'o');
	uint64_t left = b->bytes;
	ssize_t n = -1;

	while (fd >= 0 && left && (n = read(fd, block, sizeof(block))) > 0)
		left -= (uint64_t)n;
	if (fd >= 0)
		close(fd);
	return left == 0 ? 0 : -1;
}

static int plain_in(struct bench *b)
{
	int fd = dial(b, 'i');
	uint64_t left = b->bytes;
	ssize_t n = -1;
	char done;

	while (fd >= 0 && left &&
	       (n = write(fd, block, left < BLOCK_BYTES ? left : BLOCK_BYTES)) > 0)
		left -= (uint64_t)n;
	int ok = fd >= 0 && left == 0 && read(fd, &done, 1) == 1;
	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

/* ---- */

static void one(struct bench *b, struct series *s, int (*fn)(struct bench *b))
{
	uint64_t start = machine_now_ns();

	if (fn(b) == 0)
		(void)series_add(
			s,
			(uint64_t)((double)b->bytes * 1e9 / (double)(machine_now_ns() - start + 1)),
			NULL);
	else
		series_fail(s, "the transfer failed");
}

static int measure(struct bench *b, const struct options *o)
{
	conker_box_opts opts = {.size = sizeof(opts)};

	b->bytes = (uint64_t)o->mib << 20;
	if (start_plain(b, o->command) < 0 || conker_box_create(&opts, &b->box) < 0 ||
	    boxes_upload(b->box, o->dir, "pump") < 0) {
		fprintf(stderr, "stream: %s\n", conker_errmsg());
		return -1;
	}
	for (unsigned i = 0; i < o->rounds; i++) {
		one(b, b->out, pump_out);
		one(b, b->plain_out, plain_out);
		one(b, b->in, pump_in);
		one(b, b->plain_in, plain_in);
	}
	return 0;
}

static struct series *make_series(struct bench *b, const char *id, const char *system)
{
	struct series *s = result_series(&b->r, id, system);

	if (s) {
		s->unit = UNIT_BYTES_PER_S;
		s->ended = ENDED_ENOUGH; /* as many as were asked for */
	}
	return s;
}

static int make_all(struct bench *b)
{
	b->out = make_series(b, "out", "stdout of an exec");
	b->plain_out = make_series(b, "out", "plain vsock");
	b->in = make_series(b, "in", "stdin of an exec");
	b->plain_in = make_series(b, "in", "plain vsock");
	host_facts(&b->r);
	return b->out && b->plain_out && b->in && b->plain_in ? 0 : -1;
}

static void print(const struct bench *b, unsigned mib, const char *jail)
{
	struct text t = {0};

	printf("streams of %u MiB out of the guest and into it: host %s, 128 MiB, 1 vCPU\njail "
	       "%s\n",
	       mib, result_fact_of(&b->r, "kind"), jail);
	table_head(&t);
	for (size_t i = 0; i < b->r.nseries; i++)
		table_series(&t, b->r.series[i]);
	fputs(t.s ? t.s : "", stdout);
	text_fini(&t);
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 5, .mib = 8};
	struct bench *b = calloc(1, sizeof(*b));
	conker_box_info info = {.size = sizeof(info)};
	char jail[160] = "";
	int c;

	while ((c = getopt(argc, argv, "n:s:")) != -1)
		*(c == 'n' ? &o.rounds : &o.mib) = c == '?' ? 0 : (unsigned)num_at(optarg);
	o.dir = optind + 1 < argc ? argv[optind] : NULL;
	o.command = o.dir ? argv[optind + 1] : NULL;
	if (!b || !o.command || !o.rounds || !o.mib || make_all(b) < 0) {
		fprintf(stderr, "usage: stream [-n ROUNDS] [-s MIB] DIRECTORY COMMAND\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int r = measure(b, &o);
	if (conker_box_info_get(b->box, &info) == 0)
		jail_of(info.vmm_pid, jail, sizeof(jail));
	print(b, o.mib, jail);
	uint64_t failures = result_failures(&b->r);
	result_fini(&b->r);
	conker_box_free(b->box);
	stop_plain(b);
	free(b);
	return r < 0 || failures ? 1 : 0;
}
