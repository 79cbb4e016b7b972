# SPDX-License-Identifier: Apache-2.0
# t_tty.sh - commands on a terminal: conker shell, exec -t and attach -i, on a real one that
# script(1) makes.

# on_terminal STRING: runs it by sh on a terminal. Keys come from `keys`, the screen is in
# $TMP/screen.
on_terminal() {
	command -v script >/dev/null || skip "no script(1) to give conker a terminal"
	printf '%s\n' "$1" >"$TMP/inner"
	mkfifo "$TMP/keys"
	TMP=$TMP TERM=xterm-256color SHELL=/bin/sh script -qefc "sh $TMP/inner" /dev/null <"$TMP/keys" >"$TMP/screen" 2>&1 &
	terminal=$!
	trap 'kill $terminal 2>/dev/null' EXIT # a test that fails leaves no shell behind
	exec 9>"$TMP/keys"
}

keys() { printf '%b' "$1" >&9; } # octal is \0NNN

on_screen() { # PATTERN, before long
	n=600
	while ! tr -d '\r' <"$TMP/screen" | grep -Eq -e "$1"; do
		n=$((n - 1))
		[ $n -gt 0 ] || fail "'$1' is not on the screen: $(cat -v "$TMP/screen")"
		sleep 0.1
	done
}

leave_terminal() { # [STATUS]
	exec 9>&-
	status=0
	wait $terminal || status=$?
	trap - EXIT
	is "$status" "${1:-0}" "status of the terminal's command"
}

# The prompt says that it reads: what is typed from then on, and only once, is its own.
shell_ready() { on_screen '[#$] '; }

test_shell_is_a_login_shell_on_a_terminal_with_our_size_and_term() {
	on_terminal 'stty rows 33 cols 101; conker shell shared --env A=b --workdir /tmp; echo status=$?'
	shell_ready
	keys 'echo =$(stty size)=$TERM=$A=$PWD=; tty\n'
	on_screen '=33 101=xterm-256color=b=/tmp='
	on_screen '^/dev/pts/[0-9]'
	keys 'exit 5\n'
	on_screen status=5
	leave_terminal
}

test_shell_may_be_another_program_and_user() {
	on_terminal 'conker shell shared --shell /bin/ash --user 1000:1000; echo status=$?'
	shell_ready
	keys 'id -u; readlink /proc/$$/exe; exit\n'
	on_screen '^1000'
	on_screen 'status=0'
	leave_terminal
	fails 127 conker shell shared --shell /no/such/shell
}

test_window_size_is_followed() {
	on_terminal 'stty rows 24 cols 80; (sleep 1; while [ ! -e $TMP/go ]; do sleep 0.1; done; stty rows 40 cols 132 </dev/tty) & conker exec -it shared -- sh -c "
		trap \"echo now \\\$(stty size)\" WINCH; echo first \$(stty size); while :; do sleep 0.1; done"'
	on_screen 'first 24 80'
	touch "$TMP/go"
	on_screen 'now 40 132'
	keys '\0003'
	leave_terminal 130
}

test_control_characters_are_signals_and_end_of_file_inside() {
	on_terminal 'conker shell shared; echo status=$?'
	shell_ready
	keys 'sleep 1000\n'
	soon 30 sh -c 'conker exec shared -- ps | grep -q "[s]leep 1000"'
	keys '\0003'
	keys 'echo in""terrupted $?\n'
	on_screen 'interrupted 130'
	keys 'echo cat""reads; cat >/tmp/typed\n'
	on_screen catreads
	sleep 1
	keys 'hello\n\0004'
	sleep 1
	keys 'echo typed: $(cat /tmp/typed)\n'
	on_screen 'typed: hello'
	keys 'sleep 1001\n'
	soon 30 sh -c 'conker exec shared -- ps | grep -q "[s]leep 1001"'
	keys '\0032'
	keys 'echo st""opped; jobs\n'
	on_screen '[Ss]topped.*sleep 1001'
	keys 'fg\n'
	sleep 1
	keys '\0003'
	sleep 1
	keys '\0004'
	on_screen 'status='
	leave_terminal
}

test_every_byte_that_is_typed_arrives() { # all
	on_terminal 'conker exec -it --detach-keys "" shared -- sh -c "stty raw -echo; echo rea\"\"dy; dd bs=1 count=255 2>/dev/null | od -An -tu1 -v | tr -s \" \\n\" \" \" >/tmp/bytes"; echo status=$?'
	on_screen ready
	i=1
	all=
	while [ $i -lt 256 ]; do
		keys "\\0$(printf %03o $i)"
		all="$all $i"
		i=$((i + 1))
	done
	on_screen status=0
	leave_terminal
	exits 0 conker exec shared --sh 'cat /tmp/bytes'
	is "$(echo $out)" "$(echo $all)"
}

