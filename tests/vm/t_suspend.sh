# SPDX-License-Identifier: Apache-2.0
# t_suspend.sh - boxes that are put aside, by request and by themselves.
# tags: kvm, clones

# shared2 suspends itself while the other one boots.
setup_file() {
	conker create --name shared2 --idle-suspend 1
	conker create --name shared
	conker exec -d -n sleeper shared -- sh -c 'echo started; sleep 1000'
}

teardown_file() {
	conker rm -f shared shared2
}

state() { conker ls -a | awk -v b="$1" '$1 == b { print $2 }'; }

test_suspended_and_back_by_the_next_command() {
	conker exec shared -- sh -c 'echo kept >/file'
	conker suspend shared
	is "$(state shared)" suspended
	has "$(conker ls -a | grep '^shared ')" 'suspended .* -$'
	has "$(conker info shared)" '^on disk'
	has "$(conker info --json shared)" '"state":"suspended"'
	is "$(pgrep -x -c conker-vmm || true)" 0 'its process is gone'
	conker suspend shared # again: nothing to do
	is "$(state shared)" suspended
	is "$(conker exec shared -- cat /file)" kept
	is "$(state shared)" running
	has "$(conker ps shared)" 'sleeper +running'
	has "$(conker logs shared sleeper)" started
	conker suspend shared
	conker resume shared
	is "$(state shared)" running
}

test_again_and_again_and_two_at_once() { # all
	i=0
	while [ $i -lt 3 ]; do
		conker suspend shared
		conker exec shared -- true &
		one=$!
		is "$(conker exec shared -- echo two)" two
		wait $one
		i=$((i + 1))
	done
}

test_stop_and_rm_of_suspended_ones() {
	conker snapshot shared "$TMP/s"
	conker restore -n a "$TMP/s"
	conker restore -n b "$TMP/s"
	conker suspend a b
	fails 125 conker rm a
	has "$err" "box 'a' is suspended.*stop it first, or force"
	exits 125 conker create -n a
	has "$err" "'a' exists and is suspended; .*conker rm -f a"
	is "$(state a)" suspended
	conker stop a
	is "$(state a)" stopped
	conker rm a
	conker rm -f b
	is "$(state a)$(state b)" ''
}

test_a_resume_that_fails_leaves_it_suspended() {
	conker snapshot shared "$TMP/s"
	conker restore -n a "$TMP/s"
	conker suspend a
	dir=$(readlink -f "$XDG_RUNTIME_DIR/conker/boxes/a/storage")
	mv "$dir/memory" "$TMP/memory"
	fails 125 conker exec a -- true
	has "$err" "resume box 'a'.*memory file.*conker rm -f a. removes it"
	is "$(state a)" suspended
	mv "$TMP/memory" "$dir/memory"
	exits 0 conker exec a -- true
	conker rm -f a
}

# Its first command comes as soon as it has been resumed, from disk.
test_a_box_suspends_itself_when_idle_but_not_under_a_keep_alive_execution() {
	soon 60 is_suspended shared2
	exits 0 timeout 60 conker exec -d --keep-alive -n busy shared2 -- sleep 1000
	sleep 3
	is "$(state shared2)" running
	conker kill shared2 busy
	soon 60 is_suspended shared2
	exits 0 conker exec shared2 -- true
	soon 60 is_suspended shared2
}

MOMENTS=${SUSPEND_TIMES:-6}

# The i-th of MOMENTS, in seconds, from $1 to $2.
moment() { awk -v i="$i" -v n="$MOMENTS" -v from="$1" -v to="$2" 'BEGIN { print from + (to - from) * i / n }'; }

counted() { [ "$(conker exec shared2 -- wc -l /count)" = "$i /count" ]; }

# Around the time when it suspends itself.
test_a_command_at_any_moment_runs_exactly_once() { # all
	conker exec shared2 -- rm -f /count
	i=0
	while [ $i -lt "$MOMENTS" ]; do
		sleep "$(moment 0.85 1.35)"
		exits 0 timeout 60 conker exec shared2 -- sh -c "echo $i >>/count"
		i=$((i + 1))
	done
	is "$(conker exec shared2 -- cat /count | tr '\n' ' ')" "$(seq -s ' ' 0 $((i - 1))) "
}

# Two commands at once, and somebody who suspends it.
test_so_do_commands_while_it_is_suspended() { # all
	conker exec shared2 -- rm -f /count
	MOMENTS=$((MOMENTS / 2))
	i=0
	while [ $i -lt "$MOMENTS" ]; do
		timeout 60 conker suspend shared2 &
		suspender=$!
		sleep "$(moment 0 0.4)"
		timeout 60 conker exec -d shared2 -- sh -c "echo $i >>/count" >"$TMP/one" &
		one=$!
		timeout 60 conker exec shared2 -- true || : # may have begun, and was put aside then
		wait $one || fail "the one in the background: $?"
		wait $suspender || fail "who suspended it: $?"
		i=$((i + 1))
	done
	soon 60 counted
	is "$(conker exec shared2 -- sort -n /count | tr '\n' ' ')" "$(seq -s ' ' 0 $((i - 1))) "
}

