# SPDX-License-Identifier: Apache-2.0
# Limits of executions, what happens at them, and the figures about it.

setup_file() {
	conker create --name shared --memory 64 # small: its memory is filled more than once
}

# figure NAME EXECUTION: of its usage, from the list
figure() {
	conker ps --all --json shared | tr '{' '\n' | sed -n "/\"name\":\"$2\"/,\$p" |
		sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" | sed -n '$p'
}

state() {
	conker ps --all --json shared | sed -n "s/.*\"name\":\"$1\",\"key\":\"\",\"state\":\"\([a-z_]*\)\".*/\1/p"
}

# The group of an execution, as its root may see it.
see='mkdir -p /tmp/cg; umount -l /tmp/cg 2>/dev/null; mount -t cgroup2 cg /tmp/cg && cd /tmp/cg &&'

test_a_memory_limit_ends_the_whole_execution_and_nothing_else() {
	conker exec -d --name neighbour shared -- sleep 1000
	exits 137 conker exec --name hog --limit-memory 6M shared -- sh -c 'sleep 1000 & tail /dev/zero; echo alive'
	is "$out" ''
	is "$(state hog)" oom_killed
	is "$(state neighbour)" running
	[ "$(figure memory_peak_bytes hog)" -le 6291456 ] || fail "peak above the limit"
	is "$(conker exec shared -- sh -c 'ps | grep -c "sleep [1]000"')" 1 'sleepers left'
	conker kill shared neighbour
}

test_a_limit_too_small_for_any_program_is_an_end_like_others() {
	exits 137 conker exec --name tiny --limit-memory 4K shared -- true
	has "$(state tiny)" '^(oom_killed|signaled)$' # the kernel may end it before there is anything to kill
	exits 0 conker exec shared -- true
}

test_a_child_killed_for_memory_shows_in_the_figures() {
	exits 0 conker exec --name parent shared -- sh -c 'tail /dev/zero; echo $?'
	is "$out" 137
	is "$(state parent)" exited
	is "$(figure oom_kills parent)" 1 'kills'
}

test_limits_do_not_pass_to_the_next_execution() {
	exits 0 conker exec --limit-memory 16M --limit-pids 7 --limit-cpu 0.5 shared -- sh -c "$see cat memory.max memory.oom.group pids.max; sleep 1; cat cpu.max"
	is "$(echo $out)" '16777216 1 7 50000 100000'
	exits 0 conker exec shared -- sh -c "$see cat memory.max memory.oom.group pids.max cpu.max"
	has "$(echo $out)" '^[0-9]{8,9} 0 [0-9]{3} max 100000$'
}

test_no_execution_may_take_all_that_the_box_has() {
	box=$(conker exec shared -- sh -c "$see cat memory.max pids.max")
	[ "$(echo $box | cut -d ' ' -f 1)" -lt 55000000 ] || fail "memory: $box"
	[ "$(echo $box | cut -d ' ' -f 2)" -lt 500 ] || fail "processes: $box"
}

test_a_limit_of_processes_is_kept() {
	exits 0 conker exec --name few --limit-pids 4 shared -- sh -c '(for i in 1 2 3 4 5 6; do sleep 1 & done) 2>/dev/null; true'
	is "$(figure pids_peak few)" 4 'processes'
}

test_a_cpu_limit_throttles() {
	exits 124 conker exec --name slow --limit-cpu 0.1 --timeout 3 --grace 1 shared -- sh -c 'while :; do :; done'
	[ "$(figure throttled_us slow)" -gt 500000 ] || fail "throttled for $(figure throttled_us slow) us"
	[ "$(figure user_us slow)" -lt 2500000 ] || fail "ran for $(figure user_us slow) us"
}

test_figures_are_of_one_execution_not_of_its_predecessors() {
	conker exec shared -- sh -c 'head -c 8000000 /dev/zero | tail -c 8000000 >/dev/null; i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done'
	for i in 1 2 3; do conker exec --name small$i shared -- true; done
	for i in 1 2 3; do
		[ "$(figure memory_peak_bytes small$i)" -lt 2000000 ] || fail "memory: $(figure memory_peak_bytes small$i)"
		[ "$(figure user_us small$i)" -lt "$(by_host 2000000 100000)" ] || fail "user time: $(figure user_us small$i)"
	done
}

test_a_memory_hog_stops_nobody_else() {
	conker exec -d --name hog2 --restart always --backoff 0.1 shared -- tail /dev/zero
	for i in 1 2 3; do
		exits 0 timeout "$(by_host 120 30)" conker exec shared -- sh -c 'echo still | cat'
		is "$out" still
	done
	conker kill shared hog2
}

test_a_fork_bomb_stops_nobody_else() {
	conker exec -d --name bomb shared -- sh -c '(b() { b | b & b; }; b) 2>/dev/null; sleep 1000'
	sleep 2
	for i in 1 2 3; do
		exits 0 timeout "$(by_host 120 60)" conker exec shared -- sh -c 'echo still | cat'
		is "$out" still
	done
	conker kill --all shared bomb
	soon 60 sh -c '! conker ps shared | grep -q bomb'
	soon 30 sh -c '[ "$(conker exec shared -- sh -c "ps | wc -l")" -lt 10 ]'
}

test_files_in_memory_stop_nobody_else() {
	conker exec shared -- sh -c 'cat /dev/zero >/tmp/filler; cat /dev/zero >/dev/shm/filler; true' || :
	exits 0 conker exec shared -- sh -c 'echo still | cat'
	is "$out" still
	exits 0 conker exec shared -- rm -f /tmp/filler /dev/shm/filler
	exits 0 conker exec shared -- sh -c 'head -c 10000000 /dev/zero >/tmp/again && rm /tmp/again'
}

test_root_of_the_box_is_no_more_than_its_limits() {
	exits 0 conker exec shared -- sh -c "ulimit -Hn 1000000 2>/dev/null && echo raised
		echo -1000 2>/dev/null >/proc/self/oom_score_adj && echo exempt
		$see echo max 2>/dev/null >memory.max && echo unlimited; true"
	is "$out" ''
}

test_the_box_has_figures_of_its_own() {
	stats=$(conker stats --json shared)
	has "$stats" '"memory_total_bytes":[456][0-9]{7}'
	has "$stats" '"started":[1-9]'
	has "$stats" '"init_fds":[1-9]'
	has "$stats" '"init_rss_kib":[1-9]'
}
