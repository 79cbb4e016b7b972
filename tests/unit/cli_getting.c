/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of an image that is being fetched or made. */
#include <criterion/criterion.h>

#include "tools/cli/cli.h"

int64_t now_us(void) /* main.c's */
{
	return 0;
}

static const char *shown(conker_image_progress p, uint64_t bytes_per_s)
{
	static char line[200];

	p.name = "docker.io/library/x:1";
	image_progress_text(&p, bytes_per_s, line, sizeof(line));
	return line;
}

#define P(...) ((conker_image_progress){__VA_ARGS__})

Test(cli_getting, each_step_has_its_line)
{
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_RESOLVE), 0),
			 "asking for docker.io/library/x:1");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_FETCH, .done_bytes = 35756442,
				 .total_bytes = 52 << 20),
			       12 << 20),
			 "pulling docker.io/library/x:1  34.1 of 52.0 MiB  12.0 MiB/s");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_FETCH, .total_bytes = 52 << 20), 0),
			 "pulling docker.io/library/x:1  0.0 of 52.0 MiB");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_UNPACK, .layer = 2, .layers = 5,
				 .done_bytes = 1 << 20, .total_bytes = 2 << 20),
			       0),
			 "unpacking layer 2 of 5 of docker.io/library/x:1  1.0 of 2.0 MiB");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_UNPACK, .layer = 1, .layers = 1,
				 .done_bytes = 3 << 20),
			       0),
			 "unpacking layer 1 of 1 of docker.io/library/x:1  3.0 MiB");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_UNPACK, .done_bytes = 3 << 20), 0),
			 "reading docker.io/library/x:1  3.0 MiB");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_UNPACK), 0), "reading docker.io/library/x:1");
	cr_expect_str_eq(shown(P(.step = CONKER_IMAGE_PUBLISH), 0),
			 "writing docker.io/library/x:1 to disk");
}
