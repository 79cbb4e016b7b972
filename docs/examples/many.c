/* SPDX-License-Identifier: Apache-2.0 */
/* many.c BOX - of three racers the first one counts. */
#include <conker.h>
#include <signal.h>
#include <stdio.h>

enum { RACERS = 3 };

int main(int argc, char **argv)
{
	static const char *const seconds[RACERS] = {"30", "0.2", "30"};
	unsigned char done[RACERS];
	conker_exec *e[RACERS];
	conker_box *box;

	if (argc != 2 || conker_box_open(argv[1], &box) < 0) {
		fprintf(stderr, "%s\n", conker_errmsg());
		return 1;
	}
	for (int i = 0; i < RACERS; i++) {
		const char *cmd[] = {"sleep", seconds[i], NULL};
		conker_exec_opts opts = {.size = sizeof(opts), .argv = cmd};

		if (conker_exec_start(box, &opts, (conker_exec_cb){0}, &e[i]) < 0)
			return 1;
	}
	if (conker_exec_wait_many(e, RACERS, 1, 20000, done) < 0)
		return 1;
	for (int i = 0; i < RACERS; i++) {
		if (done[i])
			printf("racer %d has won\n", i);
		conker_exec_free(e[i]); /* and is killed if it still runs */
	}
	conker_box_free(box);
	return 0;
}
