# SPDX-License-Identifier: Apache-2.0
# t_service.sh - what keeps running in a box: restarts, children left behind, ports.

d() { conker exec -d shared "$@"; }

restarts_of() { conker info --json shared "$1" | sed -n 's/.*"restarts":\([0-9]*\),"views".*/\1/p'; }

# ---- restarts

test_failure_restarts_it_under_the_same_number_until_it_succeeds() {
	id=$(d --restart on-failure --backoff 0.1 --env NOTE=kept --sh 'echo $NOTE >>/tmp/tries; [ $(wc -l </tmp/tries) -ge 3 ]')
	exits 0 conker wait shared "$id"
	is "$out" "$id exited 0"
	is "$(restarts_of "$id")" 2 restarts
	exits 0 conker exec shared -- cat /tmp/tries
	is "$out" "kept
kept
kept"
}

test_restarts_end_at_their_maximum_with_all_output_in_one_stream() {
	exits 4 conker exec --restart on-failure:2 --backoff 0.1 shared --sh 'echo try; exit 4'
	is "$out" "try
try
try"
	exits 0 conker exec --restart on-failure:2 --backoff 0.1 shared -- echo once
	is "$out" once
}

test_always_restarts_until_it_is_killed() {
	id=$(d --restart always --backoff 0.1 --name phoenix -- sh -c 'echo up; sleep 0.2')
	soon 60 sh -c '[ "$(conker logs shared phoenix | grep -c up)" -ge 3 ]'
	conker kill shared phoenix
	conker wait --timeout 60 shared "$id" || [ $? != 124 ]
	n=$(conker logs shared phoenix | grep -c up)
	sleep 2
	is "$(conker logs shared phoenix | grep -c up)" "$n" "starts after the kill"
}

test_kill_between_two_starts_ends_it() {
	id=$(d --restart always --backoff 600 -- false)
	soon 30 sh -c "conker ps shared | grep -q '^$id .*restarting'"
	conker kill shared "$id"
	conker wait --timeout 60 shared "$id" || [ $? != 124 ]
	exits 0 conker ps shared
	[ -z "$(printf '%s\n' "$out" | grep "^$id ")" ] || fail "still there: $out"
}

# ---- children left behind

test_children_may_stay_and_are_listed_awaited_and_killed() {
	exits 0 conker exec --leave-children --name web shared --sh 'httpd -f -p 8081 -h /usr/share & echo started'
	is "$out" started
	has "$(conker ps shared)" ' web +left children '
	exits 0 conker wait --port 8081 --timeout 60 shared web
	exits 0 conker exec shared -- nc -w 10 127.0.0.1 8081 </dev/null
	conker kill shared web
	soon 60 sh -c '! conker ps shared | grep -q " web "'
	exits 0 conker exec shared --sh 'ps | grep -v grep | grep -c "httpd -f -p 8081" || true'
	is "$out" 0
}

test_children_that_end_by_themselves_end_the_execution() {
	exits 0 conker exec --leave-children --name brief shared --sh 'sleep 2 &'
	soon 60 sh -c '! conker ps shared | grep -q " brief "'
	has "$(conker ps -a shared)" ' brief +exited \(0\) '
}

# ---- ports

test_detached_comes_back_when_its_port_is_listened_on() {
	id=$(d --await-port 8082 --sh 'sleep 1; exec httpd -f -p 8082 -h /usr/share')
	exits 0 conker exec shared -- nc -w 10 127.0.0.1 8082 </dev/null
	conker kill shared "$id"
}

test_waiting_for_a_port_ends_with_the_execution_or_the_patience() {
	fails 125 conker exec -d --await-port 8083 shared -- sleep 1
	fails 124 conker wait --port 8084 --timeout 1 shared
}
