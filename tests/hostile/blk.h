/* SPDX-License-Identifier: Apache-2.0 */
/* blk.h - requests to the disk that is attacked, well formed or not. See guest.h. */
#ifndef TESTS_HOSTILE_BLK_H
#define TESTS_HOSTILE_BLK_H

#include "tests/hostile/guest.h"

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_NONE = 0xff };
enum { SECTOR_BYTES = 512, DATA_BYTES = 1 << 20 };

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

/* The one request under way: header, data, status. */
extern struct blk_header blk_header;
extern uint8_t blk_data[DATA_BYTES];
extern volatile uint8_t blk_status;

/* Descriptors 0 to 2: header, len bytes of data (none: 0) with these flags, status. Not exposed. */
void blk_put(struct dev *d, uint32_t type, uint64_t sector, uint32_t len, uint16_t flags);
/* Exposes the chain at descriptor 0 and waits: the status byte, or BLK_NONE when it broke the device. */
uint8_t blk_ask(struct dev *d);
/* put and ask. */
uint8_t blk_do(struct dev *d, uint32_t type, uint64_t sector, uint32_t len, uint16_t flags);
/* What that means as a verdict. */
enum verdict blk_verdict(struct dev *d, uint8_t got);
/* Nothing writes there any more, the disk thread least of all. */
bool blk_is_still(uint64_t from, uint64_t bytes);
uint64_t blk_sectors(const struct dev *d);

#endif
