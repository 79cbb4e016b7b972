/* SPDX-License-Identifier: Apache-2.0 */
/* cmdline.c - the guest kernel's command line, put together in this one place.
 *
 * Words of the form NAME=value without a dot that the kernel does not know reach guest-init as
 * environment; that is how the CONKER_ ones travel.
 */
#include "lib/host/launch.h"

#include <errno.h>
#include <stdio.h>

/* COMMAND_LINE_SIZE of x86 with its NUL; the kernel cuts off the rest without a word. */
enum { CMDLINE_MAX = 2048 };

/* What each is for:
 *	console, quiet	output goes to the VMM; errors and worse are shown
 *	printk_store=5	what "quiet" would hide is not even formatted (a patch of our kernel)
 *	panic=-1	reboot at once, which ends the box; pvpanic has told the VMM before
 *	rodata=off	no pass over all page tables at boot; the guest kernel is its own victim
 *	clearcpuid	features that the kernel shall not use, word * 32 + bit of its cpufeatures.h
 *			(by name each is searched in a table of 700):
 *			297 580 395	erms, fsrm, fsrs: byte string copies, slow when emulated
 *			151 141 308 288	popcnt, cx16, smap, fsgsbase: instructions that KVM
 *			590 158 306	without hardware assistance cannot finish for a kernel;
 *					serialize, rdrand, rdseed likewise
 *			323 321 320	xsaves, xsavec, xsaveopt: only plain XSAVE is finished
 *	clocksource	KVM's: it stands still with the box, also where the time stamp counter cannot */
static const char kernel_words[] = "console=hvc0 quiet printk_store=5 panic=-1 rodata=off "
				   "clearcpuid=297,580,395,151,141,308,288,590,158,306,323,321,320 "
				   "clocksource=kvm-clock";

/* Appends "NAME=value" if there is a value; what does not fit is found by the caller. */
static size_t number(char *ret, size_t size, size_t at, const char *name, int value)
{
	if (value == 0 || at >= size)
		return at;
	return at + (size_t)snprintf(ret + at, size - at, " %s=%d", name, value);
}

int cmdline_compose(char *ret, size_t size, const char *hostname, const conker_box_opts *o,
		    struct err *e)
{
	const char *append = o->cmdline_append;
	size_t n = (size_t)snprintf(ret, size, "%s CONKER_ROOT=vda CONKER_HOSTNAME=%s",
				    kernel_words, hostname);

	n = number(ret, size, n, "CONKER_IDLE_MS", o->idle_timeout_ms);
	n = number(ret, size, n, "CONKER_IDLE_MS", o->idle_suspend_ms);
	n = number(ret, size, n, "CONKER_IDLE_SUSPEND", o->idle_suspend_ms ? 1 : 0);
	n = number(ret, size, n, "CONKER_LIFE_MS", o->max_life_ms);
	if (append && n < size)
		n += (size_t)snprintf(ret + n, size - n, " %s", append);
	if (n >= min_(size, (size_t)CMDLINE_MAX))
		return err_set(e, EINVAL, "the kernel command line would be longer than %d bytes",
			       CMDLINE_MAX - 1);
	return 0;
}
