/* SPDX-License-Identifier: Apache-2.0 */
/* c99.c - the public header in strict C99, every call named once, linked against the shared library. */
#include "lib/conker.h"

#include <stdio.h>

static const struct {
	const char *name;
	void (*fn)(void);
} calls[] = {
#define CALL(f)                       \
	{                             \
#f, (void (*)(void))f \
	}
	CALL(conker_errmsg),          CALL(conker_box_create),     CALL(conker_box_open),
	CALL(conker_box_free),        CALL(conker_box_stop),       CALL(conker_box_info_get),
	CALL(conker_box_wait),        CALL(conker_box_ping),       CALL(conker_box_fd),
	CALL(conker_box_dispatch),    CALL(conker_box_list),       CALL(conker_box_lookup),
	CALL(conker_box_remove),      CALL(conker_box_console),    CALL(conker_exec_kill_ref),
	CALL(conker_exec_start),      CALL(conker_exec_write),     CALL(conker_exec_close_stdin),
	CALL(conker_exec_ack),        CALL(conker_exec_resize),    CALL(conker_exec_kill),
	CALL(conker_exec_wait),       CALL(conker_exec_id),        CALL(conker_exec_free),
	CALL(conker_exec_list),       CALL(conker_image_import),   CALL(conker_image_remove),
	CALL(conker_image_list),      CALL(conker_doctor),         CALL(conker_box_snapshot),
	CALL(conker_box_suspend),     CALL(conker_box_open_now),   CALL(conker_template_list),
	CALL(conker_template_remove), CALL(conker_exec_lookup),    CALL(conker_exec_info_free),
	CALL(conker_file_stat),       CALL(conker_file_info_free), CALL(conker_exec_forget),
};

int main(void)
{
	conker_box *box = NULL;

	if (conker_box_open("no such name!", &box) >= 0 || box || !*conker_errmsg())
		return 1;
	if (conker_box_free(NULL) || conker_exec_free(NULL))
		return 1;
	printf("%d calls\n", (int)(sizeof(calls) / sizeof(calls[0])));
	return 0;
}
