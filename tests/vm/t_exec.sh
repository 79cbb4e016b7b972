# SPDX-License-Identifier: Apache-2.0
# t_exec.sh - one box, many commands: what an execution is promised.

x() { conker exec "$@"; }

test_exit_code_is_the_commands() {
	exits 0 x shared -- true
	exits 1 x shared -- false
	exits 42 x shared -- sh -c 'exit 42'
	exits 255 x shared -- sh -c 'exit 255'
}

test_death_by_signal_is_128_plus_number() {
	exits 137 x shared -- sh -c 'kill -9 $$'
	exits 143 x shared -- sh -c 'kill -15 $$'
	exits 139 x shared -- sh -c 'kill -11 $$'
}

test_stdout_and_stderr_stay_apart() {
	exits 0 x shared -- sh -c 'echo one; echo two >&2; echo three'
	is "$out" "one
three"
	is "$err" two
}

test_argv_is_not_a_shell_string() {
	exits 0 x shared -- printf '%s\n' 'a b' '$HOME' '*' ''
	is "$out" 'a b
$HOME
*'
}

test_sh_option_is_a_shell_string() {
	exits 0 x shared --sh 'echo a | tr a b'
	is "$out" b
}

test_environment_is_what_was_given() {
	exits 0 x shared --env A=1 --env 'B=x y' -- sh -c 'echo "$A-$B-$HOME-$PATH"'
	has "$out" '^1-x y-/root-/'
}

test_cwd_is_absolute_and_must_exist() {
	exits 0 x shared --workdir /usr -- pwd
	is "$out" /usr
	fails 125 x shared --workdir usr -- pwd
	fails 126 x shared --workdir /no/such -- pwd
	has "$err" 'No such file'
}

test_user_by_name_and_by_number() {
	exits 0 x shared --user nobody -- id -u
	is "$out" 65534
	exits 0 x shared --user 1000:1001 -- sh -c 'echo $(id -u):$(id -g)'
	is "$out" 1000:1001
	fails 126 x shared --user nosuchuser -- id
}

test_user_brings_supplementary_groups() {
	x shared -- sh -c 'echo "member:x:1234:1234::/tmp:/bin/sh" >>/etc/passwd; printf "one:x:2001:member\ntwo:x:2002:member,x\nno:x:2003:x\n" >>/etc/group'
	exits 0 x --user member shared -- sh -c 'id -u; id -G; cd && pwd'
	is "$out" '1234
1234 2001 2002
/tmp'
}

test_bytes_that_are_no_utf8_pass_as_arguments_and_environment() {
	odd=$(printf '\377\376\303(\200')
	exits 0 x --env "ODD=$odd" shared -- sh -c 'printf "%s|%s" "$1" "$ODD"' sh "$odd"
	is "$out" "$odd|$odd"
}

test_environment_from_a_file() {
	printf '# comment\nA=1\n\nB=two words # kept\nC=3\n' >"$TMP/env"
	exits 0 x --env C=4 --env-file "$TMP/env" shared -- sh -c 'echo "$A-$B-$C"'
	is "$out" '1-two words # kept-4'
	echo nonsense >>"$TMP/env"
	fails 125 x --env-file "$TMP/env" shared -- true
}

test_merged_streams_keep_the_order_of_writes() {
	exits 0 x --merge shared -- sh -c 'for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done'
	is "$(echo $out)" 'o1 e1 o2 e2 o3 e3 o4 e4 o5 e5'
	is "$err" ''
}

test_rlimits_are_set() {
	exits 0 x --rlimit nofile=37:61 --rlimit core=0 shared -- sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c'
	is "$(echo $out)" '37 61 0'
}

test_not_found_is_127() {
	fails 127 x shared -- no-such-command
	has "$err" 'no-such-command'
	exits 127 x shared -- /no/such/file
}

test_not_executable_is_126() {
	fails 126 x shared -- /etc/passwd
	exits 126 x shared -- /etc
}

test_script_with_missing_interpreter_is_not_found() {
	x shared -- sh -c 'printf "#!/no/such/sh\n" >/tmp/s; chmod +x /tmp/s'
	exits 127 x shared -- /tmp/s
}

test_command_that_ignores_stdin_does_not_hang() {
	head -c 1000000 /dev/zero | x -i shared -- true
}

