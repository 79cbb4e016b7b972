/* count.c - QEMU TCG plugin: how often each block of kernel code ran (costs.sh --check).
 *
 * Writes "ADDRESS INSTRUCTIONS" per translated block of the upper half of the address space to the
 * file of its argument out=FILE when QEMU ends. The few declarations of QEMU's plugin interface
 * (version 1) that it needs are repeated here: Debian has no package for its header.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLUGIN_VERSION = 1, INLINE_ADD_U64 = 0 };

#define KERNEL_START 0xffffffff80000000ULL

struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*fn)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
					      uint64_t n);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*fn)(uint64_t, void *), void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

struct block {
	struct block *next;
	uint64_t address, count;
};

/* A plugin has no handle of its own to keep this in. One CPU: no lock. */
static struct block *blocks;

static void on_translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	struct block *b;

	(void)id;
	if (qemu_plugin_tb_vaddr(tb) < KERNEL_START || !(b = calloc(1, sizeof(*b))))
		return;
	b->address = qemu_plugin_tb_vaddr(tb);
	b->next = blocks;
	blocks = b;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->count,
						 qemu_plugin_tb_n_insns(tb));
}

static void on_exit_write(uint64_t id, void *path)
{
	FILE *f = fopen(path, "w");

	(void)id;
	if (!f)
		return;
	for (const struct block *b = blocks; b; b = b->next)
		fprintf(f, "%016" PRIx64 " %" PRIu64 "\n", b->address, b->count);
	fclose(f);
}

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = PLUGIN_VERSION;

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info,
							       int argc, char **argv);
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_write, strdup(argv[0] + 4));
	return 0;
}
