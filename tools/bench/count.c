/* SPDX-License-Identifier: Apache-2.0 */
/* count.c - QEMU TCG plugin: the instructions of a box's guest, by call path (make bench-instructions).
 *
 *   -plugin count.so,map=SYSTEM.MAP,out=FILE
 *
 * The machine that QEMU emulates is the lab: its kernel's KVM runs the box. A guest begins with the
 * instruction VMRUN and ends with what follows VMRUN, so what lies between is the box's, and nothing of
 * the lab is counted. From then on each instruction that the guest executes is seen:
 *
 *   a task		is a kernel stack. __switch_to_asm pops from the next one's: the accesses of that
 *			function tell which it is
 *   a call path	from calls, returns, jumps into another function, exceptions and IRETQ
 *   user mode		addresses of the lower half, once the kernel has reached its own
 *
 * A string instruction with a repeat prefix counts once, its repetitions in a column of their own:
 * TCG executes it once for each.
 *
 * At the guest's first user instruction, and at each mark (mark.h) of lab or guest, a phase ends:
 *
 *   phase MARK		0 at the first user instruction
 *   INSTRUCTIONS REPETITIONS CALLS WHO;FUNCTION;...;FUNCTION
 *
 * with counts of the last function of the path alone. WHO: kernel (a kernel thread, idle too), init,
 * other (a process that is not PID 1), and the path "user" is what they executed in user mode.
 *
 * One CPU in the lab, one in the box: no locks, and the state is this file's own, because QEMU hands a
 * plugin none back. The declarations of its interface (version 1) are repeated here: Debian has no
 * package for the header.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- QEMU's interface ---- */

enum { PLUGIN_VERSION = 1, CB_NO_REGS = 0, MEM_READ_WRITE = 3 };

struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*fn)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*fn)(unsigned, void *), int flags, void *arg);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*fn)(unsigned, uint32_t, uint64_t, void *), int flags,
				      int rw, void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

/* ---- functions ---- */

#define KERNEL_BASE 0xffffffff80000000ULL
#define UPPER_HALF  0x8000000000000000ULL

enum sym_role {
	ROLE_NONE,
	ROLE_START,
	ROLE_SYSCALL,
	ROLE_EXCEPTION,
	ROLE_SWITCH,
	ROLE_BIRTH,
	ROLE_CLONE
};

struct sym {
	uint64_t address;
	enum sym_role role;
	const char *name;
};

static struct sym *syms;
static size_t n_syms;
static struct sym user_sym = {.name = "user"}, unknown_sym = {.name = "?"};

static enum sym_role role_of(const char *name)
{
	static const struct {
		const char *name;
		enum sym_role role;
	} exact[] = {{"startup_64", ROLE_START},
		     {"entry_SYSCALL_64", ROLE_SYSCALL},
		     {"irq_entries_start", ROLE_EXCEPTION},
		     {"__switch_to_asm", ROLE_SWITCH},
		     {"ret_from_fork_asm", ROLE_BIRTH},
		     {"copy_process", ROLE_CLONE}};

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		if (strcmp(name, exact[i].name) == 0)
			return exact[i].role;
	return strncmp(name, "asm_exc_", 8) == 0 || strncmp(name, "asm_sysvec_", 11) == 0
		       ? ROLE_EXCEPTION
		       : ROLE_NONE;
}

/* System.map is in order of addresses. */
static int load_map(const char *path)
{
	enum { SYMS_MAX = 100000 };
	FILE *f = fopen(path, "re");
	uint64_t address;
	char type, name[512];

	syms = calloc(SYMS_MAX, sizeof(*syms));
	if (!f || !syms)
		return -1;
	while (n_syms < SYMS_MAX && fscanf(f, "%" SCNx64 " %c %511s", &address, &type, name) == 3) {
		if (!strchr("tTwW", type) || address < KERNEL_BASE)
			continue;
		/* Of several names of one address the one with a role, or else the first. */
		n_syms -= n_syms && syms[n_syms - 1].address == address && role_of(name);
		if (n_syms && syms[n_syms - 1].address == address)
			continue;
		syms[n_syms++] = (struct sym){address, role_of(name), strdup(name)};
	}
	fclose(f);
	return n_syms ? 0 : -1;
}

