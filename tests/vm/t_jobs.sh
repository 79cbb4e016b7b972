# SPDX-License-Identifier: Apache-2.0
# t_jobs.sh - executions that outlive their starter: detach, list, wait, kill, attach, logs, keys.

d() { conker exec -d shared "$@"; }

ended() { # ID...: whatever its status
	conker wait --timeout 100 shared "$@" >/dev/null || [ $? != 124 ]
}

# ---- starting and waiting

test_detached_prints_its_number_and_goes_on() {
	id=$(d -- sh -c 'echo out; sleep 2; exit 7')
	case $id in '' | *[!0-9]*) fail "not a number: '$id'" ;; esac
	has "$(conker ps shared)" "^$id .*running"
	exits 7 conker wait shared "$id"
	is "$out" "$id exited 7"
}

test_detached_that_cannot_start_is_an_error() {
	exits 127 d -- no-such-command
	is "$out" ''
	one_line "$err"
}

test_wait_for_any_for_some_for_all() {
	slow=$(d -- sleep 1000)
	one=$(d -- sh -c 'exit 1')
	two=$(d -- sh -c 'sleep 1; exit 2')
	exits 1 conker wait --any shared "$slow" "$one"
	is "$out" "$one exited 1"
	exits 2 conker wait --count 2 shared "$one" "$slow" "$two"
	is "$out" "$one exited 1
$two exited 2"
	fails 124 conker wait --timeout 0.5 shared "$slow"
	conker kill shared "$slow"
	exits 1 conker wait shared "$slow" "$two" "$one"
	is "$out" "$slow killed 9
$two exited 2
$one exited 1"
	has "$(conker wait --json shared "$two")" "^\{\"id\":$two,\"status\":\{\"state\":\"exited\",\"code\":2,"
}

test_wait_for_the_unknown_is_an_error() {
	for command in 'wait' 'logs' 'info' 'attach' 'kill' 'kill --wait' 'forget' 'wait --port 80'; do
		exits 125 conker $command shared 999999
		is "$err" "conker: box 'shared': no such execution: 999999" "$command"
		exits 125 conker $command shared no-such-name
		is "$err" "conker: box 'shared': no such execution: no-such-name" "$command"
	done
	exits 125 conker info shared key:none
	is "$err" "conker: box 'shared': no such execution: key:none"
}

test_to_kill_what_has_ended_is_an_error_that_says_so() {
	id=$(d -- true)
	named=$(d --name over -- true)
	ended "$id" "$named"
	exits 125 conker kill shared "$id" 999999 over
	is "$err" "conker: box 'shared': execution $id has ended
conker: box 'shared': no such execution: 999999
conker: box 'shared': execution $named ('over') has ended"
	exits 125 conker wait --port 80 shared over
	is "$err" "conker: box 'shared': execution $named ('over') has ended"
}

test_kill_with_wait_comes_back_when_all_have_ended() {
	one=$(d -- sleep 1000)
	two=$(d -- sh -c 'trap "sleep 1; exit 3" TERM; echo ready; while :; do sleep 0.1; done')
	soon 60 sh -c "conker logs shared $two | grep -q ready"
	exits 0 conker kill --wait -s TERM shared "$one" "$two"
	has "$(conker ps -a shared)" "^$one .* (signaled|killed) \\(15\\) "
	has "$(conker ps -a shared)" "^$two .* exited \\(3\\) "
}

test_input_for_what_takes_none_is_not_dropped_silently() {
	id=$(d --name deaf -- sh -c 'sleep 1; echo said')
	exits 0 sh -c 'echo lost | conker attach -i shared deaf'
	is "$out" said
	is "$err" "conker: box 'shared': execution $id takes no input; what comes on ours is dropped"
}

# ---- names, list, info

test_ps_tells_how_each_one_is() {
	e=$(d -- sh -c 'exit 3')
	s=$(d -- sh -c 'kill -11 $$')
	t=$(d --timeout 1 -- sleep 1000)
	k=$(d -- sleep 1000)
	p=$(d --name pausing -- sleep 1000)
	conker kill shared "$k"
	conker kill -s STOP shared "$p"
	ended "$e" "$s" "$t" "$k"
	soon 20 sh -c 'conker ps shared | grep -q " stopped "'
	ps=$(conker ps -a shared)
	has "$ps" "^$e .* exited \(3\) "
	has "$ps" "^$s .* signaled \(11\) "
	has "$ps" "^$t .* timed out "
	has "$ps" "^$k .* killed \(9\) "
	has "$ps" "^$p +pausing +stopped "
	is "$(conker ps shared | wc -l)" 2 "lines of ps, which lists what has not ended"
	conker kill -s CONT shared pausing
	soon 20 sh -c 'conker ps shared | grep -q "pausing *running"'
	conker kill shared pausing
	ended "$p"
}

