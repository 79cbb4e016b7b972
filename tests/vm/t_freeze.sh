# SPDX-License-Identifier: Apache-2.0
# t_freeze.sh - init's side of a snapshot, without one: Freeze, Thaw and Resume in a real box, by
# tests/vm/host/freeze.c; and the page by which the guest's kernel learns that it was copied.
# tags: clones

freeze() { timeout 120 "$BUILD/tests/host/freeze" "$@"; }
in_box() { timeout 120 conker exec "$@"; }

# The greatest gap between two lines of times in the box's file /ticks, in hundredths of a second
gap() { in_box "$1" -- awk '{t = $1 * 100; if (NR > 1 && t - last > most) most = t - last; last = t} END {printf "%d", most}' /ticks; }

lines() { in_box "$1" -- sh -c 'wc -l </ticks'; }

make_box() { # NAME CPUS: with something that always runs
	timeout 120 conker create --name "$1" --memory 96 --cpus "$2" --ready-timeout 110 >/dev/null
	in_box --detach "$1" -- sh -c 'while :; do read -r t rest </proc/uptime; echo $t >>/ticks; usleep '"$(by_host 200000 20000)"'; done' >/dev/null
	soon 30 in_box "$1" -- test -s /ticks
}

resume() { # NAME: the box's clock is wrong before, as after a restore
	in_box "$1" -- sh -c 'date -s @1000000000; hostname other' >/dev/null
	freeze "$1" resume
	now=$(date +%s)
	box=$(in_box "$1" -- date +%s)
	[ "$box" -ge $((now - 60)) ] && [ "$box" -le $((now + 60)) ] || fail "time: $box, not $now"
	is "$(in_box "$1" -- hostname)" "$1" hostname
	first=$(in_box "$1" -- cat /run/conker/generation)
	has "$first" '^[0-9a-f]{32}$'
	freeze "$1" resume
	[ "$(in_box "$1" -- cat /run/conker/generation)" != "$first" ] || fail "the generation stayed"
	before=$(lines "$1")
	sleep 2
	[ "$(lines "$1")" -gt "$before" ] || fail "nothing runs"
}

test_nothing_runs_while_frozen_and_resume_makes_a_new_world() {
	make_box fz 1
	freeze fz thaw 4000
	sleep 1
	most=$(gap fz)
	[ "$most" -ge 390 ] || fail "the longest pause was $most / 100 s"
	resume fz
	has "$(in_box fz -- ls /sys/bus/platform/drivers/vmgenid)" '^9f000\.vmgenid$'
	has "$(in_box fz -- cat /proc/interrupts)" '23-edge +vmgenid'
	timeout 120 conker rm -f fz
}

test_resume_with_several_cpus() { # alone, all
	make_box fz 2
	resume fz
	timeout 120 conker rm -f fz
}
