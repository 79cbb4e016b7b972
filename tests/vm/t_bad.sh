# SPDX-License-Identifier: Apache-2.0
# t_bad.sh - everything that goes wrong: one clear line, the right status, no hang, nothing left.

# bad STATUS PATTERN COMMAND...
bad() {
	status=$1 pattern=$2
	shift 2
	exits "$status" "$@"
	one_line "$err"
	has "$err" "$pattern"
}

test_unknown_option() {
	bad 125 'no-such-option' conker run --no-such-option -- true
	bad 125 'no-such-command|unknown' conker no-such-command
	bad 125 'command' conker run
	bad 125 'memory' conker run --memory abc -- true
	bad 125 'idle-suspend: .*--keep' conker run --idle-suspend 3 -- true
}

test_no_kvm_device() {
	[ "$(id -u)" = 0 ] || skip "needs root to hide /dev/kvm"
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	bad 125 '/dev/kvm' unshare -m sh -c 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec conker run -- true'
}

test_no_permission_for_kvm() {
	[ "$(id -u)" = 0 ] || skip "needs root to become somebody else"
	command -v setpriv >/dev/null || skip "no setpriv(1)"
	[ "$(stat -c %a /dev/kvm)" != 666 ] || skip "/dev/kvm is open to all"
	mkdir -m 700 "$TMP/run"
	cp -r "$BUILD/conker" "$BUILD/conker-vmm" "$BUILD/guest" "$TMP"
	chmod 755 "$TMP/.." "$TMP" "$TMP/../.." 2>/dev/null || true
	chown 65534 "$TMP/run"
	bad 125 '/dev/kvm.*(group|permission|Permission)' setpriv --reuid 65534 --clear-groups \
		env XDG_RUNTIME_DIR="$TMP/run" "$TMP/conker" run -- true
}

test_kernel_missing() {
	bad 125 '/no/such/kernel' conker run --kernel /no/such/kernel -- true
}

test_kernel_that_is_not_a_kernel() {
	bad 125 'kernel' conker run --kernel /etc/passwd -- true
	head -c 1000000 /dev/urandom >"$TMP/noise"
	bad 125 'kernel' conker run --kernel "$TMP/noise" -- true
	: >"$TMP/empty"
	bad 125 'kernel' conker run --kernel "$TMP/empty" -- true
}

test_kernel_that_is_truncated() {
	head -c 500000 "$BUILD/guest/vmlinux" >"$TMP/half"
	bad 125 'kernel' conker run --kernel "$TMP/half" -- true
}

test_image_missing() {
	bad 125 'no-such-image' conker run --pull never --image no-such-image -- true
}

test_image_truncated() {
	export CONKER_IMAGES="$TMP/images"
	mkdir -p "$TMP/images"
	head -c 200000 "$BUILD/guest/base.erofs" >"$TMP/images/half.erofs"
	bad 125 'half' conker run --image half -- true
	head -c 200000 /dev/urandom >"$TMP/images/noise.erofs"
	bad 125 'noise' conker run --image noise -- true
}

test_memory_out_of_range() {
	bad 125 'memory' conker run --memory 1 -- true
	bad 125 'memory' conker run --memory 100000000 -- true
}

test_memory_too_small_to_boot() {
	# Whatever the smallest accepted size is: it either works or says that memory is the matter.
	status=0
	conker run --memory 32 -- true >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status = 0 ] || [ $status = 125 ] || fail "status $status"
	[ $status = 0 ] || one_line "$(cat "$TMP/err")"
}

test_no_memory_on_the_host() {
	(
		ulimit -v 200000
		bad 125 'memory' conker run --memory 1024 -- true
	)
}

test_vcpus_out_of_range() {
	bad 125 'cpus' conker run --cpus 0 -- true
	bad 125 'cpus' conker run --cpus 1000 -- true
}

test_box_gone() {
	bad 125 'nobody' conker exec nobody -- true
	bad 125 'nobody' conker info nobody
	bad 125 'nobody' conker stop nobody
	bad 125 'nobody' conker rm nobody
	bad 125 'nobody' conker logs nobody
	bad 125 'nobody' conker kill nobody 1
}

