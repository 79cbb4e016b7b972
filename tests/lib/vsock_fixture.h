/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_fixture.h - one guest that speaks vsock, and one client of it, for Criterion suites.
 *
 * A suite begins with one of the first three, and ends with stop_guest().
 */
#ifndef TESTS_LIB_VSOCK_FIXTURE_H
#define TESTS_LIB_VSOCK_FIXTURE_H

#include "tests/fake/vguest.h"
#include "tests/lib/test.h"

static struct vguest *g;
static int client = -1; /* a client's, or -1 ... */
static uint32_t port;   /* ... and the host port of its stream */

static __attribute__((unused)) void start_guest(void)
{
	g = vguest_start(0);
}

static __attribute__((unused)) void serve_guest(void)
{
	g = vguest_serve(0);
}

static __attribute__((unused)) void open_stream(void)
{
	serve_guest();
	client = vguest_dial_open(g, &port);
}

static __attribute__((unused)) void hang_up(void)
{
	close(client);
	client = -1;
}

static void stop_guest(void)
{
	if (client >= 0)
		hang_up();
	vguest_stop(g);
}

#endif
