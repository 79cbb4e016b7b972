# SPDX-License-Identifier: Apache-2.0
# t_box.sh - the life of a box, from the command line.

test_run_returns_the_commands_output_and_status() {
	exits 5 conker run -- sh -c 'echo hello; exit 5'
	is "$out" hello
	is "$err" ''
}

test_create_exec_stop_rm() {
	conker create --name life
	exits 0 conker exec life -- sh -c 'echo kept >/root/f'
	exits 0 conker exec life -- cat /root/f
	is "$out" kept
	has "$(conker ls)" '^life .* [0-9]+$'
	has "$(conker ls)" '^NAME .* PID  REASON$'
	has "$(conker info life)" 'running'
	conker stop life
	fails 125 conker exec life -- true
	has "$(conker ls --all)" '^life '
	has "$(conker info life)" '(stopped|poweroff)'
	conker rm life
	[ -z "$(conker ls --all | grep life)" ]
}

test_boxes_found_by_id_too_and_what_is_known_of_them() {
	new_box byid --max-life 5000 --idle-timeout 400
	has "$(conker info byid)" '^life +ends after 5000.0 s'
	has "$(conker info byid)" '^idle +ends after 400.0 s'
	has "$(conker info --json byid)" '"max_life_ms":5000000,"idle_timeout_ms":400000,"idle_suspend_ms":0'
	id=$(conker info --json byid | sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p')
	[ -n "$id" ]
	exits 0 conker exec "$id" -- true
	conker rm -f "$id"
}

test_name_taken_is_an_error() {
	new_box twin
	fails 125 conker create --name twin
	has "$err" twin
	conker rm -f twin
}

test_rm_of_a_running_box_wants_force() {
	new_box busy
	fails 125 conker rm busy
	conker rm -f busy
}

test_changes_are_thrown_away_with_the_box() {
	conker run $WARM -- sh -c 'echo changed >/etc/hostname.test; rm /etc/passwd'
	exits 0 conker run $WARM -- sh -c 'test ! -e /etc/hostname.test && test -e /etc/passwd'
}

test_two_boxes_do_not_see_each_other() {
	new_box one
	new_box two
	conker exec one -- sh -c 'echo secret >/tmp/f'
	exits 1 conker exec two -- cat /tmp/f
	conker rm -f one
	conker rm -f two
}

test_keep_leaves_the_box() {
	exits 0 conker run $WARM --keep --name kept -- true
	exits 0 conker exec kept -- true
	conker rm -f kept
}

test_memory_is_what_was_asked() {
	exits 0 conker run --memory 256 -- sh -c "awk '/MemTotal/ {print \$2}' /proc/meminfo"
	[ "$out" -gt 200000 ] && [ "$out" -lt 262144 ] || fail "MemTotal $out KiB"
}

test_logs_show_the_console() {
	new_box talk
	exits 0 conker exec talk -- sh -c 'echo hello from the box >/dev/console'
	soon 10 sh -c 'conker logs talk | grep -q "hello from the box"'
	conker rm -f talk
}

test_two_vcpus_run_in_parallel() { # alone
	exits 0 conker run --cpus 2 --ready-timeout 200 -i -- sh -c 'cat >/tmp/p; chmod +x /tmp/p; grep -c ^processor /proc/cpuinfo; /tmp/p' <"$BUILD/tests/guest/parallel"
	is "$(printf '%s\n' "$out" | head -n 1)" 2
	has "$out" 'parallel'
}

test_writable_disk_keeps_data() {
	dd if=/dev/zero of="$TMP/disk" bs=1048576 count=16 2>/dev/null
	conker run --disk "$TMP/disk" -- sh -c 'echo persistent | dd of=/dev/vdb bs=512 seek=8 conv=sync,fsync 2>/dev/null'
	exits 0 conker run --disk "$TMP/disk:ro" -- sh -c 'dd if=/dev/vdb bs=512 skip=8 count=1 2>/dev/null | head -c 10'
	is "$out" persistent
	exits 1 conker run --disk "$TMP/disk:ro" -- sh -c 'echo x | dd of=/dev/vdb conv=fsync 2>/dev/null'
}
