# SPDX-License-Identifier: Apache-2.0
# t_trouble.sh - executions that attack their box: it answers others meanwhile, and what they
# started is gone after their end. The attackers are tests/vm/guest/trouble.c.

setup_file() {
	new_box shared
	conker exec -i shared -- sh -c 'cat >/bin/trouble; chmod 755 /bin/trouble' <"$BUILD/tests/guest/trouble"
}

answers() { # within a time that only a starved box exceeds
	got=$(timeout 120 conker exec shared -- echo alive) || fail "the box does not answer"
	is "$got" alive
}

troubles() { conker exec shared -- sh -c 'pidof trouble | wc -w'; }

# The processes of an execution are gone when its end is known, not some time later.
gone() {
	is "$(troubles)" 0 "processes left"
	is "$(conker ps shared | grep -c trouble)" 0 "executions left"
}

# attack MODE [OPTION]...: begins it, sees that others are served, ends it by kill
attack() {
	mode=$1
	shift
	conker exec --name "$mode" "$@" shared -- trouble "$mode" >"$TMP/attack" 2>"$TMP/attack.err" &
	pid=$!
	soon 60 grep -q ready "$TMP/attack"
	answers
	sleep 1
	answers
}

end_attack() {
	conker kill shared "$mode"
	ends "${1:-137}" $pid "status of the attacker"
	gone
	answers
}

test_fork_bomb() {
	attack fork-bomb
	end_attack
}

test_fork_bomb_of_a_shell() { # all
	conker exec --name bomb shared -- sh -c 'echo ready; b() { b | b & }; b; exec sleep 1000' >"$TMP/attack" 2>/dev/null &
	pid=$!
	soon 60 grep -q ready "$TMP/attack"
	answers
	sleep 1
	answers
	conker kill shared bomb
	wait $pid || true
	is "$(conker exec shared -- sh -c 'pidof sleep | wc -w')" 0 "processes left"
	answers
}

test_fork_chain() { # all
	conker exec -d --name chain --leave-children shared -- trouble fork-chain
	answers
	sleep 1
	answers
	conker kill shared chain
	soon 60 sh -c '! conker ps shared | grep -q chain'
	gone
}

test_memory_hog_is_killed_and_nobody_else() {
	conker exec --name bystander shared -- sleep 1000 &
	bystander=$!
	soon 60 sh -c 'conker ps shared | grep -q bystander'
	exits 137 conker exec shared -- trouble memory-hog
	answers
	gone
	has "$(conker ps shared)" bystander
	conker kill shared bystander
	wait $bystander || true
}

test_memory_hogs() { # all
	attack memory-hogs
	end_attack
}

# The throw-away layer is memory.
test_disk_filler() {
	conker exec --name filler shared -- trouble disk-filler >"$TMP/attack" 2>&1 &
	pid=$!
	soon 60 grep -q ready "$TMP/attack"
	sleep 5
	answers
	conker kill shared filler || true
	wait $pid || true
	gone
	conker exec shared -- rm -f /fill
	answers
}

test_kill_everyone() {
	attack kill-everyone
	end_attack
}

test_close_everything() {
	attack close-everything
	end_attack
}

test_stop_oneself() {
	attack stop-oneself
	has "$(conker ps shared)" 'stop-oneself .*stopped'
	end_attack
}

test_stopped_meets_its_timeout() { # all
	exits 124 conker exec --timeout 1 shared -- trouble stop-oneself
	gone
}

test_daemons_die_with_their_execution() {
	exits 0 conker exec shared -- trouble daemons
	gone
}

test_deaf_to_sigterm_meets_its_timeout() { # all
	exits 124 conker exec --timeout 1 shared -- trouble deaf
	gone
}

test_a_grandchild_that_holds_the_pipe_does_not_delay_the_timeout() { # all
	exits 124 conker exec --timeout 1 shared -- trouble pipe-holder
	gone
}

test_flood_that_nobody_reads() {
	attack flood
	kill -STOP $pid
	answers
	sleep 1
	answers
	kill -CONT $pid
	end_attack
}

test_tiny_writes() { # all
	attack tiny-writes
	end_attack
}

test_exec_for_ever() { # all
	attack exec-for-ever
	end_attack
}

test_nobody_in_the_box_can_pose_as_init_or_host() {
	conker exec -i shared -- sh -c 'cat >/bin/pose; chmod 755 /bin/pose' <"$BUILD/tests/guest/pose"
	exits 0 conker exec --user 1000:1000 shared -- pose
	is "$out" ''
	exits 0 conker exec shared -- pose
	is "$out" ''
	answers
}

test_all_at_once() {
	modes="fork-bomb memory-hogs stop-oneself flood tiny-writes exec-for-ever"
	for mode in $modes; do
		conker exec -d --name "$mode" shared -- trouble "$mode" >/dev/null
	done
	answers
	sleep 1
	answers
	for mode in $modes; do
		conker kill shared "$mode"
	done
	soon 60 sh -c '! conker ps shared | grep -q trouble'
	gone
}
