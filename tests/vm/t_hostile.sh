# SPDX-License-Identifier: Apache-2.0
# t_hostile.sh - a guest that attacks its devices (tests/hostile/README.md) harms nothing but them.
#
# One machine per group of cases. Each case's verdict comes from the guest, through a disk that is its
# log; after the last one the guest halts, and then, from outside: the VMM lives, is idle, holds the
# descriptors and the memory that it held before, ends when it is told to, and another box serves.
# HOSTILE_PERCENT scales the volumes; the lab's exits are dear.
# tags: two-cpus
# (In a lab of one CPU a guest that spins in user mode, waiting for its device, is not interrupted any more.)

OWN_MEMORY_MAX_KIB=2048 # of the VMM, without the guest's: what conker promises to add for a box
DISK_BYTES=4194304
IDLE_TICKS_MAX=5        # in a second, of all threads

log_text() { tr -d '\0' <"$TMP/log"; }
log_ended() { ! kill -0 "$launcher" 2>/dev/null || log_text | grep -q '^done'; }

# launch GROUP MIB CPUS: $launcher, and $vmm, which is its child if there is a jail;
# ${VMM:-conker-vmm} runs. Its listening sockets are 10 and 11, if LISTEN is set.
launch() {
	rm -f "$TMP/log" "$TMP/disk" "$TMP/ro" "$TMP/console" "$TMP/state"
	truncate -s $DISK_BYTES "$TMP/disk"
	truncate -s 1M "$TMP/log"
	truncate -s 1M "$TMP/ro"
	# shellcheck disable=SC2086 # words
	${LISTEN:-} ${VMM:-conker-vmm} --memory-mib "$2" --cpus "$3" --cmdline "$1 ${HOSTILE_PERCENT:-$(by_host 100 10)}" \
		--kernel-fd 4 --disk 5 --disk 6 --disk 7:ro --console-fd 8 --state-fd 9 ${LISTEN:+--vsock-listen 10:1 --vsock-listen 11:99} \
		4<"$BUILD/tests/guest/hostile" 5<>"$TMP/disk" 6<>"$TMP/log" 7<"$TMP/ro" 8>"$TMP/console" 9>"$TMP/state" 2>"$TMP/vmm.err" &
	launcher=$!
	trap 'kill -TERM "$launcher" 2>/dev/null || true' EXIT # also when the test fails
	soon 20 log_ended_or_started
	vmm=$(pgrep -P $launcher conker-vmm || echo $launcher)
}
log_ended_or_started() { log_ended || grep -q started "$TMP/state"; }

terminate() {
	kill -TERM "$launcher"
	ends 0 "$launcher" "status of the VMM; it said: $(tail -n 30 "$TMP/vmm.err")"
	has "$(tail -n 1 "$TMP/state")" '^exited stopped'
}

ticks() { cat /proc/"$vmm"/task/*/stat | sed 's/.*) //' | awk '{ n += $12 + $13 } END { print n }'; }
descriptors() { ls /proc/"$vmm"/fd | wc -l; }

# The guest's memory is what is large, and where its kernel file is mapped.
own_memory_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = /hostile/ } /^Size:/ && $2 > 8400 { guest = 1 }
	     /^Rss:/ && !guest { n += $2 } END { print n }' /proc/"$vmm"/smaps
}

is_idle() {
	before=$(ticks)
	sleep 1
	spent=$(($(ticks) - before))
	[ "$spent" -le $IDLE_TICKS_MAX ]
}

# Of a VMM that was not attacked; looked at once for all tests of this file.
quiet_descriptors() {
	seen=$XDG_RUNTIME_DIR/quiet-$3${LISTEN:+-listen}
	if ! [ -s "$seen" ]; then
		launch nothing "$2" "$3"
		soon 20 log_ended
		descriptors >"$seen"
		terminate
	fi
	cat "$seen"
}

all_cases_passed() {
	log_text | sed 's/^/figure: /'
	log_text | grep -q '^done [1-9][0-9]* cases, 0 failed' ||
		fail "not all cases passed; the VMM: $(tail -n 20 "$TMP/state" "$TMP/vmm.err" "$TMP/console")"
}

# hostile GROUP [MIB [CPUS]]: all its cases
hostile() {
	quiet=
	[ -n "${VMM:-}" ] || quiet=$(quiet_descriptors "$1" "${2:-64}" "${3:-1}")
	launch "$1" "${2:-64}" "${3:-1}"
	soon $((170 + ${HOSTILE_PERCENT:-100} / 2)) log_ended
	all_cases_passed
	kill -0 "$vmm" || fail "the VMM is gone: $(cat "$TMP/state" "$TMP/vmm.err")"
	is_idle || is_idle || fail "the VMM is not idle: $spent ticks in a second"
	[ -z "$quiet" ] || is "$(descriptors)" "$quiet" 'descriptors of the VMM afterwards'
	if [ -z "${VMM:-}" ] && kib=$(own_memory_kib); then
		echo "figure: $1: $kib KiB of the VMM's own memory"
		[ "$kib" -le $OWN_MEMORY_MAX_KIB ] || fail "the VMM has $kib KiB of its own"
	fi
	is "$(wc -c <"$TMP/disk")" $DISK_BYTES 'size of the disk afterwards'
	is "$(timeout 120 conker exec shared -- echo alive)" alive 'what another box answers'
	terminate
}

test_registers() { hostile regs; } # slow
test_queues() { hostile queue; } # slow
test_queues_of_a_box_with_high_memory() { # slow
	[ "$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)" -gt 3300 ] || skip 'less than 3.3 GiB of memory'
	hostile queue 3136
}
test_disk() { hostile blk; }
test_console() { hostile console; }
test_console_floods() { hostile flood; }
test_vsock_packets() { hostile vsock; } # slow
test_vsock_streams() { # slow
	LISTEN="$BUILD/tests/host/hostile $TMP"
	hostile stream
}
test_ports_and_addresses_of_nothing() { hostile machine; }
test_races_of_two_cpus() { hostile race 64 2; } # slow

# The guest halts with something pending in every device: that costs the host nothing.
test_idle_whatever_is_pending() {
	LISTEN="$BUILD/tests/host/hostile $TMP"
	for group in stuck mute; do
		launch $group 64 1
		soon 60 log_ended
		all_cases_passed
		is_idle || is_idle || fail "the VMM is not idle: $spent ticks in a second"
		terminate
	done
}

# What lies in a device's registers is no program: KVM gives up, or reads it again and again.
test_a_jump_into_a_device_ends_the_machine_or_spins() {
	launch jump 64 1
	for _ in 1 2 3 4; do
		log_ended || sleep 1
	done
	if kill -0 "$launcher" 2>/dev/null; then
		terminate
	else
		has "$(tail -n 1 "$TMP/state")" '^exited (crash|error) '
	fi
}

# All of it once more, in a VMM that aborts at the first wrong step. Its jail is left out: a
# sanitizer needs system calls that no VMM may have.
test_all_under_sanitizers() { # slow, all
	VMM="$BUILD/obj/asan/conker-vmm --jail off"
	[ -x "${VMM% --jail*}" ] || skip 'no sanitizer build of conker-vmm here'
	export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
	for group in regs queue blk console flood vsock machine; do
		hostile $group
	done
	hostile race 64 2
	LISTEN="$BUILD/tests/host/hostile $TMP"
	hostile stream
}
