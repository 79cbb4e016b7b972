# SPDX-License-Identifier: Apache-2.0
# t_relay.sh - one machine carried from process to process while its disk and its console never rest:
# build/tests/host/relay takes the snapshots, build/tests/guest/end_relay.cpio is the guest's PID 1.

relay() { # CPUS KERNEL SECONDS: $out is what relay said
	dd if=/dev/zero of="$TMP/disk" bs=4194304 count=1 2>/dev/null
	: >"$TMP/console"
	exits 0 "$BUILD/tests/host/relay" "$(by_host 300 1500)" "$1" "$BUILD/guest/$2" \
		"$BUILD/tests/guest/end_relay.cpio" "$CMDLINE relay_s=$3" "$TMP/disk" "$TMP/console"
	said=$(tr -d '\r' <"$TMP/console")
	moves=$(printf '%s\n' "$out" | sed -n 's/^moves //p')
	echo "figure: $moves moves, $(printf '%s\n' "$said" | sed -n 's/^lines //p') lines"
}

# Every line once, in order, and at the end the guest's own verdict on its disk.
intact() {
	is "$(printf '%s\n' "$said" | tail -n 1)" 'relay ok'
	printf '%s\n' "$said" | awk '
		/^line / && $2 != ++n { print "line", $2, "after", n - 1; exit 1 }
		/^lines / && $2 != n { print n, "lines of", $2; exit 1 }' || fail 'lines are lost or doubled'
	[ "$moves" -ge 2 ] || fail "only $moves moves"
}

test_disk_and_console_go_on_where_they_were() {
	relay 1 vmlinux "$(by_host 3 4)"
	intact
}

test_so_they_do_with_two_cpus() { # alone, all
	[ "$HOST" != lab ] || skip 'two emulated vCPUs on one emulated CPU take minutes'
	relay 2 vmlinux-smp 3
	intact
}
