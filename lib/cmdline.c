/* cmdline.c - the guest kernel's command line, put together in this one place.
 *
 * Words of the form NAME=value without a dot that the kernel does not know reach guest-init as
 * environment; that is how the CONKER_ ones travel.
 */
#include "lib/internal.h"

#include <errno.h>
#include <stdio.h>

/* COMMAND_LINE_SIZE of x86 with its NUL; the kernel cuts off the rest without a word. */
enum { CMDLINE_MAX = 2048 };

/* What each is for:
 *	console, quiet	output goes to the VMM; errors and worse are shown
 *	panic=-1	reboot at once, which ends the box; pvpanic has told the VMM before
 *	rodata=off	no pass over all page tables at boot; the guest kernel is its own victim
 *	erms, fsrm	off: the string copies they stand for are slow when emulated
 *	11:11		off (RRSBA_CTRL): mitigations would write an MSR that KVM may not have
 *	popcnt and on	off: instructions that KVM without hardware assistance cannot finish for a kernel */
static const char kernel_words[] = "console=hvc0 quiet panic=-1 rodata=off "
				   "clearcpuid=erms,fsrm,11:11,popcnt,cx16,smap,fsgsbase,xsaves,"
				   "xsavec,xsaveopt,serialize,rdrand,"
				   "rdseed";

int cmdline_compose(char *ret, size_t size, const char *hostname, const char *append, struct err *e)
{
	int n = snprintf(ret, size, "%s CONKER_ROOT=vda CONKER_HOSTNAME=%s%s%s", kernel_words,
			 hostname, append ? " " : "", append ? append : "");

	if (n < 0 || (size_t)n >= min_(size, (size_t)CMDLINE_MAX))
		return err_set(e, EINVAL, "the kernel command line would be longer than %d bytes",
			       CMDLINE_MAX - 1);
	return 0;
}