static struct sym *sym_of(uint64_t address)
{
	size_t lo = 0, hi = n_syms;

	if (address < UPPER_HALF) /* the kernel's first steps */
		address += KERNEL_BASE;
	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		*(syms[mid].address <= address ? &lo : &hi) = mid;
	}
	return syms[lo].address <= address ? &syms[lo] : &unknown_sym;
}

/* ---- call paths: a tree ---- */

struct node {
	struct node *parent, *child, *sibling;
	const struct sym *sym;
	uint64_t insns, repeats, calls;
};

enum who { WHO_KERNEL, WHO_INIT, WHO_OTHER, WHO_MAX };

static struct sym who_sym[WHO_MAX] = {{.name = "kernel"}, {.name = "init"}, {.name = "other"}};
static struct node roots[WHO_MAX];

static struct node *child_of(struct node *parent, const struct sym *sym)
{
	struct node *n;

	for (n = parent->child; n; n = n->sibling)
		if (n->sym == sym)
			return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	*n = (struct node){.parent = parent, .sibling = parent->child, .sym = sym};
	return parent->child = n;
}

static void print_path(FILE *f, const struct node *n)
{
	if (n->parent) {
		print_path(f, n->parent);
		fputc(';', f);
	}
	fputs(n->sym->name, f);
}

static void print_tree(FILE *f, struct node *n)
{
	if (f && (n->insns || n->repeats || n->calls)) {
		fprintf(f, "%" PRIu64 " %" PRIu64 " %" PRIu64 " ", n->insns, n->repeats, n->calls);
		print_path(f, n);
		fputc('\n', f);
	}
	n->insns = n->repeats = n->calls = 0;
	for (n = n->child; n; n = n->sibling)
		print_tree(f, n);
}

/* ---- instructions and tasks ---- */

enum insn_kind { KIND_PLAIN, KIND_CALL, KIND_RET, KIND_IRET, KIND_REPEATED };

struct insn {
	uint64_t address;
	const struct sym *sym;
	enum insn_kind kind;
	int mark;
	struct insn *next;
};

struct frame {
	struct node *node;
	bool exception; /* IRETQ, not RET, leaves it */
};

enum { FRAMES_MAX = 512, TASKS_MAX = 4096, STACK_BYTES = 16 << 10 };

struct task {
	uint64_t stack; /* its address; 0: not known yet */
	enum who who;
	enum insn_kind last; /* what it executed last */
	unsigned depth;
	struct frame frame[FRAMES_MAX];
};

static struct {
	FILE *out;
	bool in_guest, reached_upper, reached_user;
	bool resumed;         /* VMRUN was, and nothing of the guest yet */
	uint64_t after_vmrun; /* where the lab goes on */
	uint64_t last_address;
	enum who cloner;
	struct task *task[TASKS_MAX];
	unsigned n_tasks;
	struct task *now;
	struct insn *insns[1 << 16];
} state;

static struct task *task_of(uint64_t stack)
{
	for (unsigned i = 0; i < state.n_tasks; i++)
		if (state.task[i]->stack == stack)
			return state.task[i];
	struct task *t = calloc(1, sizeof(*t));
	if (!t || state.n_tasks == TASKS_MAX)
		abort();
	t->stack = stack;
	return state.task[state.n_tasks++] = t;
}

static struct node *top(const struct task *t)
{
	return t->depth ? t->frame[t->depth - 1].node : &roots[t->who];
}

static void push(struct task *t, const struct sym *sym, bool exception)
{
	struct node *n = child_of(top(t), sym);

	n->calls++;
	if (t->depth == FRAMES_MAX)
		abort();
	t->frame[t->depth++] = (struct frame){n, exception};
}

/* RET from what was entered before we looked leaves nothing. */
static void pop(struct task *t)
{
	if (t->depth && !t->frame[t->depth - 1].exception)
		t->depth--;
}

static void pop_exception(struct task *t)
{
	while (t->depth && !t->frame[--t->depth].exception)
		;
}

