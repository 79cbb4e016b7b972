/* SPDX-License-Identifier: Apache-2.0 */
/* jail_check.h - which layers of the jail this host offers, found by entering one without a machine. */
#ifndef VMM_JAIL_CHECK_H
#define VMM_JAIL_CHECK_H

/* Lines on standard output:
 *	namespace KIND ok|REASON	each kind by itself, in a process of its own
 *	unjailed LAYER REASON		as jail.h says them
 *	failed REASON			the jail cannot be entered at all
 *	jailed				the last one: all that is not named above holds
 * The exit status of the program. */
int jail_check(void);

#endif
