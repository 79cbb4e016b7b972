# SPDX-License-Identifier: Apache-2.0
# t_jail.sh - what conker-vmm can still do once its guest runs: seen from outside, and tried from inside
# by one that is taken over (tests/inject).
# tags: kvm

setup_file() {
	conker create --name shared
}

vmm_pid() {
	conker info --json shared | sed 's/.*"vmm_pid":\([0-9]*\).*/\1/'
}

field() { # NAME FILE
	sed -n "s/^$1:[[:space:]]*//p" "$2"
}

test_it_has_no_rights() {
	status=/proc/$(vmm_pid)/status
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		is "$(field $set "$status")" 0000000000000000 $set
	done
	is "$(field NoNewPrivs "$status")" 1 NoNewPrivs
	is "$(field Groups "$status" | tr -d ' ')" '' Groups
	for uid in $(field Uid "$status") $(field Gid "$status"); do
		[ "$uid" -ge 1879048192 ] || [ "$uid" = 65534 ] || fail "it runs as user $uid"
	done
}

test_every_thread_is_filtered() {
	n=0
	for task in /proc/"$(vmm_pid)"/task/*; do
		# A kernel thread of KVM's counts as ours and has no system calls.
		case $(cat "$task/comm") in kvm-nx-lpage*) continue ;; esac
		is "$(field Seccomp "$task/status")" 2 "Seccomp of $(cat "$task/comm")"
		n=$((n + 1))
	done
	[ $n -ge 3 ] || fail "only $n threads seen"
}

test_its_namespaces_are_its_own() {
	pid=$(vmm_pid)
	for ns in mnt pid net ipc uts user cgroup; do
		[ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] ||
			fail "its $ns namespace is the host's"
	done
	is "$(field NSpid "/proc/$pid/status" | awk '{print $NF}')" 1 'its pid, to itself'
}

test_its_root_is_empty() {
	pid=$(vmm_pid)
	is "$(ls -A "/proc/$pid/root/")" '' 'its root'
	is "$(ls -A "/proc/$pid/cwd/")" '' 'its working directory'
	is "$(wc -l <"/proc/$pid/mountinfo")" 1 'mounts it sees'
	has "$(cat "/proc/$pid/mountinfo")" ' / / ro'
}

test_it_holds_only_what_it_was_given() {
	vmm=$(vmm_pid)
	left=$(ls -l "/proc/$vmm/fd" | sed -n 's/.* -> //p' |
		grep -vE '^(/dev/null|socket:.*|anon_inode:(\[(eventfd|eventpoll|signalfd|timerfd)\]|kvm-v(m|cpu:0))|/memfd:conker-stderr.*)$' |
		grep -vxE "(/proc)?/$vmm/pagemap" | # its own: which of its pages exist, for snapshots
		grep -vE '/(boxes/[a-z0-9]+/(console|state|lock)|guest/(vmlinux|initrd.cpio|base.erofs))$' || true)
	is "$left" '' 'descriptors'
}

test_its_limits() {
	limits=$(cat "/proc/$(vmm_pid)/limits")
	has "$limits" 'Max core file size  *0  *0 '
	has "$limits" 'Max open files  *([0-9]{1,3}|1[0-2][0-9]{2})  *([0-9]{1,3}|1[0-2][0-9]{2}) '
	has "$limits" 'Max locked memory  *0  *0 '
}

test_it_has_no_environment() {
	is "$(tr -d '\000' <"/proc/$(vmm_pid)/environ")" '' 'its environment'
	by_hand env SECRET=word conker-vmm
	is "$(tr -d '\000' <"/proc/$child/environ")" '' 'environment of one started by hand'
	end_by_hand
}

test_descriptors_of_the_starter_are_closed() {
	exec 9<"$TMP"
	by_hand conker-vmm
	! ls -l "/proc/$child/fd" | grep -q " $TMP\$" || fail 'descriptor 9 was inherited'
	end_by_hand
}

by_hand() { # COMMAND...: sets stand_in and child, the process in the jail
	"$@" --memory-mib 32 --cpus 1 --cmdline x --state-fd 5 --kernel-fd 6 \
		5>"$TMP/state" 6<"$BUILD/tests/guest/raw_spin" &
	stand_in=$!
	soon 20 grep -q started "$TMP/state"
	child=$(pgrep -P $stand_in -x conker-vmm)
}

end_by_hand() {
	kill -TERM $stand_in
	wait $stand_in
}

# --- from inside ---

# An order to the one that is taken over; what the event lines say is $said.
taken_over() { # ORDER [OPTION]...
	order=$1
	shift
	"$BUILD/tests/inject/conker-vmm" --memory-mib 32 --cpus 1 --cmdline "inject=$order" --kernel-fd 6 "$@" \
		6<"$BUILD/tests/guest/raw_reboot" >"$TMP/said" 2>&1 || true
	said=$(cat "$TMP/said")
}

need_inject() {
	[ -x "$BUILD/tests/inject/conker-vmm" ] || skip "no tests/inject here"
}

test_taken_over_it_reaches_nothing() {
	need_inject
	taken_over vcpu:reach
	has "$said" 'reach done'
	has "$said" '^exited reboot'
	is "$(grep '^reached' "$TMP/said" || true)" '' 'what it reached without any filter'
	taken_over vcpu:look --jail off # the attempts are real ones
	has "$said" '^reached /etc/passwd'
	has "$said" '^reached another process'
}

# Of x86-64: openat, socket, connect, sendto with an address would be allowed on a connected one
# only, clone, fork, execve, kill, ptrace, mount, unshare, setns, memfd_create, io_uring_setup,
# userfaultfd, bpf, perf_event_open, keyctl, process_vm_writev, prctl, seccomp, pidfd_getfd,
# open_by_handle_at; mmap and mprotect of executable memory; an ioctl of a terminal.
forbidden="257 41 42 56 57 59 62 101 165 272 308 319 425 323 321 298 250 311 157 317 438 304
	9,0,4096,5,34,-1,0 10,0,4096,4 16,0,0x5412"

test_a_call_outside_the_list_ends_it() {
	need_inject
	for kind in vcpu loop; do
		for call in $forbidden; do
			taken_over "$kind:$call"
			has "$said" "^exited error system call ${call%%,*} is not allowed here"
		done
	done
	taken_over vcpu:231,0 # exit_group: an allowed one is made
	has "$said" '^started'
	! grep -q exited "$TMP/said" || fail "it said '$said'"
}

test_a_call_outside_the_list_ends_it_on_the_disk_thread_too() {
	need_inject
	dd if=/dev/zero of="$TMP/disk" bs=1048576 count=4 2>/dev/null
	for call in 257 59; do
		"$BUILD/tests/inject/conker-vmm" --memory-mib 64 --cpus 1 --cmdline "$CMDLINE inject=disk:$call" \
			--kernel-fd 4 --initrd-fd 5 --disk 6 --state-fd 7 4<"$BUILD/guest/vmlinux" \
			5<"$BUILD/tests/guest/end_disk.cpio" 6<>"$TMP/disk" 7>"$TMP/state" || true
		has "$(tail -n 1 "$TMP/state")" "^exited error system call $call is not allowed"
	done
}

test_the_user_is_told() {
	need_inject
	exits 125 env CONKER_VMM="$BUILD/tests/inject/conker-vmm" CONKER_GUEST="$BUILD/guest" \
		conker run --append inject=vcpu:59 -- true
	one_line "$err"
	has "$err" 'system call 59 is not allowed here'
}

# --- hosts that are not root's, or lack something ---

test_an_ordinary_user_gets_the_same_jail_and_snapshots() {
	[ "$(id -u)" = 0 ] || skip 'not root'
	mkdir -m 755 "$TMP/home"
	mknod "$TMP/kvm" c 10 232 && chmod 666 "$TMP/kvm"
	mkdir "$TMP/home/run"
	chown 4242:4242 "$TMP/home/run"
	chmod 755 "$TMP" "$TMP/.."
	cp -r "$BUILD/conker" "$BUILD/conker-vmm" "$BUILD/guest" "$TMP/home"
	chmod -R a+rX "$TMP/home"
	export TMP
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m sh -e -c 'mount --bind "$TMP/kvm" /dev/kvm
		export XDG_RUNTIME_DIR="$TMP/home/run" XDG_STATE_HOME="$TMP/home/run" XDG_CACHE_HOME="$TMP/home/run"
		as() { "$BUILD/tests/host/as" 4242 "$@"; }
		as "$TMP/home/conker" create --require-jail --name mine
		pid=$(pgrep -u 4242 -x conker-vmm)
		grep -E "^(Cap|NoNew|Seccomp:)" /proc/$pid/status
		readlink /proc/$pid/ns/net
		ls -A /proc/$pid/root/
		as "$TMP/home/conker" exec mine -- echo it runs
		as "$TMP/home/conker" snapshot mine "$TMP/home/run/snapshot"
		as "$TMP/home/conker" run --require-jail --from "$TMP/home/run/snapshot" -- echo a copy runs
		as "$TMP/home/conker" suspend mine
		as "$TMP/home/conker" exec mine -- echo it runs again
		as "$TMP/home/conker" rm -f mine' >"$TMP/out"
	is "$(grep -c '0000000000000000$' "$TMP/out")" 5 'empty sets of capabilities'
	has "$(cat "$TMP/out")" '^NoNewPrivs:.*1'
	has "$(cat "$TMP/out")" '^Seccomp:.*2'
	! grep -q "$(readlink /proc/self/ns/net)" "$TMP/out" || fail "the host's network"
	is "$(grep ' runs' "$TMP/out")" 'it runs
a copy runs
it runs again'
}

test_a_host_without_namespaces_is_said_or_refused() {
	unshare -U -r true 2>/dev/null || skip 'no user namespaces to take them away in'
	# shellcheck disable=SC2016 # for the inner shell
	without='echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
	exits 0 unshare -U -r sh -c "$without" sh conker run -- true
	has "$err" '^conker: this host lacks layers of the jail: namespaces '
	fails 125 unshare -U -r sh -c "$without" sh conker run --require-jail -- true
	has "$err" 'the jail lacks a layer on this host: namespaces'
}

# --- no rule for nothing ---

test_every_rule_of_the_filters_is_used() { # all
	need_inject
	command -v strace >/dev/null && command -v python3 >/dev/null || skip 'no strace or no python3'
	printf '#!/bin/sh\nexec strace -f -Y -qq -o "%s" "%s" "$@"\n' "$TMP/trace.\$\$" "$BUILD/conker-vmm" >"$TMP/vmm"
	chmod +x "$TMP/vmm"
	dd if=/dev/zero of="$TMP/disk" bs=1048576 count=4 2>/dev/null
	CONKER_VMM=$TMP/vmm CONKER_GUEST=$BUILD/guest conker create --name traced --disk "$TMP/disk" >/dev/null
	conker cp "$BUILD/tests/guest/echo" traced:/tmp/echo
	conker exec -d --await-port 7000 traced -- /tmp/echo 7000 >/dev/null
	conker forward traced "$TMP/sock:7000" >"$TMP/forward" &
	soon 30 grep -q -e '->' "$TMP/forward"
	is "$("$BUILD/tests/host/forward" "$TMP/sock" 1 1000)" "1 of 1 connections, 1000 bytes each way"
	kill $!
	conker exec traced -- sh -c 'dd if=/dev/zero of=/dev/vdb bs=65536 count=20 conv=fsync 2>/dev/null
		blkdiscard /dev/vdb
		stty -F /dev/console raw # or the terminal looks at each byte
		dd if=/dev/zero of=/dev/console bs=65536 count=20 2>/dev/null'
	conker exec traced -- head -c 2000000 /dev/zero | (sleep 1 && wc -c) >/dev/null
	head -c 300000 /dev/zero | conker exec -i traced -- sh -c 'cat >/dev/null'
	conker stop traced # in order: also what a thread calls when it ends
	conker rm traced
	by_hand "$TMP/vmm"
	kill -TERM "$child" # strace itself would let go of it
	wait $stand_in
	"$BUILD/../tests/inject/unused.py" "$BUILD/tests/inject/rules" "$TMP"/trace.*
}
