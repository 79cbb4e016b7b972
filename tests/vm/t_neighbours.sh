# SPDX-License-Identifier: Apache-2.0
# t_neighbours.sh - what a box notices of seven others that misbehave: no more than of seven that
# compute.
#
# Two of the seven are machines without a kernel (build/tests/guest/raw_*) that spin, or notify their devices without
# end. Five are boxes that spin in user space, or flood: two their disk, one its console, one a stream in both
# directions, one the host with calls of its ports. Clients of floods have sessions of their own, as other users'.
# Both phases take turns, because hosts have moods: a first verdict that is bad is given again with more rounds.
# tags: alone, all

DISK_MIB=16
EXECS=$(by_host 10 12) # in each phase of a round
ROUNDS=2
DD_BLOCKS=$(by_host 1 32)
ROUNDS_MAX=$(by_host 4 8)

setup_file() {
	conker create --name shared
}

make_neighbours() {
	boots=
	truncate -s ${DISK_MIB}M "$TMP/n1.disk" "$TMP/n2.disk"
	for i in 1 2 3 4 5; do
		disk=
		[ $i -gt 2 ] || disk="--disk $TMP/n$i.disk"
		conker create --name n$i $disk &
		boots="$boots $!"
	done
	for b in $boots; do wait "$b"; done
	conker cp "$BUILD/tests/guest/knock" n5:/tmp/
}

machine() { # KERNEL
	setsid conker-vmm --memory-mib 64 --cpus 1 --cmdline x --kernel-fd 6 6<"$BUILD/tests/guest/$1" 2>"$TMP/machine.err" &
	machines="$machines $!"
}

spin() {
	conker exec -d --name $trouble "$1" -- sh -c 'while :; do :; done' >/dev/null
}

flood() { # BOX COMMAND
	setsid conker exec -i --name $trouble "$1" -- sh -c "$2" </dev/zero >/dev/null 2>"$TMP/$1.err" &
	clients="$clients $!"
	eval "client_$1=$!"
}

begin_spinning() {
	for i in 1 2 3 4 5; do spin n$i; done
	machine raw_spin
	machine raw_spin
}

begin_flooding() {
	machine raw_storm
	machine raw_storm
	for i in 1 2; do
		flood n$i "while :; do dd if=/dev/zero of=/dev/vdb bs=32K count=$DD_BLOCKS conv=fsync; done"
	done
	flood n3 'cat /dev/zero >/dev/console'
	flood n4 cat
	flood n5 /tmp/knock
}

disk_floods() { grep -q 'records out' "$TMP/n1.err" "$TMP/n2.err"; }

# A flood that does not flow proves nothing.
check_flooding() {
	for p in $clients $machines; do
		kill -0 "$p" || fail "$p of machines $machines, clients $clients has ended: $(tail -n 2 "$TMP"/*.err)"
	done
	soon 20 disk_floods
	[ "$(wc -c <"$XDG_RUNTIME_DIR/conker/boxes/n3/console")" -ge 500 ] || fail 'no flood of the console'
	[ "$(sed -n 's/^wchar: //p' "/proc/$client_n4/io")" -ge 50000 ] || fail 'no flood of bytes'
}

end_all() {
	kill $machines
	for i in 1 2 3 4 5; do conker kill n$i $trouble; done
	for p in $machines $clients; do wait "$p" || true; done
}

phase() { # NAME: its latencies go to $TMP/NAME
	machines= clients= trouble=$1$round
	begin_$1
	sleep 1
	"$BUILD/tests/host/latency" shared "$EXECS" >>"$TMP/$1"
	[ $1 = spinning ] || check_flooding
	end_all
}

p50() { sort -n "$TMP/$1" | sed -n "$(($(wc -l <"$TMP/$1") / 2))p"; }

test_neighbours_that_flood_cost_no_more_than_twice_those_that_compute() { # slow
	make_neighbours
	for round in $(seq $ROUNDS_MAX); do
		phase spinning
		phase flooding
		spinning=$(p50 spinning)
		flooding=$(p50 flooding)
		[ "$round" -lt $ROUNDS ] || [ "$flooding" -gt $((2 * spinning)) ] || break
	done
	for i in 1 2 3 4 5; do conker rm -f n$i; done
	ratio=$(awk "BEGIN { printf \"%.2f\", $flooding / $spinning }")
	echo "figure: exec p50 beside seven that spin $spinning us, that flood $flooding us: ratio $ratio after $round rounds"
	[ "$flooding" -le $((2 * spinning)) ] || fail 'more than twice'
}