test_info_tells_all_of_one_execution() {
	id=$(d --name described --env A=1 -i -- sh -c 'read x; echo 12345; exit 3')
	has "$(conker info --json shared described)" '"state":"running".*"ended_us":null.*"stdin_writable":true'
	echo go | conker attach -i shared described >/dev/null || true
	info=$(conker info --json shared "$id")
	has "$info" "^\{\"id\":$id,\"name\":\"described\",.*\"state\":\"exited\""
	has "$info" '"argv":\["sh","-c","read x; echo 12345; exit 3"\],"stdin_writable":false,"detached":true'
	has "$info" '"stdout_bytes":6,"stderr_bytes":0,"stdout_from":0'
	has "$info" '"usage":\{"user_us":[0-9]+,.*"status":\{"state":"exited","code":3,"signal":null,"returncode":3,'
	has "$(conker info shared "$id")" '^command +sh -c read x'
	has "$(conker ps --usage -a shared)" "^$id .*s +[0-9.]+K"
}

test_a_name_of_a_running_one_is_refused() {
	d --name taken -- sleep 1000 >/dev/null
	exits 125 d --name taken -- true
	is "$err" "conker: name: taken: an execution of that name has not ended"
	conker kill --wait shared taken
}

test_a_shell_without_arguments_is_shown_without_its_name() {
	id=$(d --sh 'exit 3')
	is "$(conker info shared "$id" | sed -n 's/^command *//p')" '/bin/sh -c exit 3'
	exits 0 conker exec shared --sh 'echo $0 $1' -- one
	is "$out" 'sh one'
}

test_a_name_means_the_newest_of_that_name() { # all
	first=$(d --name again -- sh -c 'exit 1')
	exits 1 conker wait shared again
	second=$(d --name again -- sh -c 'exit 2')
	exits 2 conker wait shared again
	is "$out" "$second exited 2"
	exits 1 conker wait shared "$first"
}

test_forgotten_is_gone() {
	id=$(d -- sleep 1000)
	fails 125 conker forget shared "$id"
	conker kill shared "$id"
	ended "$id"
	conker forget shared "$id"
	fails 125 conker info shared "$id"
}

# ---- signals

# main, a child in its group and one in a session of its own, each of which tells of SIGUSR1
listeners='
	ear() { trap "echo $1" USR1; echo "ready $1"; while :; do sleep 0.2; done; }
	ear child & setsid sh -c "trap \"echo session\" USR1; echo ready session; while :; do sleep 0.2; done" &
	ear main'

hears() { # WHAT: all that has been heard by now
	soon 30 sh -c "[ \"\$(conker logs shared ears | grep -v ready | sort | tr '\n' ' ')\" = '$1' ]"
}

test_signal_goes_to_the_process_its_group_or_everything() {
	id=$(d --name ears --sh "$listeners")
	soon 60 sh -c '[ "$(conker logs shared ears | grep -c ready)" = 3 ]'
	conker kill -s USR1 shared ears
	hears 'main '
	conker kill -s USR1 --group shared ears
	hears 'child main main '
	conker kill -s 10 --all shared ears
	hears 'child child main main main session '
	conker kill shared ears
	exits 137 conker wait shared "$id"
	exits 0 conker exec shared --sh 'ps | grep -v grep | grep -c "echo ready session" || true'
	is "$out" 0
}

# ---- logs

test_logs_keep_both_streams_and_their_order() {
	id=$(d -- sh -c 'echo a; sleep 0.5; echo b >&2; sleep 0.5; echo c')
	ended "$id"
	exits 0 conker logs shared "$id"
	is "$out" "a
c"
	is "$err" b
	exits 0 conker logs --tags shared "$id"
	is "$out" "stdout: a
stderr: b
stdout: c"
	exits 0 conker logs --stderr shared "$id"
	is "$out-$err" -b
	exits 0 conker logs --timestamps --stdout shared "$id"
	has "$out" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z a$'
}

