# SPDX-License-Identifier: Apache-2.0
# t_vector.sh - vector registers of processes in one box never mix, and instructions that KVM gives
# up on do what the CPU does.
#
# That the vector programs can fail was seen on pvm with a guest kernel told `clearcpuid=avx512f`, which
# then saves less than programs use: each of the four reported foreign or lost ZMM halves.
# tags: kvm

setup_file() {
	conker create --name shared
}

vector() { # PROGRAM ROUNDS
	exits 0 conker exec -i shared -- sh -c "cat >/tmp/$1; chmod +x /tmp/$1; exec /tmp/$1 $2" <"$BUILD/tests/guest/$1"
	printf '%s\n' "$out"
	has "$out" "^$1: .* 0 wrong\$"
	case $HOST in
	lab) has "$out" 'ymm|zmm' ;;
	esac
}

test_registers_across_switches_and_preemption() { vector vector_switch "$(by_host 30 1000)"; }
test_registers_across_signals() { vector vector_signal "$(by_host 10 200)"; }
test_registers_across_fork_and_exec() { vector vector_fork "$(by_host 3 100)"; }
test_registers_under_ptrace() { vector vector_ptrace "$(by_host 3 100)"; }

# A kernel of its own that tries them all; it reboots when they are right and crashes when one is
# not.
test_instructions_kvm_gives_up_on() {
	status=0
	conker-vmm --memory-mib 64 --cpus 1 --cmdline x --state-fd 5 --kernel-fd 6 \
		5>"$TMP/state" 6<"$BUILD/tests/guest/raw_insns" || status=$?
	has "$(tail -n 1 "$TMP/state")" '^exited reboot'
	is $status 3
}

# A kernel that halts when it found nothing to do sleeps on with work to do if an interrupt comes in
# between. QEMU forgets in VMRUN that STI holds interrupts back, so guests of the lab are made to
# tick (tools/lab/README.md).
test_no_interrupt_comes_between_sti_and_hlt() {
	status=0
	conker-vmm --memory-mib 64 --cpus 1 --cmdline x --state-fd 5 --kernel-fd 6 \
		5>"$TMP/state" 6<"$BUILD/tests/guest/raw_shadow" || status=$?
	[ "$HOST" != lab ] || [ $status != 5 ] || skip "QEMU lets them: the guests of the lab must tick"
	has "$(tail -n 1 "$TMP/state")" '^exited reboot'
	is $status 3
}

# A wake-up that was lost there is made up for by the next tick.
test_idle_guests_of_the_lab_tick() {
	[ "$HOST" = lab ] || skip "of the lab only"
	exits 0 conker exec shared -- sh -c 'ticks() { sed -n "s/ *LOC: *\([0-9]*\).*/\1/p" /proc/interrupts; }
		before=$(ticks); sleep 2; echo $(($(ticks) - before))'
	[ "$out" -ge 150 ] || fail "$out timer interrupts in 2 s"
}
