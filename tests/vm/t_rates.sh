# SPDX-License-Identifier: Apache-2.0
# t_rates.sh - what a box may move in a second, as its user asks for it.

DISK_KIB=4096

setup_file() {
	truncate -s ${DISK_KIB}K "$XDG_RUNTIME_DIR/disk"
	conker create --name shared --disk "$XDG_RUNTIME_DIR/disk" --disk-rate 2M --vsock-rate 100K --console-rate 20K:1000
}

teardown_file() {
	conker rm -f shared
	rm "$XDG_RUNTIME_DIR/disk"
}

# takes SECONDS COMMAND...: at least so long; a bucket is full at first, and clocks here are whole seconds
takes() {
	start=$(date +%s)
	least=$1
	shift
	"$@"
	took=$(($(date +%s) - start))
	[ $took -ge "$least" ] || fail "'$*' took $took s, expected $least at least"
}

test_a_disk_moves_what_it_may_and_no_more() {
	takes 1 exits 0 conker exec shared -- dd if=/dev/zero of=/dev/vdb bs=64K count=64 conv=fsync
	is "$(tr -d '\0' <"$XDG_RUNTIME_DIR/disk" | wc -c)" 0 'bytes'
	takes 1 exits 0 conker exec shared -- sh -c 'cat /dev/vdb | wc -c'
	is "$out" $((DISK_KIB * 1024))
}

test_output_beyond_the_rate_is_late_and_complete_and_others_get_through() {
	start=$(date +%s)
	conker exec shared -- sh -c 'seq 1 80000' >"$TMP/seq" & # 450 KiB
	sleep 1
	exits 0 conker exec shared -- echo alive
	is "$out" alive
	wait $!
	took=$(($(date +%s) - start))
	[ $took -ge 3 ] || fail "450 KiB took $took s"
	is "$(seq 1 80000 | cmp - "$TMP/seq" && echo same)" same
}

test_the_console_too() { # all; the VMM and its vCPU take turns on one CPU for each line
	[ "$HOST" != pvm ] || skip 'a console is slower than any rate here: 300 bytes a second'
	takes 1 exits 0 conker exec shared -- sh -c 'seq 10001 20000 >/dev/console' # 60 KB
	soon 20 sh -c 'conker logs shared | grep -q 20000'
	is "$(conker logs shared | tr -d '\r' | grep -c '^1[0-9][0-9][0-9][0-9]$')" 9999 'lines'
}