test_bytes_arrive_unchanged_through_cat() { # slow
	mib=$(by_host 8 16 1024)
	dd if=/dev/urandom of="$TMP/chunk" bs=1048576 count=8 2>/dev/null
	n=$((mib / 8))
	feed() { i=0; while [ $i -lt $n ]; do cat "$TMP/chunk"; i=$((i + 1)); done; }
	want=$(feed | sha256sum)
	got=$(feed | x -i shared -- cat | sha256sum)
	is "$got" "$want" "hash of $mib MiB"
	vmm=$(conker info --json shared | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p')
	# Bounded: VmRSS without the guest's own pages, which are a mapping of at most 128 MiB.
	rss=$(awk '/^VmRSS/ {print $2}' "/proc/$vmm/status")
	[ "$rss" -lt $((128 * 1024 + 16 * 1024)) ] || fail "VMM holds $rss KiB"
}

test_every_byte_value_survives() { # all
	i=0
	while [ $i -lt 256 ]; do
		printf "\\$(printf %03o $i)"
		i=$((i + 1))
	done >"$TMP/all"
	x -i shared -- cat <"$TMP/all" >"$TMP/got"
	cmp "$TMP/all" "$TMP/got"
}

test_reader_that_stops_stops_only_its_own_command() { # all
	x shared -- sh -c 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done' | sleep 15 &
	slow=$!
	sleep 3
	exits 0 timeout 30 conker exec shared -- echo alive
	is "$out" alive
	kill $slow 2>/dev/null || true
	wait $slow || true
}

test_several_at_once_keep_their_streams_apart() { # all
	for i in 1 2 3 4; do
		x shared -- sh -c "echo start$i; sleep 1; echo end$i" >"$TMP/o$i" &
		eval "p$i=\$!"
	done
	for i in 1 2 3 4; do
		eval "wait \$p$i"
		is "$(cat "$TMP/o$i")" "start$i
end$i"
	done
}

test_output_of_a_short_command_is_never_lost() { # all
	n=$(by_host 10 60 200)
	i=0
	while [ $i -lt "$n" ]; do
		exits 0 x shared -- echo "line $i"
		is "$out" "line $i"
		i=$((i + 1))
	done
}

test_what_an_execution_started_dies_with_it() {
	x shared -- sh -c 'setsid sleep 4321 >/dev/null 2>&1 &'
	if x shared -- sh -c 'ps | grep -v grep | grep "sleep 4321"'; then
		fail "the background process lives on"
	fi
}

test_kill_by_signal_name_reaches_a_handler() {
	x --name trap shared -- sh -c 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 0.1; done' >"$TMP/o" &
	pid=$!
	soon 60 grep -q ready "$TMP/o"
	conker kill -s TERM shared trap
	ends 7 $pid
	has "$(cat "$TMP/o")" got
}

test_timeout_is_124_and_kills() {
	exits 124 x --timeout 1 shared -- sleep 1000
	exits 124 x --timeout 1 shared -- sh -c 'trap "" TERM; while :; do :; done'
	exits 0 x shared -- true
}

test_timeout_gives_grace_then_kills_all_that_was_started() { # all
	exits 124 x --timeout $(by_host 8 2) --grace 30 shared -- sh -c 'trap "echo cleaned up; exit 0" TERM; while :; do sleep 0.1; done'
	is "$out" 'cleaned up'
	start=$(date +%s)
	exits 124 x --timeout 1 --grace 1 shared -- sh -c 'trap "" TERM; (trap "" TERM; exec sleep 4711) & setsid sleep 4711 & while :; do sleep 0.1; done'
	[ $(($(date +%s) - start)) -lt 60 ] || fail "a process that holds the pipe delays the timeout"
	exits 0 x shared -- sh -c 'ps | grep -v grep | grep -c "sleep 4711" || true'
	is "$out" 0
}

test_client_that_dies_takes_its_command_along() { # all
	conker exec --name orphan shared -- sleep 1000 &
	pid=$!
	soon 60 sh -c 'conker ps shared | grep -q orphan'
	kill -9 $pid
	soon 60 sh -c '! conker ps shared | grep -q orphan'
}

test_interrupt_ends_the_command_and_leaves_the_box() {
	conker exec --name intr shared -- sleep 1000 &
	pid=$!
	soon 60 sh -c 'conker ps shared | grep -q intr'
	kill -INT $pid
	ends 130 $pid
	exits 0 x shared -- true
}

test_large_argument_and_environment() {
	big=$(head -c 100000 /dev/zero | tr '\0' a)
	exits 0 x --env "BIG=$big" shared -- sh -c 'echo ${#BIG}'
	is "$out" 100000
}

test_init_is_out_of_reach() {
	exits 137 x shared -- sh -c 'kill -9 -1; kill -9 $$'
	x shared -- sh -c 'kill -9 1' || true
	x shared -- sh -c 'for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done' || true
	exits 0 x shared -- echo alive
}

test_reboot_does_not_reach_the_machine() {
	x shared -- reboot -f || true
	x shared -- poweroff -f || true
	exits 0 x shared -- echo alive
	is "$out" alive
}

test_tty_has_a_size_and_a_terminal() {
	command -v script >/dev/null || skip "no script(1) to give conker a terminal"
	script -qec "conker exec -t shared -- sh -c 'tty; stty size; test -t 0 && test -t 1 && echo is-tty'" /dev/null >"$TMP/o" </dev/null
	has "$(cat "$TMP/o")" '/dev/pts/'
	has "$(cat "$TMP/o")" is-tty
}
