/* SPDX-License-Identifier: Apache-2.0 */
/* logs.h - between the two halves of conker logs. */
#ifndef CLI_LOGS_H
#define CLI_LOGS_H

#include "tools/cli/cli.h"

struct logs_args {
	int follow, only_stdout, only_stderr, timestamps, tags, json;
	struct offsets from;
	uint64_t tail_bytes;
};

/* What an execution has said. The exit status. */
int logs_exec(const char *box, const char *exec, const struct logs_args *a);

#endif