test_editors_and_pagers_draw() {
	conker exec shared --sh 'seq 1 200 >/tmp/numbers'
	on_terminal 'stty rows 10 cols 60; conker shell shared; echo status=$?'
	shell_ready
	keys 'vi /tmp/new\n'
	on_screen '~'
	keys 'isome words'
	on_screen 'some words'
	keys '\0033' # alone, or it begins the code of a function key
	sleep 1
	keys ':wq\n'
	sleep 1
	keys 'echo written: $(cat /tmp/new)\n'
	on_screen 'written: some words'
	keys 'less /tmp/numbers\n'
	on_screen '9$'
	keys 'G'
	on_screen '^.*200'
	keys 'q'
	keys 'exit\n'
	on_screen status=
	leave_terminal
}

# The terminal's mode before and after, however the end came. END gets conker's process number as
# $1.
restored_after() { # END COMMAND...
	end=$1
	shift
	on_terminal "stty -a >\$TMP/before
		sh -c 'echo \$\$ >\$TMP/pid; exec $*' || true
		stty -a >\$TMP/after; echo over"
	shell_ready
	soon 30 sh -c "stty -a <$(terminal_of "$(cat "$TMP/pid")") | grep -q -e -icanon"
	$end "$(cat "$TMP/pid")"
	on_screen over
	leave_terminal
	cmp "$TMP/before" "$TMP/after" || fail "the terminal is not as before"
}

terminal_of() { readlink "/proc/$1/fd/0"; }
by_exit() { keys 'exit\n'; }
by_term() { kill -TERM "$1"; }
by_hangup() { kill -HUP "$1"; }
by_crash() { kill -SEGV "$1"; }
by_death_of_the_box() { kill -9 "$(conker info --json mortal | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')"; }

test_terminal_is_restored_after_exit() { restored_after by_exit conker shell shared; }
test_terminal_is_restored_after_sigterm() { restored_after by_term conker shell shared; } # all
test_terminal_is_restored_after_hangup() { restored_after by_hangup conker shell shared; } # all
test_terminal_is_restored_after_a_crash() { restored_after by_crash conker shell shared; }

test_terminal_is_restored_after_the_death_of_the_box() {
	new_box mortal
	restored_after by_death_of_the_box conker shell mortal
	has "$(tr -d '\r' <"$TMP/screen")" "^conker: box 'mortal': "
	conker rm -f mortal
}

test_stop_and_continue_give_the_terminal_back_and_take_it_again() {
	on_terminal 'stty -a >$TMP/before
		sh -c "echo \$\$ >$TMP/pid; exec conker shell shared"; stty -a >$TMP/after; echo over'
	shell_ready
	pid=$(cat "$TMP/pid")
	pts=$(terminal_of "$pid")
	soon 30 sh -c "stty -a <$pts | grep -q -e -icanon"
	kill -TSTP "$pid"
	soon 30 sh -c "stty -a <$pts | grep -q -e ' icanon'"
	has "$(cat "/proc/$pid/stat")" ' T '
	kill -CONT "$pid"
	soon 30 sh -c "stty -a <$pts | grep -q -e -icanon"
	keys 'echo on""ward\n'
	on_screen onward
	keys 'exit\n'
	on_screen over
	leave_terminal
	cmp "$TMP/before" "$TMP/after"
}

test_detach_keys_leave_it_running_for_attach() {
	on_terminal 'conker shell shared --name mine; echo status=$?; conker attach -i shared mine; echo again=$?'
	shell_ready
	keys 'X=remembered\n'
	keys '\0020\0021'
	on_screen 'conker: detached; it goes on: conker attach -i shared [0-9]+'
	on_screen status=0
	keys 'echo still $X; exit 6\n'
	on_screen 'still remembered'
	on_screen again=6
	leave_terminal
}

test_nothing_is_a_terminal_without_t() {
	on_terminal 'conker exec -i shared -- sh -c "test -t 0 || echo none"'
	on_screen none
	leave_terminal
}

test_input_from_a_pipe_ends_on_a_terminal_also_in_the_middle_of_a_line() {
	is "$(printf half | timeout 60 conker exec -it shared -- cat)" halfhalf # the echo, and cat
	printf 'a line\n' | timeout 60 conker exec -it shared -- cat >/dev/null
}
