# SPDX-License-Identifier: Apache-2.0
# t_errors.sh - three kinds of errors, kept apart: the command failed, it could not be started, the
# box broke.

test_command_that_failed_is_data_and_says_nothing_of_conker() {
	exits 3 conker exec shared -- sh -c 'exit 3'
	is "$err" ''
}

test_command_that_could_not_start_names_step_and_reason() {
	exits 127 conker exec shared -- nosuch
	is "$err" 'conker: exec: nosuch: No such file or directory'
	exits 126 conker exec shared -- /etc/passwd
	is "$err" 'conker: exec: /etc/passwd: Permission denied'
	exits 126 conker exec --workdir /nosuch shared -- true
	is "$err" 'conker: cwd: /nosuch: No such file or directory'
	exits 126 conker exec --user nosuch shared -- true
	has "$err" '^conker: user: nosuch: '
	one_line "$err"
}

test_box_that_broke_is_named_with_its_reason() {
	new_box fragile
	conker exec fragile -- sleep 1000 2>"$TMP/e" &
	pid=$!
	soon 60 sh -c 'conker ps fragile | grep -q sleep'
	kill -9 "$(conker info --json fragile | sed -n 's/.*"vmm_pid":\([0-9]*\).*/\1/p')"
	ends 125 $pid
	one_line "$(cat "$TMP/e")"
	has "$(cat "$TMP/e")" "box 'fragile'"
	fails 125 conker exec fragile -- true
	has "$err" fragile
	conker rm -f fragile
}

test_wrong_use_is_125_and_points_to_the_help() {
	fails 125 conker exec nosuchbox -- true
	for wrong in 'exec shared' 'exec --nonsense shared -- true' 'exec --restart maybe shared -- true' \
		'exec --rlimit files=3 shared -- true' 'exec --await-port 80 shared -- true' 'wait shared' \
		'wait --any --count 2 shared 1 2' 'logs --tags shared' 'attach --tail 1 --from 2 shared 1' \
		'kill --group --all shared 1' 'forget shared'; do
		fails 125 conker $wrong
		has "$err" "see 'conker .* --help'"
	done
}

test_a_value_that_is_refused_is_told_why() {
	while IFS='|' read -r command reason; do
		exits 125 timeout 20 conker $command
		is "$err" "conker: ${command%% *}: $reason (see 'conker ${command%% *} --help')"
	done <<-'EOF'
		fork -n 5000000000 shared|--count: '5000000000' is too large
		fork -n 99999999999999999999999 shared|--count: '99999999999999999999999' is too large
		fork -n many shared|--count: 'many' is not a whole number above zero
		create --memory 1000K|--memory: '1000K' is not a whole number of MiB
		create --memory much|--memory: 'much' is not a size in MiB, or with K, M or G
		exec --timeout 99999999 shared true|--timeout: '99999999' is too large
		exec --rlimit nofile shared true|--rlimit: 'nofile' is not NAME=SOFT[:HARD], as nofile=1024 or core=unlimited
	EOF
	exits 125 conker exec --rlimit nix=5 shared true
	has "$err" "--rlimit: 'nix=5' is of no limit that there is: as, core, "
}

test_memory_may_have_a_letter() {
	new_box lettered --memory 0.125G
	has "$(conker info lettered)" '^memory +128 MiB'
	conker rm -f lettered
}

test_every_command_has_a_help_of_its_own() {
	for command in $(conker help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
		exits 0 conker "$command" --help
		has "$out" "$command"
		is "$err" ''
	done
}

test_every_option_is_in_a_manual_page() { # kvm
	man=$(dirname "$0")/../../docs/man
	[ -d "$man" ] || skip "no manual pages here"
	sed 's/\\-/-/g' "$man"/*.1 >"$TMP/man"
	for command in $(conker help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
		grep -q "conker $command" "$TMP/man" || fail "no manual of $command"
		for option in $(conker "$command" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
			grep -q -e "$option\\b" "$TMP/man" || fail "$command $option is in no manual page"
		done
	done
}