test_bad_names() {
	bad 125 'name' conker create --name ../escape
	bad 125 'name' conker create --name ''
	bad 125 'name' conker create --name 'a b'
	bad 125 'name' conker image import ../escape /etc
}

test_vmm_killed_in_mid_exec() {
	conker run --name doomed -- sleep 1000 2>"$TMP/err" &
	pid=$!
	soon 60 sh -c 'conker ps doomed 2>/dev/null | grep -q sleep'
	kill -9 "$(conker info --json doomed | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p')"
	ends 125 $pid
	one_line "$(cat "$TMP/err")"
	has "$(cat "$TMP/err")" 'killed'
}

test_vmm_of_a_created_box_killed() {
	new_box doomed
	kill -9 "$(conker info --json doomed | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p')"
	sleep 1
	bad 125 'doomed' conker exec doomed -- true
	has "$(conker ls --all)" 'doomed.*killed'
	conker rm doomed
}

test_starter_killed_takes_its_box_along() {
	conker run $WARM --name orphan -- sleep 1000 &
	pid=$!
	soon 60 sh -c 'conker ps orphan 2>/dev/null | grep -q sleep'
	kill -9 $pid
	soon 20 sh -c '! pgrep -x conker-vmm'
	conker ls --all >"$TMP/ls"
	[ -z "$(grep orphan "$TMP/ls")" ] || fail "the box is still listed"
}

test_box_not_ready_in_time() {
	bad 125 'ready' conker run --kernel "$BUILD/tests/guest/raw_spin" --ready-timeout 2 -- true
}

test_interrupt_at_any_moment_leaves_nothing() {
	for delay in 0.002 0.01 0.05 0.1 0.3 0.7 1 2; do
		timeout -s INT $delay conker run -- sleep 1000 2>"$TMP/err" &
		pid=$!
		status=0
		wait $pid || status=$?
		case $status in
		124 | 130) ;;
		*) fail "after $delay s: status $status: $(cat "$TMP/err")" ;;
		esac
		[ -z "$(ls "$XDG_RUNTIME_DIR/conker/boxes" 2>/dev/null)" ] || fail "after $delay s a directory is left"
		! pgrep -x conker-vmm || fail "after $delay s a process is left"
	done
}

test_interrupt_status_is_130() {
	conker run $WARM --name intr -- sleep 1000 2>"$TMP/err" &
	pid=$!
	soon 60 sh -c 'conker ps intr 2>/dev/null | grep -q sleep'
	kill -INT $pid
	ends 130 $pid
}

test_guest_panic_in_mid_exec() {
	conker run --name panics --limit-memory 2M -- sh -c 'sleep 1; echo 2 >/proc/sys/vm/panic_on_oom && tail /dev/zero' 2>"$TMP/err" && fail "it succeeded"
	one_line "$(cat "$TMP/err")"
	has "$(cat "$TMP/err")" 'panic'
}

test_box_that_never_gets_ready() {
	bad 125 'ready|panic' conker run --append 'rdinit=/no/such/init' -- true
}

test_disk_full_while_importing() {
	[ "$(id -u)" = 0 ] || skip "needs root to mount a small tmpfs"
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	mkdir "$TMP/small" "$TMP/big"
	head -c 20000000 /dev/urandom >"$TMP/big/f"
	exits 125 unshare -m sh -c "mount -t tmpfs -o size=4m none $TMP/small && export CONKER_IMAGES=$TMP/small &&
		conker image import big $TMP/big; s=\$?; find $TMP/small ! -type d >$TMP/left; exit \$s"
	one_line "$err"
	has "$err" '[Nn]o space'
	is "$(cat "$TMP/left")" ''
}

test_import_of_nonsense() {
	export CONKER_IMAGES="$TMP/images"
	bad 125 '/no/such' conker image import x /no/such
	head -c 100000 /dev/urandom >"$TMP/noise.tar"
	bad 125 'tar|archive' conker image import x "$TMP/noise.tar"
	is "$(find "$TMP/images" ! -type d)" ''
}

test_closed_stdout_does_not_hang() {
	conker run $WARM -- sh -c 'while :; do echo y; done' | head -n 1 >"$TMP/o"
	is "$(cat "$TMP/o")" y
}