is_suspended() { [ "$(state "$1")" = suspended ]; }

ended() { [ "$(state "$1")" = poweroff ]; }

test_each_clone_has_a_life_and_idle_times_of_its_own() { # all
	life=$(by_host 45 15)
	conker create -n src --max-life "$life"
	began_s=$(date +%s)
	conker snapshot --stop src "$TMP/s"
	conker rm src
	conker create -n ever --from "$TMP/s"
	conker create -n short --from "$TMP/s" --max-life 4
	conker create -n lazy --from "$TMP/s" --idle-timeout 3
	conker restore -n sleepy --idle-suspend 2 "$TMP/s"
	soon 60 ended short
	has "$(conker info short)" 'reached its maximum life of 4.0 s'
	soon 60 ended lazy
	has "$(conker info lazy)" 'was idle for 3.0 s'
	soon 60 is_suspended sleepy
	is "$(conker exec sleepy -- echo here)" here
	soon 60 is_suspended sleepy
	while [ $(($(date +%s) - began_s)) -le $((life + 3)) ]; do sleep 1; done # what the snapshot's box had left
	is "$(conker exec ever -- echo here)" here
	conker rm -f ever short lazy sleepy
}

test_a_warm_box_may_suspend_itself() {
	conker create -n w --warm --idle-suspend 2
	conker run --keep -n k --warm --idle-suspend 2 -- true
	soon 60 is_suspended w
	soon 60 is_suspended k
	is "$(conker exec w -- echo here)" here
	conker rm -f w k
}

# The time on disk does not count.
test_a_suspended_box_goes_on_with_its_life() { # all
	life=$(by_host 45 15)
	conker create -n a --max-life "$life"
	sleep $((life / 3))
	conker suspend a
	sleep "$life"
	began_s=$(date +%s)
	conker exec a -- sleep 1000 >/dev/null 2>&1 || :
	[ $(($(date +%s) - began_s)) -lt "$life" ] || fail 'its life began anew'
	soon 30 ended a
	has "$(conker info a)" "reached its maximum life of $life"
	conker rm a
}

in_small_state() { # SIZE SCRIPT: with a state directory of that size, which is $STATE in there
	[ "$(id -u)" = 0 ] || skip "needs root to mount a small tmpfs"
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	mkdir -p "$TMP/small"
	exits 0 unshare -m sh -c "mount -t tmpfs -o size=$1 none $TMP/small || exit 2
		export XDG_STATE_HOME=$TMP/small STATE=$TMP/small
		$2"
}

test_a_suspend_that_finds_no_room_leaves_nothing() {
	conker create -n full
	conker exec full -- sh -c 'cat /bin/busybox /bin/busybox >/tmp/x' # no zeros, and nothing that a slow kernel computes
	in_small_state 2m 'conker suspend full; echo "status $?"; find "$STATE" -type f'
	is "$out" 'status 125'
	is "$(conker exec full -- echo here)" here
	conker rm -f full
}

# Its own attempt, one by hand, and its own again when there is room.
test_a_box_that_finds_no_room_says_so_runs_on_and_suspends_itself_later() { # all
	# shellcheck disable=SC2016 # expanded in there
	in_small_state 4m 'conker create -n tight --idle-suspend 2 >&2
		conker exec tight -- sh -c "cat /bin/busybox /bin/busybox /bin/busybox >/tmp/x; echo kept >/root/f"
		i=0
		until conker info tight | grep -q "could not suspend itself"; do
			i=$((i + 1)); [ $i -lt 60 ] || exit 3; sleep 1
		done
		[ "$(du -sk "$STATE" | cut -f1)" -lt 100 ] || exit 4
		conker suspend tight 2>/dev/null && exit 5
		[ "$(du -sk "$STATE" | cut -f1)" -lt 100 ] || exit 6
		mount -o remount,size=600m "$STATE"
		i=0
		until conker ls --all | grep -q "^tight *suspended"; do
			i=$((i + 1)); [ $i -lt 120 ] || exit 7; sleep 1
		done
		conker exec tight -- cat /root/f
		conker rm -f tight'
	is "$out" kept
}

test_idle_begins_when_the_last_command_ends() {
	conker create -n quiet --idle-timeout 6
	conker exec quiet -- sleep 12
	is "$(conker exec quiet -- echo here)" here
	conker rm -f quiet
}

test_a_box_that_does_not_answer_is_said_to_and_stopped() {
	conker create -n deaf --idle-suspend 600
	kill -STOP "$(conker info --json deaf | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')"
	began_s=$(date +%s)
	fails 125 conker ps deaf
	has "$err" 'its guest does not answer'
	[ $(($(date +%s) - began_s)) -le $((10 + $(by_host 2 10))) ] || fail 'it took long'
	began_s=$(date +%s)
	exits 0 conker stop --timeout 2 deaf
	[ $(($(date +%s) - began_s)) -le $((4 + $(by_host 2 10))) ] || fail 'it took long'
	conker rm deaf
}
