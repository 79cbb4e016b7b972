/* SPDX-License-Identifier: Apache-2.0 */
/* vector_fork [ROUNDS] - a child begins with its parent's vector registers, both then have their own,
 * and a newly executed program finds nothing of its predecessor in them.
 */
#include "vector.h"

enum { TAG_PARENT = 0x51, TAG_CHILD = 0x52, MARK = 0x53 };

/* Tiles are not inherited: Linux gives a child fresh ones. */
static void without_tiles(struct vec *v)
{
	memset(v->tilecfg, 0, sizeof(v->tilecfg));
	memset(v->tile, 0, sizeof(v->tile));
}

static int child(struct vec *in, struct vec *out)
{
	struct vec_call yield = {SYS_sched_yield, {0}};
	int bad;

	without_tiles(in);
	without_tiles(out);
	bad = vec_differs("child, just after fork", in, out);
	for (unsigned i = 0; i < 5; i++)
		bad |= vec_through("child", TAG_CHILD, &yield, NULL);
	return bad;
}

static unsigned long fork_with_full_registers(void)
{
	static struct vec in, out;
	struct vec_call call = {SYS_fork, {0}}, yield = {SYS_sched_yield, {0}};
	unsigned long bad;
	long pid;

	vec_fill(&in, TAG_PARENT);
	pid = vec_run(&in, &out, &call);
	if (pid < 0)
		_exit(99);
	if (pid == 0)
		_exit(child(&in, &out));
	bad = (unsigned long)vec_differs("parent, just after fork", &in, &out);
	for (unsigned i = 0; i < 5; i++)
		bad += (unsigned long)vec_through("parent", TAG_PARENT, &yield, NULL);
	return bad + (vec_wait((pid_t)pid) != 0);
}

/* In the new program: the C library has used a few registers by now, the mark must be in none. */
static int look_for_mark(void)
{
	static struct vec now;
	const uint64_t *lane = (const uint64_t *)&now;

	vec_read(&now);
	for (unsigned l = 0; l < sizeof(now) / 8; l++)
		if (lane[l] >> 32 == (0xc0000000 | MARK)) {
			printf("FAIL: after exec, lane %u is still %#llx\n", l,
			       (unsigned long long)lane[l]);
			return 1;
		}
	return 0;
}

static unsigned long exec_with_full_registers(char *self)
{
	char *argv[] = {self, "exec", NULL}, *envp[] = {NULL};
	struct vec_call call = {SYS_execve, {(long)"/proc/self/exe", (long)argv, (long)envp}};
	pid_t pid = fork();

	if (pid < 0)
		_exit(99);
	if (pid == 0) {
		(void)vec_through("exec", MARK, &call, NULL);
		_exit(98);
	}
	return vec_wait(pid) != 0;
}

int main(int argc, char **argv)
{
	unsigned long rounds, bad = 0;

	vec_init();
	if (argc > 1 && strcmp(argv[1], "exec") == 0)
		return look_for_mark();
	rounds = vec_rounds(argc, argv, 10);
	for (unsigned long i = 0; i < rounds; i++) {
		bad += fork_with_full_registers();
		bad += exec_with_full_registers(argv[0]);
	}
	return vec_end("vector_fork", rounds, bad);
}
