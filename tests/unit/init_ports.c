/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of ports_scan(): what in /proc/net/tcp is a port that listens. */
#include "guest-init/serve/ports.h"
#include "tests/lib/test.h"

static const char head[] =
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n";

static uint32_t scan(const char *text, uint16_t a, uint16_t b)
{
	const uint16_t port[] = {a, b};

	return ports_scan(text, strlen(text), port, 2);
}

Test(init_ports, only_state_listen_counts)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		       "%s   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n"
		       "   1: 0100007F:1F91 0100007F:8000 01 00000000:00000000 00:00000000\n",
		       head);
	cr_assert_eq(scan(text, 8080, 8081), 1);
	cr_assert_eq(scan(text, 8081, 8080), 2);
	cr_assert_eq(scan(text, 32768, 80), 0, "a remote port is none of ours");
}

Test(init_ports, any_address_will_do)
{
	static const char text[] = "   0: 00000000:0050 00000000:0000 0A 0\n"
				   "   1: 00000000000000000000000000000000:01BB "
				   "00000000000000000000000000000000:0000 0A 0\n";

	cr_assert_eq(scan(text, 80, 443), 3);
}

Test(init_ports, what_is_not_understood_is_skipped)
{
	static const char *const odd[] = {
		"",
		"\n\n",
		":",
		"0: 0:",
		"no colon at all\n",
		"   0: 0100007F:1F9",
		"   0: 0100007F:1F90",
		"   0: 0100007F:xyzw 00000000:0000 0A\n",
		"   0: 0100007F:1F90 00000000:0000 0",
		"   0: 0100007F:1F90 00000000\n",
	};

	for (size_t i = 0; i < countof(odd); i++)
		cr_assert_eq(scan(odd[i], 8080, 1), 0, "%s", odd[i]);
}

Test(init_ports, a_line_without_its_end_is_read_as_far_as_it_goes)
{
	cr_assert_eq(scan("   0: 0100007F:1F90 00000000:0000 0A", 8080, 1), 1);
}