/* A jump into another function takes the place of its caller. */
static void jumped(struct task *t, const struct sym *sym)
{
	if (t->depth == 0) {
		push(t, sym, false);
		return;
	}
	struct frame *f = &t->frame[t->depth - 1];
	if (f->node->sym == sym)
		return;
	f->node = child_of(f->node->parent, sym);
	f->node->calls += !f->exception;
}

static void follow(struct task *t, const struct insn *i)
{
	bool first = i->address == i->sym->address;

	if (t->last == KIND_RET)
		pop(t);
	else if (t->last == KIND_IRET)
		pop_exception(t);
	if (first && i->sym->role == ROLE_SYSCALL) {
		t->depth = 0;
		push(t, i->sym, false);
	} else if (i->sym->role == ROLE_EXCEPTION && top(t)->sym != i->sym) {
		if (t->last == KIND_CALL) /* interrupted before its first instruction */
			push(t, &unknown_sym, false);
		push(t, i->sym, true);
	} else if (t->last == KIND_CALL) {
		push(t, i->sym, false);
	} else {
		jumped(t, i->sym);
	}
	if (first && i->sym->role == ROLE_CLONE)
		state.cloner = t->who;
}

/* ---- phases ---- */

static void end_phase(int mark)
{
	if (mark != 1)
		fprintf(state.out, "phase %d\n", mark);
	for (int w = 0; w < WHO_MAX; w++)
		print_tree(mark == 1 ? NULL : state.out, &roots[w]);
	fflush(state.out);
}

static void begin_guest(void)
{
	end_phase(1);
	state.reached_upper = state.reached_user = false;
	state.n_tasks = 0;
	state.now = task_of(0);
}

/* ---- what the guest executes ---- */

/* What a page missing in the nested tables interrupted is executed once more: that is the host's doing. */
static bool once_more(const struct insn *i)
{
	bool same = state.resumed && i->address == state.last_address;

	state.resumed = false;
	return same;
}

static void count(struct node *n, const struct insn *i)
{
	if (i->kind == KIND_REPEATED && state.last_address == i->address)
		n->repeats++;
	else
		n->insns++;
	state.last_address = i->address;
}

static void on_kernel(unsigned cpu, void *arg)
{
	const struct insn *i = arg;

	(void)cpu;
	if (once_more(i))
		return;
	if (!state.reached_upper) {
		if (i->sym->role == ROLE_START && i->address + KERNEL_BASE == i->sym->address)
			begin_guest();
		state.reached_upper = i->address >= UPPER_HALF;
	}
	struct task *t = state.now;
	if (i->sym->role == ROLE_BIRTH && i->address == i->sym->address) {
		t->depth = 0;
		t->who = state.cloner == WHO_KERNEL ? WHO_KERNEL : WHO_OTHER;
		t->last = KIND_PLAIN;
	}
	follow(t, i);
	count(top(t), i);
	t->last = i->kind;
}

static void on_user(unsigned cpu, void *arg)
{
	const struct insn *i = arg;
	struct task *t = state.now;

	(void)cpu;
	if (!state.reached_upper) {
		on_kernel(cpu, arg);
		return;
	}
	if (once_more(i))
		return;
	if (!state.reached_user) {
		state.reached_user = true;
		end_phase(0);
		t->who = WHO_INIT;
	}
	if (i->mark)
		end_phase(i->mark);
	t->depth = 0;
	t->last = KIND_PLAIN;
	count(child_of(&roots[t->who], &user_sym), i);
}

/* Of __switch_to_asm, which pushes onto the stack of one task and pops from the other's. */
static void on_switch_access(unsigned cpu, uint32_t info, uint64_t address, void *arg)
{
	uint64_t stack = address & ~(uint64_t)(STACK_BYTES - 1);

	(void)cpu;
	(void)info;
	(void)arg;
	if (state.now->stack == 0)
		state.now->stack = stack;
	state.now = task_of(stack);
}

/* ---- what the lab executes ---- */

static void on_vmrun(unsigned cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	state.in_guest = state.resumed = true;
}

static void on_vmexit(unsigned cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	state.in_guest = false;
}

static void on_lab_mark(unsigned cpu, void *arg)
{
	(void)cpu;
	end_phase((int)(uintptr_t)arg);
}

/* ---- translation ---- */

