# SPDX-License-Identifier: Apache-2.0
# t_end.sh - how a machine ends is told apart: power-off, reboot, panic, triple fault, request.
#
# The guests are one-page programs: init replacements (build/tests/guest/end_*.cpio) and raw kernels
# (build/tests/guest/raw_*). conker-vmm is started by hand, so that nothing but it is tested.

vmm() { # STATUS REASON [OPTION]...
	want=$1 reason=$2
	shift 2
	status=0
	conker-vmm --memory-mib 64 --cpus 1 --cmdline "$CMDLINE" \
		--console-fd 4 --state-fd 5 "$@" 4>"$TMP/console" 5>"$TMP/state" || status=$?
	has "$(tail -n 1 "$TMP/state")" "^exited $reason"
	is $status "$want" 'exit status'
}

linux() { # INITRD STATUS REASON
	vmm "$2" "$3" --kernel-fd 6 --initrd-fd 7 6<"$BUILD/guest/vmlinux" 7<"$BUILD/tests/guest/$1.cpio"
}

test_power_off() { linux end_poweroff 0 poweroff; }
test_reboot() { linux end_reboot 3 reboot; }

test_panic_reaches_the_console_first() {
	linux end_panic 4 panic
	grep -q 'Kernel panic' "$TMP/console"
}

test_triple_fault() { vmm 5 crash --kernel-fd 6 6<"$BUILD/tests/guest/raw_triple_fault"; }

test_terminate_request() {
	conker-vmm --memory-mib 64 --cpus 1 --cmdline x --state-fd 5 --kernel-fd 6 \
		5>"$TMP/state" 6<"$BUILD/tests/guest/raw_spin" &
	pid=$!
	soon 20 grep -q started "$TMP/state"
	kill -TERM $pid
	ends 0 $pid
	has "$(tail -n 1 "$TMP/state")" '^exited stopped'
}
