# SPDX-License-Identifier: Apache-2.0
# t_snapshot.sh - a running box to a directory, and boxes that go on from there.
#
# The shared box runs, from the start: `count`, which counts up in a file and says each tenth; `draw`, which draws a random
# number whenever it has slept; `late`, whose timeout is pending. $S is a snapshot of it in this state.
# tags: clones

setup_file() {
	S=$XDG_STATE_HOME/s
	conker create --name shared
	conker exec -d -n count shared -- sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/count; sleep '"$(by_host 4 0.2)"'; done'
	conker exec -d -n draw shared -- sh -c 'while :; do sleep '"$(by_host 6 1)"'; head -c 8 /dev/urandom | od -An -tx1; done'
	conker exec shared -- sh -c 'echo written >/here; until [ -s /count ]; do sleep 0.1; done'
	conker exec -d -n late --timeout 25 shared -- sleep 1000
	# As if the snapshot had been taken an hour ago.
	conker exec shared -- sh -c 'date -s "@$(($(date +%s) - 3600))"; cut -d" " -f1 /proc/uptime >/up'
	conker snapshot shared "$S"
	cp "$S/manifest" "$XDG_STATE_HOME/manifest"
}

teardown_file() {
	conker rm -f shared
	rm -r "$XDG_STATE_HOME/s"
}

S=$XDG_STATE_HOME/s

whole() { echo "${1%%.*}"; }

test_the_source_goes_on() {
	a=$(conker exec shared -- cat /count)
	soon 20 more_than "$a" shared
	has "$(conker ps shared)" 'count +running'
}

more_than() { [ "$(conker exec "$2" -- cat /count)" -gt "$1" ]; }

test_executions_and_files_go_on_in_a_clone() {
	conker restore -n c "$S"
	is "$(conker exec c -- cat /here)" written
	is "$(conker exec c -- hostname)" c
	has "$(conker ps c)" 'count +running'
	n=$(conker exec c -- cat /count)
	soon 20 more_than "$n" c
	has "$(conker info c)" "^from +$S"
	has "$(timeout 30 conker attach c draw 2>&1 | head -n 1)" '[0-9a-f]{2} '
	conker exec c -- sh -c 'echo mine >/here'
	is "$(conker exec shared -- cat /here)" written 'what a clone does is seen by none'
	conker rm -f c
}

test_monotonic_time_leaves_the_gap_out_and_real_time_is_right() {
	before=$(date +%s)
	out=$(conker run --from "$S" -- sh -c 'date +%s; cut -d" " -f1 /proc/uptime; cat /up')
	after=$(date +%s)
	set -- $out
	[ "$1" -ge $((before - 5)) ] && [ "$1" -le $((after + 1)) ] || fail "the clock says $1, not $before"
	[ $(($(whole "$2") - $(whole "$3"))) -lt 120 ] || fail "uptime went from $3 to $2"
}

test_a_pending_timeout_neither_fires_at_once_nor_is_lost() {
	conker restore -n c "$S"
	has "$(conker ps c)" 'late +running'
	status=0
	timeout 100 conker wait c late >/dev/null || status=$?
	is $status 124
	conker rm -f c
}

test_clones_draw_different_numbers() {
	conker restore -n c "$S"
	conker restore -n d "$S"
	lines=$(conker logs c draw 2>/dev/null | wc -l)
	for b in c d; do
		soon 60 drawn $b $((lines + 2))
		conker logs $b draw | sed "1,${lines}d" | head -n 2 >"$TMP/$b"
	done
	[ -z "$(sort "$TMP/c" "$TMP/d" | uniq -d)" ] || fail "the same in both: $(cat "$TMP/c" "$TMP/d")"
	a=$(conker exec c -- sh -c 'head -c 16 /dev/urandom | od -An -tx1')
	b=$(conker exec d -- sh -c 'head -c 16 /dev/urandom | od -An -tx1')
	[ "$a" != "$b" ] || fail 'the same random bytes'
	conker rm -f c d
}

drawn() { [ "$(conker logs "$1" draw | wc -l)" -ge "$2" ]; }

test_clones_are_snapshotted_in_turn_after_the_source_is_gone() { # all
	cp -r "$S" "$TMP/copy"
	conker restore -n c "$TMP/copy"
	conker exec c -- sh -c 'echo second >/here'
	rm -r "$TMP/copy"
	conker snapshot --stop c "$TMP/second"
	has "$(conker ls -a)" 'c +stopped'
	conker rm c
	is "$(conker run --from "$TMP/second" -- cat /here)" second
}

# ---- what is refused, in one line, with nothing left

refused() { # PATTERN
	fails 125 conker run --from "$TMP/s" -- true
	has "$err" "$1"
	is "$(conker ls -a | grep -cv '^shared ')" 1 'only the heading'
}

test_damaged_snapshots_are_refused() {
	cp -r "$S" "$TMP/s"
	printf x | dd of="$TMP/s/state" bs=1 seek=100 conv=notrunc 2>/dev/null
	refused 'state file has been changed since, or is damaged'
	cp "$S/state" "$TMP/s/state"
	printf x | dd of="$TMP/s/memory" bs=1 seek=20000000 conv=notrunc 2>/dev/null
	refused 'memory file has been changed since, or is damaged'
	cp "$S/memory" "$TMP/s/memory"
	sed -i s/pvm/qvm/ "$TMP/s/manifest"
	sed -i s/created_s=1/created_s=2/ "$TMP/s/manifest"
	refused 'manifest is damaged'
	rm "$TMP/s/manifest"
	refused 'no manifest'
}

test_options_that_contradict_it_are_refused() {
	cp -r "$S" "$TMP/s"
	exits 125 conker run --from "$TMP/s" --memory 64 -- true
	has "$err" '128 MiB of memory; leave that out'
	exits 125 conker snapshot shared "$TMP/s"
	has "$err" 'exists'
	exits 125 conker snapshot nobody "$TMP/t"
	has "$err" "no box named 'nobody'"
	one_line "$err"
	[ ! -e "$TMP/t" ]
}
