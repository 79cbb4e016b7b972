/* SPDX-License-Identifier: Apache-2.0 */
/* peers.c - the same kernel and the same PID 1 in conker-vmm, and in other VMMs that this host has.
 *
 * PID 1 is the one of tiny.h: it writes to the console and restarts the machine. The end point is
 * its first console byte, which needs no vsock: QEMU's microvm has none without a module of the
 * host. With a VMM whose console our kernel has no driver for it is the end of the VMM, which
 * conker-vmm is measured to as well; not the others, since the triple fault that a restart is
 * leaves QEMU standing where KVM has no hardware assistance.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "util/cleanup.h"

enum { WORDS_MAX = 2560, ARGS_MAX = 40, PATIENCE_MS = 30000 };

struct command {
	char memory[16], words[WORDS_MAX], config[192];
	char *argv[ARGS_MAX];
	size_t n;
};

struct peer_kind {
	const char *system, *program;
	const char *how;
	int has_console;
	/* The words of its command line; NULL: it is conker-vmm. -1: cannot be done. */
	int (*command)(const struct peer *p, struct command *c);
};

static void arg(struct command *c, const char *word)
{
	if (c->n + 1 < ARGS_MAX)
		c->argv[c->n++] = (char *)word;
}

static void args(struct command *c, const char *const *words)
{
	for (; *words; words++)
		arg(c, *words);
}

/* Without hardware assistance KVM cannot finish XSAVE, which our VMM does itself; elsewhere the
 * kernel is told to do without: good enough for a boot. The kernel heeds the last clearcpuid= only,
 * so ours repeats what is in the first. */
static void compose_words(const struct peer *p, char *ret, size_t size)
{
	const char *words = p->b->parts.words, *clear = strstr(words, "clearcpuid=");

	if (clear && access("/sys/module/kvm_pvm", F_OK) == 0)
		(void)snprintf(ret, size, "%s reboot=t %.*s,xsave", words, (int)strcspn(clear, " "),
			       clear);
	else
		(void)snprintf(ret, size, "%s reboot=t", words);
}

static int qemu(const struct peer *p, struct command *c)
{
	static const char *const fixed[] = {"-M",          "microvm,acpi=off,isa-serial=off",
					    "-accel",      "kvm",
					    "-cpu",        "host",
					    "-nodefaults", "-no-user-config",
					    "-nographic",  "-no-reboot",
					    "-chardev",    "stdio,id=c",
					    "-device",     "virtio-serial-device,max_ports=1",
					    "-device",     "virtconsole,chardev=c",
					    NULL};

	arg(c, p->program);
	args(c, fixed);
	arg(c, "-m");
	arg(c, c->memory);
	arg(c, "-kernel");
	arg(c, p->b->parts.kernel);
	arg(c, "-initrd");
	arg(c, p->b->initramfs);
	arg(c, "-append");
	arg(c, c->words);
	return 0;
}

static int kvmtool(const struct peer *p, struct command *c)
{
	static const char *const fixed[] = {"--console", "virtio", "--virtio-transport",
					    "mmio",      "-n",     "mode=none",
					    "-c",        "1",      NULL};

	arg(c, p->program);
	arg(c, "run");
	arg(c, "-k");
	arg(c, p->b->parts.kernel);
	arg(c, "-i");
	arg(c, p->b->initramfs);
	arg(c, "-m");
	arg(c, c->memory);
	arg(c, "-p");
	arg(c, c->words);
	args(c, fixed);
	return 0;
}

static int firecracker(const struct peer *p, struct command *c)
{
	(void)snprintf(c->config, sizeof(c->config), "%s/firecracker.json", p->b->dir);
	FILE *f = fopen(c->config, "we");
	if (!f)
		return -1;
	fprintf(f,
		"{\"boot-source\":{\"kernel_image_path\":\"%s\",\"initrd_path\":\"%s\",\"boot_"
		"args\":\"%s\"},"
		"\"drives\":[],\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":%u}}\n",
		p->b->parts.kernel, p->b->initramfs, c->words, p->b->parts.memory_mib);
	if (fclose(f) != 0)
		return -1;
	arg(c, p->program);
	arg(c, "--no-api");
	arg(c, "--config-file");
	arg(c, c->config);
	return 0;
}

