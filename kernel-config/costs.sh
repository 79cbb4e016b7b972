#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# costs.sh [--check] - where the guest kernel's boot goes.
#
# Without an option: boots build/guest/vmlinux once with initcall_debug, under conker-vmm where there is
# /dev/kvm and under QEMU's TCG where not, and prints the ten costliest initcalls and the five longest
# steps before the first of them. The messages that this needs are not in the times of initcalls, but
# they are in the steps and the sum; one boot, n = 1, whatever else the machine does.
#
# --check: the test of the patches that only save time. Counts the instructions of boot and execution
# (tools/bench/instructions.py), which no other load disturbs, and fails above the budgets there, or if .bss has
# grown a gap.
set -euo pipefail
cd "$(dirname "$0")/.."

B=build
image=$B/guest/vmlinux
map=$B/guest/System.map-up
hello=$B/tests/guest/end_hello.cpio

die() { printf 'costs.sh: %s\n' "$*" >&2; exit 1; }
for f in $image $map $hello; do
	[ -r "$f" ] || die "$f is missing: run make all test-guests"
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ "${1:-}" = --check ]; then
	read -r start end < <(awk '/ __bss_start$/ { a = $1 } / __bss_stop$/ { b = $1 } END { print a, b }' $map)
	bss=$((0x$end - 0x$start))
	if [ "$bss" -lt $((400 << 10)) ]; then
		echo "ok kernel.no_gap_in_bss"
	else
		echo "not ok kernel.no_gap_in_bss"
		echo "    .bss has $bss bytes to clear: is there an alignment gap in it?"
	fi
	exec tools/bench/instructions.py --check
fi
[ $# -eq 0 ] || die "usage: costs.sh [--check]"

debug="initcall_debug log_buf_len=1M ignore_loglevel printk.time=1 panic=-1 rodata=off"
if [ -w /dev/kvm ] && [ -x $B/conker-vmm ]; then
	host="conker-vmm on KVM"
	[ ! -e /sys/module/kvm_pvm ] || host="conker-vmm on KVM without hardware assist (pvm)"
	words=$(sed -n '/kernel_words\[\] =/,/;/s/.*"\(.*\)".*/\1/p' lib/host/cmdline.c | tr -d '\n')
	words=${words/quiet /}
	words=${words/printk_store=5 /}
	timeout 120 $B/conker-vmm --memory-mib 128 --cpus 1 --kernel-fd 3 --initrd-fd 4 --console-fd 1 \
		--cmdline "$words $debug" 3<$image 4<$hello 2>"$tmp/err" | cat >"$tmp/log" || true # a file would be kept short
else
	host="QEMU TCG: no /dev/kvm here"
	timeout 120 qemu-system-x86_64 -M microvm,acpi=off -m 128 -nodefaults -no-user-config -nographic -no-reboot \
		-accel tcg -cpu max -serial stdio -kernel $image -initrd $hello \
		-append "console=ttyS0 reboot=t $debug" </dev/null >"$tmp/log" 2>"$tmp/err" || true
fi
grep -q 'Run /init' "$tmp/log" || { tail -n 5 "$tmp/log" "$tmp/err" >&2; die "the kernel did not reach PID 1"; }

tr -d '\r' <"$tmp/log" | awk -v map="$map" -v host="$host" '
	BEGIN {
		while ((getline line <map) > 0) {
			split(line, field, " ")
			name[field[1]] = field[3]
		}
	}
	match($0, /^\[ *[0-9]+\.[0-9]+\] /) {
		now = substr($0, 2, RLENGTH - 3) * 1000
		text = substr($0, RLENGTH + 1)
	}
	/initcall .* returned .* after/ {
		started = 1
		for (i = 1; i < NF; i++) {
			if ($i == "initcall") f = $(i + 1)
			if ($i == "after") us = $(i + 1)
		}
		sub(/^0x/, "", f)
		sub(/[+\/ ].*/, "", f)
		printf "i %9.1f ms  %s\n", us / 1000, (f in name ? name[f] : f)
		sum += us / 1000
	}
	!started && last != "" && now > before { printf "s %9.1f ms  up to \"%s\"\n", now - before, substr(text, 1, 60) }
	{ before = now; last = $0 }
	/Run \/init/ && !end { end = now }
	END { printf "t guest kernel by its own clock, %s: %.0f ms to PID 1 with these messages, initcalls %.0f ms\n", host, end, sum }
' >"$tmp/table"
sed -n 's/^t //p' "$tmp/table"
echo "the ten costliest initcalls (virtio_console_init writes out all messages so far):"
sed -n 's/^i //p' "$tmp/table" | sort -rn | awk 'NR <= 10'
echo "the five longest steps before the initcalls:"
sed -n 's/^s //p' "$tmp/table" | sort -rn | awk 'NR <= 5'
