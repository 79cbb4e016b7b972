# SPDX-License-Identifier: Apache-2.0
# t_fault.sh - calls that fail in a VMM at work (tests/fault): what was going on may fail, the box
# goes on.
#
# The VMM is the shipped one with every call led through tests/fault/inject.c; it is told by a page
# of memory, while it runs, what shall fail. Set-up and end have loops of their own that need no
# guest (build/tests/fault/vmm).

page=$XDG_RUNTIME_DIR/page
arm() { "$BUILD/tests/host/arm" "$page" "$@"; }

setup_file() {
	arm new
	printf '#!/bin/sh\nFAULT_PAGE=%s exec %s/tests/fault/conker-vmm "$@"\n' "$page" "$BUILD" >"$XDG_RUNTIME_DIR/vmm"
	chmod 755 "$XDG_RUNTIME_DIR/vmm"
	CONKER_VMM=$XDG_RUNTIME_DIR/vmm conker create --name shared
}

# Each N of one kind of call, until none is hit: an execution that reads the disk and writes to the
# console.
each() { # KIND
	at=1
	most=$(by_host 1 12)
	while [ $at -le "$most" ]; do
		arm "$1" $at
		status=0
		timeout 120 conker exec -i shared -- sh -c 'echo 1 >/proc/sys/vm/drop_caches; cat /bin/busybox | wc -c; echo x >/dev/console; cat' \
			>"$TMP/out" 2>"$TMP/err" <"$BUILD/tests/guest/cmdline" || status=$?
		call=$(arm)
		[ $status != 124 ] || fail "kind $1, call $at ($call): it hangs"
		got=$(timeout 120 conker exec shared -- echo alive) || fail "kind $1, call $at ($call): the box no longer serves"
		is "$got" alive
		[ -n "$call" ] || return 0
		echo "kind $1, call $at: $call: status $status $(cat "$TMP/err")"
		at=$((at + 1))
	done
}

test_out_of_memory() { each 1; }
test_epoll_is_full() { each 5; } # all
test_no_descriptor_for_a_client() { each 7; } # all
test_reads_fail() { each 10; } # all
test_writes_fail() { each 11; } # all
test_files_fail() { each 12; }
test_interrupted() { each 15; } # all