static const struct peer_kind kinds[] = {
	{"conker-vmm", NULL, "conker-vmm, jail on", 1, NULL},
	{"qemu microvm", "qemu-system-x86_64", "QEMU -M microvm, KVM, one virtio console, no jail",
	 1, qemu},
	{"kvmtool", "lkvm", "kvmtool (lkvm), virtio console, no jail", 1, kvmtool},
	{"firecracker", "firecracker",
	 "Firecracker without its jailer; no console that this kernel knows", 0, firecracker},
};

/* ---- a turn ---------------------------------------------------------------------------------- */

static int start_own(const struct peer *p, struct machine *m)
{
	auto_free struct parts *parts = malloc(sizeof(*parts));

	if (!parts)
		return -1;
	*parts = p->b->parts;
	size_t at = strlen(parts->words);
	(void)snprintf(parts->words + at, sizeof(parts->words) - at, " reboot=t");
	return machine_start_bare(parts, p->b->initramfs, m);
}

static int start_other(const struct peer *p, struct machine *m)
{
	auto_free struct command *c = calloc(1, sizeof(*c));

	if (!c)
		return -1;
	(void)snprintf(c->memory, sizeof(c->memory), "%u", p->b->parts.memory_mib);
	compose_words(p, c->words, sizeof(c->words));
	return p->kind->command(p, c) < 0 ? -1 : machine_start_other(c->argv, m);
}

static int peer_start(const struct peer *p, struct machine *m)
{
	return p->kind->command ? start_other(p, m) : start_own(p, m);
}

static void await_console(const struct peer *p, struct machine *m)
{
	if (machine_await_text(m, "PID1", PATIENCE_MS) == 0)
		(void)series_add(p->console, machine_now_ns() - m->start_ns, NULL);
	else
		series_fail(p->console, "PID 1 was not heard of");
}

static void await_end(const struct peer *p, struct machine *m)
{
	if (machine_await_end(m, PATIENCE_MS) == 0)
		(void)series_add(p->end, machine_now_ns() - m->start_ns, NULL);
	else
		series_fail(p->end, "it did not end in time");
}

static void peer_turn(void *ctx)
{
	const struct peer *p = ctx;
	struct machine m;

	if (peer_start(p, &m) < 0) {
		series_fail(p->console ? p->console : p->end, "could not be started");
		return;
	}
	if (p->console)
		await_console(p, &m);
	if (p->end)
		await_end(p, &m);
	machine_end(&m);
}

/* ---- who there is ---------------------------------------------------------------------------- */

static int on_path(const char *name, char *ret, size_t size)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t n = strcspn(path, ":");

		(void)snprintf(ret, size, "%.*s/%s", (int)n, path, name);
		if (access(ret, X_OK) == 0)
			return 0;
		path += n + (path[n] == ':');
	}
	return -1;
}

static void make_series(struct peer *p)
{
	char measures[320];
	const char *name = p->kind->system;

	if (p->kind->has_console) {
		(void)snprintf(measures, sizeof(measures),
			       "from before the spawn to the first console byte of a PID 1 that "
			       "does nothing "
			       "else: %s",
			       p->kind->how);
		p->console = bench_series(p->b, "boot-console", name,
					  "boot to PID 1's first console byte", measures, UNIT_NS);
	}
	if (p->kind->has_console && p->kind->command)
		return;
	(void)snprintf(measures, sizeof(measures),
		       "from before the spawn until a machine whose PID 1 restarts it at once is "
		       "gone, with its "
		       "process: %s",
		       p->kind->how);
	p->end = bench_series(p->b, "boot-end", name,
			      "boot to the end of a machine that restarts at once", measures,
			      UNIT_NS);
}

size_t peers_tasks(struct bench *b, struct peer *peers, struct task *tasks)
{
	size_t n = 0;

	_Static_assert(countof(kinds) <= PEERS_MAX, "room");
	for (size_t i = 0; i < countof(kinds); i++) {
		struct peer *p = &peers[n];

		*p = (struct peer){.b = b, .kind = &kinds[i]};
		if (kinds[i].program &&
		    on_path(kinds[i].program, p->program, sizeof(p->program)) < 0) {
			char why[96];
			(void)snprintf(why, sizeof(why), "no %s on PATH", kinds[i].program);
			result_skip(&b->r, kinds[i].system, why);
			continue;
		}
		make_series(p);
		tasks[n++] = (struct task){.s = p->console ? p->console : p->end,
					   .turn = peer_turn,
					   .ctx = p,
					   .max = 200};
	}
	return n;
}
