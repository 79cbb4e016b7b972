#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# exec.sh BUILD RUNS MIB - what `make bench-exec` runs: RUNS warm executions, then streams of MIB.
#
# The plain vsock of the second half is a machine whose PID 1 is tools/bench/guest/pump.c.
set -eu
B=$1
runs=$2
mib=$3
export CONKER_VMM=$B/conker-vmm CONKER_GUEST=$B/guest
cmdline=$(cat "$B/tests/guest/cmdline")
plain="exec $B/conker-vmm --memory-mib 128 --cpus 1 --kernel-fd 3 --initrd-fd 4 --console-fd 5 --state-fd 5 \
	--vsock-listen 9:5000 --cmdline '$cmdline' 3<$B/guest/vmlinux 4<$B/bench/guest/pump.cpio 5>/dev/null"

"$B/bench/exec" -n "$runs" "$B/bench/guest"
"$B/bench/stream" -s "$mib" "$B/bench/guest" "$plain"