test_logs_go_on_from_an_offset() { # all
	id=$(d -- sh -c 'printf 0123456789; printf abc >&2')
	ended "$id"
	exits 0 conker logs --stdout --from 7 shared "$id"
	is "$out" 789
	exits 0 conker logs --from 8:2 shared "$id"
	is "$out-$err" 89-c
	exits 0 conker logs --tail 4 --stdout shared "$id"
	is "$out" 6789
	exits 0 conker logs --json --from 5:0 --stdout shared "$id"
	has "$out" '^\{"stream":"stdout","offset":5,"time_us":[0-9]+,"data":"56789"\}$'
}

test_logs_follow_to_the_end() {
	id=$(d -- sh -c 'for i in 1 2 3; do echo $i; sleep 1; done')
	exits 0 conker logs -f shared "$id"
	is "$out" "1
2
3"
}

test_logs_report_what_is_no_longer_kept() {
	id=$(d --log-size 4K -- sh -c 'head -c 100000 /dev/zero | tr "\0" x')
	ended "$id"
	exits 0 conker logs shared "$id"
	one_line "$err"
	gone=$(printf '%s\n' "$err" | sed -n 's/^conker: \([0-9]*\) bytes of stdout are no longer kept$/\1/p')
	is $((gone + ${#out})) 100000 "bytes kept and gone"
	[ "${#out}" -ge 4096 ] || fail "kept only ${#out} bytes"
	has "$(conker logs --json shared "$id" | head -n 1)" "\"gap_from\":0,\"gap_to\":$gone\}"
}

test_logs_as_json_keep_every_byte() {
	id=$(d -- printf 'caf\303\251 "\\"\n\377\376')
	ended "$id"
	exits 0 conker logs --json shared "$id"
	has "$out" '"data":"café \\"\\\\\\"\\u000a"\}'
	has "$out" '"base64":"//4="\}'
}

# ---- attach

test_attach_replays_and_goes_on_live_for_two() {
	id=$(d -- sh -c 'echo early; echo warned >&2; sleep 3; echo late; exit 9')
	for i in 1 2; do
		conker attach shared "$id" >"$TMP/o$i" 2>"$TMP/e$i" &
		eval "p$i=\$!"
	done
	for i in 1 2; do
		eval "ends 9 \$p$i"
		is "$(cat "$TMP/o$i")" "early
late"
		is "$(cat "$TMP/e$i")" warned
	done
}

test_attach_without_replay_begins_now() {
	id=$(d -i -- sh -c 'echo early; read x; echo "late $x"')
	soon 30 sh -c "conker logs shared $id | grep -q early"
	echo go >"$TMP/in"
	exits 0 sh -c "conker attach -i --no-replay shared $id <$TMP/in"
	is "$out" 'late go'
}

test_attach_feeds_stdin_one_at_a_time() {
	id=$(d -i -- sh -c 'cat; echo end')
	mkfifo "$TMP/keys"
	conker attach -i shared "$id" <"$TMP/keys" >"$TMP/o" &
	pid=$!
	exec 9>"$TMP/keys"
	echo one >&9
	soon 30 grep -q one "$TMP/o"
	fails 125 conker attach -i shared "$id"
	echo two >&9
	exec 9>&-
	wait $pid
	is "$(cat "$TMP/o")" "one
two
end"
}

test_interrupted_attach_leaves_it_alone() {
	id=$(d -- sh -c 'echo up; sleep 1000')
	conker attach shared "$id" >"$TMP/o" &
	pid=$!
	soon 30 grep -q up "$TMP/o"
	kill -INT $pid
	ends 130 $pid
	has "$(conker ps shared)" "^$id .*running"
	conker attach --sig-proxy shared "$id" >"$TMP/o2" &
	pid=$!
	soon 30 grep -q up "$TMP/o2"
	kill -TERM $pid
	ends 143 $pid
	exits 143 conker wait shared "$id"
}

# ---- keys

test_same_key_starts_once() {
	for i in 1 2; do
		exits 4 conker exec --key order/4711 shared --sh 'echo run >>/tmp/runs; cat /tmp/runs; exit 4'
		is "$out" run "output of start $i"
	done
	exits 0 conker exec shared -- cat /tmp/runs
	is "$out" run
	exits 4 conker wait shared key:order/4711
}

test_key_survives_a_lost_starter() { # all
	conker exec --key lost shared --sh 'echo run >>/tmp/lost; sleep 3; echo done' &
	pid=$!
	soon 60 sh -c 'conker exec shared -- test -e /tmp/lost'
	kill -9 $pid
	exits 0 conker exec --key lost shared --sh 'echo not started'
	is "$out" 'done'
	exits 0 conker exec shared -- cat /tmp/lost
	is "$out" run
}
