/* boot - cold boot: how long until a new box has run its first command?
 *
 *   boot [-n RUNS] [-m MIB] [--peer NAME COMMAND]...
 *
 * First series: from before the VMM is spawned until the exit status of `true` has arrived, through the
 * library, without any template. Its share of set-up and boot is told as the VMM reports it.
 * Each --peer is a series of its own: COMMAND, run by sh, boots a machine whose PID 1 prints "PID1"; the
 * clock runs from before the spawn until those bytes arrive on its standard output. That end point is
 * what machines without vsock have in common.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conker.h"
#include "tools/bench/stats.h"

enum { PEERS_MAX = 8 };

struct peer {
	const char *name, *command;
};

struct options {
	unsigned runs, memory_mib, npeers;
	struct peer peer[PEERS_MAX];
};

extern char **environ;

static int run_true(conker_box *box)
{
	const char *argv[] = {"true", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_exec_cb none = {0};
	conker_status st = {.size = sizeof(st)};
	conker_exec *e;
	int r = conker_exec_start(box, &o, none, &e);

	if (r < 0)
		return r;
	r = conker_exec_wait(e, -1, &st);
	conker_exec_free(e);
	return r < 0 ? r : (st.code || st.signo) ? -EIO : 0;
}

struct boots {
	struct series total, setup, boot, exec;
};

static void boot_once(const struct options *opt, struct boots *b)
{
	conker_box_opts o = {.size = sizeof(o), .memory_mib = opt->memory_mib};
	conker_box_info info = {.size = sizeof(info)};
	conker_box *box;
	uint64_t start = stats_now_us();

	if (conker_box_create(&o, &box) < 0) {
		fprintf(stderr, "boot: %s\n", conker_errmsg());
		b->total.failures++;
		return;
	}
	uint64_t ready = stats_now_us();
	if (run_true(box) < 0) {
		fprintf(stderr, "boot: %s\n", conker_errmsg());
		b->total.failures++;
	} else {
		stats_add(&b->total, stats_now_us() - start);
		stats_add(&b->exec, stats_now_us() - ready);
		if (conker_box_info_get(box, &info) == 0) {
			stats_add(&b->setup, info.setup_us);
			stats_add(&b->boot, info.boot_us);
		}
	}
	conker_box_free(box);
}

/* Reads until "PID1" was seen; 0, or -1 at the end of the file. */
static int await_pid1(int fd)
{
	char c;
	size_t matched = 0;

	while (matched < 4) {
		if (read(fd, &c, 1) != 1)
			return -1;
		matched = c == "PID1"[matched] ? matched + 1 : c == 'P';
	}
	return 0;
}

static void peer_once(const struct peer *p, struct series *s)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)p->command, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int out[2];
	pid_t pid;

	if (pipe(out) < 0) {
		s->failures++;
		return;
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_addclose(&fa, out[0]);
	posix_spawn_file_actions_addclose(&fa, out[1]);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
	uint64_t start = stats_now_us();
	int r = posix_spawnp(&pid, "sh", &fa, &attr, argv, environ);
	close(out[1]);
	if (r == 0 && await_pid1(out[0]) == 0)
		stats_add(s, stats_now_us() - start);
	else
		s->failures++;
	close(out[0]);
	if (r == 0) {
		kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
}

static int parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-n") && i + 1 < argc)
			o->runs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "-m") && i + 1 < argc)
			o->memory_mib = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--peer") && i + 2 < argc && o->npeers < PEERS_MAX) {
			o->peer[o->npeers].name = argv[++i];
			o->peer[o->npeers++].command = argv[++i];
		} else
			return -1;
	}
	return o->runs > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct boots *b = calloc(1, sizeof(*b));
	struct series *peers = calloc(PEERS_MAX, sizeof(*peers));
	struct options opt = {.runs = 10, .memory_mib = 128};

	if (!b || !peers || parse(argc, argv, &opt) < 0) {
		fprintf(stderr, "usage: boot [-n RUNS] [-m MIB] [--peer NAME COMMAND]...\n");
		return 2;
	}
	printf("cold boot: host %s, %u MiB, 1 vCPU, no template, release build\n",
	       stats_host_kind(), opt.memory_mib);
	for (unsigned i = 0; i < opt.runs; i++) {
		boot_once(&opt, b);
		for (unsigned p = 0; p < opt.npeers; p++)
			peer_once(&opt.peer[p], &peers[p]);
	}
	stats_print("conker: spawn to first exec's exit status", &b->total);
	stats_print("  of which set-up (to the first KVM_RUN)", &b->setup);
	stats_print("  of which boot (to init serving)", &b->boot);
	stats_print("  of which exec (start to exit status)", &b->exec);
	size_t failures = b->total.failures;
	for (unsigned p = 0; p < opt.npeers; p++) {
		stats_print(opt.peer[p].name, &peers[p]);
		failures += peers[p].failures;
	}
	free(peers);
	free(b);
	return failures ? 1 : 0;
}
