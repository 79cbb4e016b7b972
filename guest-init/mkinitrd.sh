#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mkinitrd.sh INIT OUT - the initramfs: an uncompressed newc cpio with init and empty directories.
#
# /dev, /dev/console and /root are in the archive that every kernel has built in and unpacks before (its
# usr/default_cpio_list); each entry costs ten thousand instructions. What is in here and why:
# guest-init/README.md.
set -eu

init=$1
out=$2
n=0

# entry NAME MODE(octal) SIZE: a header and the padded name; the data is the caller's
entry() {
	n=$((n + 1))
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
		$n $((0$2)) 0 0 1 0 "$3" 0 0 0 0 $((${#1} + 1)) 0 "$1"
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
	for dir in img up work; do
		entry "$dir" 040755 0
	done
	entry init 0100755 "$size"
	cat "$init"
	pad "$size"
	entry 'TRAILER!!!' 0 0
} >"$out.tmp"
mv "$out.tmp" "$out"
