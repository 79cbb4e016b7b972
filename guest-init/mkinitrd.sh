#!/bin/sh
# mkinitrd.sh INIT OUT - the initramfs: an uncompressed newc cpio with init and empty directories.
#
# Written by hand because cpio(1) can only pack a device node that exists, and making one takes root.
# What is in here and why: guest-init/README.md.
set -eu

init=$1
out=$2
n=0

# entry NAME MODE(octal) SIZE RMAJOR RMINOR: a header and the padded name; the data is the caller's
entry() {
	n=$((n + 1))
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
		$n $((0$2)) 0 0 1 0 "$3" 0 0 "$4" "$5" $((${#1} + 1)) 0 "$1"
	pad $((110 + ${#1} + 1))
}

# pad LENGTH: zeroes up to the next multiple of 4
pad() {
	case $((${1} % 4)) in
	1) printf '\0\0\0' ;;
	2) printf '\0\0' ;;
	3) printf '\0' ;;
	esac
}

size=$(wc -c <"$init")
{
	for dir in dev img up work root; do
		entry "$dir" 040755 0 0 0
	done
	entry dev/console 020600 0 5 1
	entry init 0100755 "$size" 0 0
	cat "$init"
	pad "$size"
	entry 'TRAILER!!!' 0 0 0 0
} >"$out.tmp"
mv "$out.tmp" "$out"
