# SPDX-License-Identifier: Apache-2.0
# t_api.sh - the rows of the exec table that are library calls: each a function of host/api.c.

setup_file() {
	new_box shared
	new_box shared2
}

teardown_file() {
	conker rm -f shared shared2
}

api() {
	exits 0 timeout 150 "$BUILD/tests/host/api" shared shared2 "$1"
}

test_run_captures_streams_and_their_order() { api run_captures_streams_and_their_order; }
test_run_output_is_bounded_and_counted() { api run_output_is_bounded_and_counted; }
test_run_feeds_input() { api run_feeds_input; }
test_run_check_makes_a_bad_end_an_error() { api run_check_makes_a_bad_end_an_error; }
test_start_failures_have_an_errno_and_a_step() { api start_failures_have_an_errno_and_a_step; }
test_exit_comes_last_and_once() { api exit_comes_last_and_once; }
test_lines_come_whole() { api lines_come_whole; }
test_returncode_is_negative_for_a_signal() { api returncode_is_negative_for_a_signal; }
test_several_readers_get_every_byte() { api several_readers_get_every_byte; }
test_every_write_completes_in_order() { api every_write_completes_in_order; }
test_close_flushes_what_is_pending() { api close_flushes_what_is_pending; }
test_back_pressure_shows() { api back_pressure_shows; }
test_writes_to_the_closed_and_the_ended_have_their_own_errors() { api writes_to_the_closed_and_the_ended_have_their_own_errors; }
test_wait_polls_and_times_out() { api wait_polls_and_times_out; }
test_wait_many_counts_across_boxes() { api wait_many_counts_across_boxes; }
test_several_threads_wait_while_another_kills() { api several_threads_wait_while_another_kills; }
test_the_end_is_kept_for_who_comes_later() { api the_end_is_kept_for_who_comes_later; }
test_same_key_starts_once() { api same_key_starts_once; }
test_detached_lives_on() { api detached_lives_on; }
test_environment_of_a_mebibyte() { api environment_of_a_mebibyte; }
test_bytes_that_are_no_utf8_pass() { api bytes_that_are_no_utf8_pass; }