static int mark_of(const uint8_t *b, size_t n)
{
	return n == 7 && b[0] == 0x0f && b[1] == 0x1f && b[2] == 0x80 && b[5] == 0x4b &&
			       b[6] == 0x43
		       ? b[3] | b[4] << 8
		       : 0;
}

static enum insn_kind kind_of(const uint8_t *b, size_t n)
{
	bool repeated = false;

	for (; n > 1 && (strchr("\x2e\x3e\x66\xf2\xf3", *b) || (*b & 0xf0) == 0x40); b++, n--)
		repeated |= *b == 0xf2 || *b == 0xf3;
	if (*b == 0xe8 || (*b == 0xff && n > 1 && (b[1] >> 3 & 7) == 2))
		return KIND_CALL;
	if (*b == 0xc3 || *b == 0xc2)
		return KIND_RET;
	if (*b == 0xcf)
		return KIND_IRET;
	if (repeated && n == 1 && ((*b >= 0xa4 && *b <= 0xa7) || (*b >= 0xaa && *b <= 0xaf)))
		return KIND_REPEATED;
	return KIND_PLAIN;
}

/* The same bytes at the same address are the same record: code is translated more than once. */
static struct insn *insn_of(uint64_t address, const uint8_t *b, size_t n)
{
	struct insn want = {.address = address, .kind = kind_of(b, n), .mark = mark_of(b, n)};
	struct insn **list = &state.insns[(address ^ address >> 16) & 0xffff];

	for (struct insn *i = *list; i; i = i->next)
		if (i->address == address && i->kind == want.kind && i->mark == want.mark)
			return i;
	struct insn *i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	*i = want;
	i->sym = sym_of(address);
	i->next = *list;
	return *list = i;
}

static void instrument_guest(struct qemu_plugin_insn *in, uint64_t address)
{
	const uint8_t *b = qemu_plugin_insn_data(in);
	size_t n = qemu_plugin_insn_size(in);
	struct insn *i = insn_of(address, b, n);

	qemu_plugin_register_vcpu_insn_exec_cb(in, address < UPPER_HALF ? on_user : on_kernel,
					       CB_NO_REGS, i);
	if (i->sym->role == ROLE_SWITCH && (b[n - 1] & 0xf0) == 0x50 && n <= 2) /* PUSH, POP */
		qemu_plugin_register_vcpu_mem_cb(in, on_switch_access, CB_NO_REGS, MEM_READ_WRITE,
						 NULL);
}

static void instrument_lab(struct qemu_plugin_insn *in, uint64_t address)
{
	const uint8_t *b = qemu_plugin_insn_data(in);
	size_t n = qemu_plugin_insn_size(in);
	int mark = mark_of(b, n);

	if (mark)
		qemu_plugin_register_vcpu_insn_exec_cb(in, on_lab_mark, CB_NO_REGS,
						       (void *)(uintptr_t)mark);
	if (n == 3 && memcmp(b, "\x0f\x01\xd8", 3) == 0) {
		state.after_vmrun = address + 3;
		qemu_plugin_register_vcpu_insn_exec_cb(in, on_vmrun, CB_NO_REGS, NULL);
	}
}

/* The lab's first instruction after a guest is translated while we still take it for the guest. */
static void on_translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	bool guest = state.in_guest;

	(void)id;
	for (size_t k = 0; k < qemu_plugin_tb_n_insns(tb); k++) {
		struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, k);
		uint64_t address = qemu_plugin_insn_vaddr(in);

		if (address == state.after_vmrun) {
			qemu_plugin_register_vcpu_insn_exec_cb(in, on_vmexit, CB_NO_REGS, NULL);
			guest = false;
		}
		if (guest)
			instrument_guest(in, address);
		else
			instrument_lab(in, address);
	}
}

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = PLUGIN_VERSION;

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info,
							       int argc, char **argv);
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 2 || strncmp(argv[0], "map=", 4) != 0 || strncmp(argv[1], "out=", 4) != 0 ||
	    load_map(argv[0] + 4) < 0)
		return -1;
	state.out = fopen(argv[1] + 4, "we");
	if (!state.out)
		return -1;
	for (int w = 0; w < WHO_MAX; w++)
		roots[w].sym = &who_sym[w];
	state.now = task_of(0);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
