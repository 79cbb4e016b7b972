# SPDX-License-Identifier: Apache-2.0
# t_examples.sh - the programs of libconker(3), run as the page says.

example() { # NAME [BOX]
	exits 0 env CONKER_VMM="$BUILD/conker-vmm" CONKER_GUEST="$BUILD/guest" "$BUILD/examples/$@"
}

test_run_captures_in_one_call() {
	example run
	is "$out" "out: Linux
err: careful"
}

test_stream_gives_lines() {
	exits 0 "$BUILD/examples/stream" shared
	is "$out" "out: line 1
out: line 2
out: line 3
ended with 7 after 21 bytes"
}

test_input_is_taken_and_flushed() {
	example input shared
	is "$out" "apple
banana"
}

test_many_waits_for_the_first() {
	example many shared
	is "$out" "racer 1 has won"
}

test_attach_reads_what_was_said_before() {
	example attach shared
	is "$out" "before
after"
}

test_fork_goes_on_in_clones() {
	example fork "$TMP/snapshot"
	is "$out" "clone 1 goes on from 42
clone 2 goes on from 42"
}

test_service_is_awaited_and_forwarded() {
	example service shared
	has "$out" '^http://127.0.0.1:[0-9]+/ leads into the box$'
}

test_files_go_in_and_out() {
	example files shared
	is "$out" "QUIET"
}

test_errors_are_told_apart() {
	example errors shared
	is "$(printf '%s\n' "$out" | cut -d: -f1)" "fine
the command failed
it could not be started
the command ran out of time"
}
