# SPDX-License-Identifier: Apache-2.0
# t_moments.sh - snapshots at random moments of a guest in which everything is busy at once; what they hold goes on.
# tags: all, clones

setup_file() { :; }

teardown_file() { timeout 120 conker rm -f busy copy gap late 2>/dev/null || :; }

# dash has no $RANDOM
random() { # BELOW
	od -An -N4 -tu4 /dev/urandom | awk -v n="$1" '{print $1 % n}'
}

in_box() { timeout 120 conker exec "$@"; }

# What runs in there: each counts in a file of its own, and says in /bad what went wrong. A timer; somebody who looks
# whether memory keeps its promises; and, where system calls are cheap, a reader of the disk past the cache, and a
# terminal.
make_busy() { # NAME CPUS
	timeout 120 conker create --name "$1" --memory 128 --cpus "$2" --ready-timeout 110 >/dev/null
	in_box --detach --name timer "$1" -- sh -c 'i=0; while :; do usleep 20000; i=$((i + 1)); echo $i >/timer; done' >/dev/null
	in_box --detach --name count "$1" -- sh -c '
		i=0
		while :; do
			i=$((i + 1))
			echo $i >/count
			read -r j </count
			[ $i = "$j" ] || echo "count $i $j" >>/bad
		done' >/dev/null
	counters='timer count'
	[ "$HOST" = pvm ] || make_busier "$1"
	for c in $counters; do
		soon 60 in_box "$1" -- test -s "/$c"
	done
}

make_busier() { # NAME
	in_box --detach --name disk "$1" -- sh -c '
		md5sum /bin/busybox >/sum
		i=0
		while :; do
			echo 3 >/proc/sys/vm/drop_caches
			md5sum -c /sum >/dev/null || echo disk >>/bad
			i=$((i + 1))
			echo $i >/disk
		done' >/dev/null
	in_box --detach --name talk -t "$1" -- sh -c '
		i=0
		while :; do echo something to say; usleep 10000; i=$((i + 1)); echo $i >/talk; done' >/dev/null
	counters="$counters disk talk"
}

# Clients that come, go, and one that reads a flood.
keep_clients() { # NAME
	while :; do timeout 120 conker exec "$1" -- true; done >/dev/null 2>&1 &
	clients=$!
	[ "$HOST" != pvm ] || return 0
	timeout 600 conker exec "$1" -- sh -c 'while :; do echo a flood of output; done' >/dev/null 2>&1 &
	clients="$clients $!"
}

# In one execution, and without processes of its own where they are dear: each counter rises within a minute.
goes_on() { # NAME
	seen=$(in_box "$1" -- sh -c '
		for c; do
			read -r from </$c
			n=0
			while read -r now </$c; [ "$now" -le "$from" ]; do
				n=$((n + 1))
				[ $n -lt 600 ] || echo "$c stands still at $now"
				[ $n -lt 600 ] || break
				usleep 100000
			done
		done
		[ ! -e /bad ] || cat /bad' go $counters)
	is "$seen" "" "what went wrong in $1"
	has "$(timeout 120 conker ps "$1")" 'count'
	has "$(timeout 120 conker ps "$1")" 'timer'
}

moments() { # CPUS TIMES
	make_busy busy "$1"
	keep_clients busy
	# shellcheck disable=SC2064 # their numbers as they are now
	trap "kill $clients 2>/dev/null" EXIT
	n=0
	while [ $n -lt "$2" ]; do
		n=$((n + 1))
		sleep "0.$(random 1000)"
		rm -rf "$TMP/s"
		timeout 120 conker snapshot busy "$TMP/s"
		timeout 120 conker create --from "$TMP/s" --name copy >/dev/null
		goes_on copy
		timeout 120 conker rm -f copy
	done
	goes_on busy
	# shellcheck disable=SC2086 # a list
	kill $clients
	trap - EXIT
	timeout 120 conker rm -f busy
}

test_one_vcpu() {
	moments 1 "${SNAP_TIMES:-$(by_host 3 5)}"
}

test_two_vcpus() { # alone, all
	moments 2 "${SNAP_TIMES:-$(by_host 2 3)}"
}

# What a Resume may have been on its way, on a host that is busy; the clock is set to when it was sent.
LATE_S=5

# The box believes that it is an hour earlier; a timeout of which a part is over has the rest left.
test_the_gap_is_left_out_of_timeouts_and_put_right_in_the_time_of_day() {
	timeout 120 conker create --name gap >/dev/null
	in_box --detach --name pending --timeout 10 gap -- sleep 1000 >/dev/null
	in_box gap -- sh -c 'date -s "@$(($(date +%s) - 3600))"' >/dev/null
	before=$(in_box gap -- cut -d. -f1 /proc/uptime)
	timeout 120 conker snapshot gap "$TMP/gap"
	timeout 120 conker rm -f gap
	sleep 15
	timeout 120 conker create --from "$TMP/gap" --name late >/dev/null
	has "$(timeout 120 conker ps late)" 'pending'
	after=$(in_box late -- cut -d. -f1 /proc/uptime)
	[ $((after - before)) -lt 15 ] || fail "uptime went from $before to $after"
	from=$(($(date +%s) - LATE_S))
	box=$(in_box late -- date +%s)
	to=$(date +%s)
	[ "$box" -ge "$from" ] && [ "$box" -le "$to" ] || fail "the time of day is $box, not $from to $to"
	got=0
	timeout 120 conker wait late pending || got=$?
	is "$got" 124 "status of what had a timeout"
	timeout 120 conker rm -f late
}
