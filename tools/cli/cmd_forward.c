/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_forward.c - conker forward: ports of ours that lead into a box, for as long as we run. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { FORWARDS_MAX = 64 };

struct forwards {
	conker_forward *v[FORWARDS_MAX];
	size_t n;
};

/* The port of ours at the end of an address: any, if 0. */
static int check_own_port(const char *spec, const char *address)
{
	const char *colon = strrchr(address, ':'), *text = colon ? colon + 1 : address;
	struct ports port = {0};

	return strcmp(text, "0") == 0 || value_parse(OPT_PORT, text, &port) == 0
		       ? 0
		       : fail("'%s': '%s' is not a port (0 to 65535)", spec, text);
}

/* [HOST:]PORT:GUESTPORT or PATH:GUESTPORT: what is before the last colon, with a host if it lacks one.
 * 0, or the exit status after a message that quotes what was typed. */
static int parse(const char *spec, char *ret_address, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(spec, ':');
	int len = colon ? (int)(colon - spec) : 0;
	struct ports port = {0};

	if (len == 0)
		return fail("'%s' is not [HOST:]PORT:GUESTPORT or PATH:GUESTPORT", spec);
	if (value_parse(OPT_PORT, colon + 1, &port) < 0)
		return fail("'%s': '%s' is not a port of the box (1 to 65535)", spec, colon + 1);
	*ret_port = port.v[0];
	const char *host = strcspn(spec, ":/") < (size_t)len ? "" : "127.0.0.1:";
	int n = snprintf(ret_address, size, "%s%.*s", host, len, spec);
	if (n < 0 || (size_t)n >= size)
		return fail("'%s' is too long", spec);
	return strchr(ret_address, '/') ? 0 : check_own_port(spec, ret_address);
}

static int open_all(conker_box *b, struct forwards *f, int argc, char **argv)
{
	char address[256];
	uint16_t port = 0;

	for (int i = 0; i < argc; i++) {
		if (f->n == FORWARDS_MAX)
			return fail("at most %d forwards", FORWARDS_MAX);
		int status = parse(argv[i], address, sizeof(address), &port);
		if (status)
			return status;
		if (conker_forward_open(b, address, port, &f->v[f->n]) < 0)
			return fail_lib();
		printf("%s -> %u\n", conker_forward_address(f->v[f->n]), port);
		f->n++;
	}
	return finish_output();
}

/* Until a signal, which is the normal end, or the box's. */
static int serve(conker_box *b)
{
	struct pollfd p = {.fd = conker_box_fd(b), .events = POLLIN};
	sigset_t in_poll;

	signals_hold(&in_poll);
	while (!signals_caught())
		if (ppoll(&p, 1, NULL, &in_poll) > 0 && conker_box_dispatch(b) < 0)
			return fail_lib();
	return 0;
}

static int forward(const char *box, int argc, char **argv)
{
	struct forwards f = {0};
	conker_box *b = NULL;

	signals_init();
	if (over_again(conker_box_open(box, &b)) < 0)
		return signals_caught() ? exit_by_signal(signals_caught()) : fail_lib();
	int status = open_all(b, &f, argc, argv);
	if (status == 0)
		status = serve(b);
	while (f.n > 0)
		conker_forward_free(f.v[--f.n]);
	conker_box_free(b);
	return status;
}

int cmd_forward(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "BOX [HOST:]PORT:GUESTPORT | PATH:GUESTPORT ...",
		.text = "Leads connections to a TCP port (0: any) or Unix socket of this host into "
			"the box, until\n"
			"interrupted. HOST is numeric; without it 127.0.0.1.",
		.operands_min = 2,
		.operands_max = -1,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	return forward(argv[0], argc - 1, argv + 1);
}
