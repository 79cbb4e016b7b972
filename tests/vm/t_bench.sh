# SPDX-License-Identifier: Apache-2.0
# t_bench.sh - conker bench: that its figures come, are told the same in every form, and that
# failures are failures.

test_a_quick_run_fills_every_form() {
	exits 0 conker bench --quick --time 8 --series cold,memory,exec,setup --output "$TMP/report"
	for s in exec ping setup setup-steps cold memory memory-own; do
		printf '%s\n' "$out" | grep -Eq "^$s +[1-9]" || fail "no samples of $s: $out"
	done
	has "$out" '^jail +on '
	has "$(cat "$TMP/report/bench.json")" '"id":"cold","system":"conker"'
	has "$(cat "$TMP/report/bench.json")" '"name":"jail","samples":\[[1-9]'
	for what in '^<!doctype html>' '^exec  *[1-9]' '</html>$' 'cold boot to first exec result' 'guest boot: first KVM_RUN'; do
		grep -q "$what" "$TMP/report/bench.html" || fail "the page lacks $what"
	done
	! grep -Eq 'https?://|src=|<link|<img' "$TMP/report/bench.html" || fail "the page needs something from outside"
	! printf '%s\n' "$err" | grep -q . || fail "progress although stderr is no terminal: $err"
	! compares 0 "$TMP/report/bench.json" "$TMP/report/bench.json" || has "$out" '^cold conker .* \+0\.0%'
	is "$(ls -d "${TMPDIR:-/tmp}"/conker-bench.* 2>/dev/null | wc -l)" 0 'directories left behind'
}

# Two figures are compared by python3, which not every machine has (the lab has none).
compares() { # STATUS FILE FILE
	if command -v python3 >/dev/null; then
		exits "$1" conker bench --compare "$2" "$3"
	else
		fails 125 conker bench --compare "$2" "$3"
		has "$err" '--compare needs python3: No such file'
		return 1
	fi
}

# A VMM of another name that is no VMM: what is started by hand fails, what the library starts does
# not.
test_failed_runs_are_failures_and_say_why() {
	mkdir "$TMP/bin"
	printf '#!/bin/sh\necho no machine today >&2\nexit 1\n' >"$TMP/bin/qemu-system-x86_64"
	chmod +x "$TMP/bin/qemu-system-x86_64"
	PATH=$TMP/bin:$PATH
	exits 1 conker bench --quick --time 5 --series peers --json "$TMP/peers.json"
	has "$out" '^boot-console, qemu microvm +0 .*FAILED [1-3]: PID 1 was not heard of'
	has "$out" '^boot-console, conker-vmm +[1-9]'
	has "$out" '^not measured: firecracker: '
	has "$err" 'runs FAILED'
	compares 1 "$TMP/peers.json" "$TMP/peers.json" || return 0
	has "$out" 'boot-console qemu microvm .*no samples'
	sed 's/"kernel":"/&other-/' "$TMP/peers.json" >"$TMP/other.json"
	compares 125 "$TMP/peers.json" "$TMP/other.json"
	one_line "$err"
	has "$err" 'different hosts cannot be compared: kernel: '
}

test_wrong_use_is_refused() {
	exits 125 conker bench --series cold,warm
	has "$err" "no 'warm'; there are cold,"
	exits 125 conker bench --compare one
	has "$err" 'needs two files'
	exits 125 conker bench some.json
	: >"$TMP/new.json"
	for where in '--output /proc/nowhere' '--json /nowhere/x' "--json $TMP" "--output $TMP/new.json"; do
		fails 125 timeout 20 conker bench $where
		has "$err" "^conker: '[^']*${where##* }[^']*': (No such|Is a|Not a)"
	done
}

another_is_up() {
	now=$(conker ls | sed -n '2s/ .*//p')
	[ -n "$now" ] && [ "$now" != "$seen" ]
}

# At its third boot: the first is not counted, and a series has ten at least.
test_interrupted_it_tells_what_there_is() {
	conker bench --series cold --json "$TMP/part.json" >"$TMP/out" 2>"$TMP/err" &
	pid=$!
	seen=
	for _ in 1 2 3; do
		soon 120 another_is_up
		seen=$now
	done
	kill -TERM $pid
	got=0
	wait $pid || got=$?
	is $got 143 status
	has "$(cat "$TMP/out")" '^cold +[1-9].*interrupted'
	! grep -q FAILED "$TMP/out" || fail "an interruption is no failure: $(cat "$TMP/out")"
	[ -s "$TMP/part.json" ] || fail "no file"
}
