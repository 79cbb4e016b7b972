# SPDX-License-Identifier: Apache-2.0
# t_kill.sh - SIGKILL at random moments: nothing is left behind, or the next command cleans it up.
#
# The moments are made from a seed, which is printed; KILL_SEED=N repeats a run, KILL_TIMES=N does all N times as
# often. Most of them lie between the start of a box and its boot, where a round costs no boot: the kernel there is
# one that spins (build/tests/guest/raw_spin).
# tags: all

# often PVM LAB: how often, KILL_TIMES as much for a long run
often() { echo $(($(by_host "$1" "$2") * ${KILL_TIMES:-1})); }

vmm_of() { conker info --json "$1" | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p'; }

begin() {
	seed=${KILL_SEED:-$(date +%s)}
	echo "KILL_SEED=$seed"
	state=$((seed % 2147483647))
	SPARE=$(vmm_of shared)
	export SPARE
	mounts=$(wc -l </proc/self/mounts)
	files=$(litter)
}

# What a box may leave outside of its directory.
litter() {
	ls -d /tmp/conker-[0-9]* 2>/dev/null || true
	for d in /sys/fs/cgroup/conker /sys/fs/cgroup/unified/conker; do
		[ ! -d $d ] || find $d -mindepth 1 -maxdepth 1 -type d
	done
}

# random N: into $random, 0 to N - 1
random() {
	state=$(((state * 48271) % 2147483647))
	random=$((state % $1))
}

killer() { # client|vmm MICROSECONDS COMMAND...
	what="$*"
	timeout 60 "$BUILD/tests/host/killer" "$@" >"$TMP/status" 2>"$TMP/err" </dev/null || fail "$what: killer: $? $(cat "$TMP/err")"
	status=$(tail -n 1 "$TMP/status")
}

only_shared() { [ "$(pgrep -x conker-vmm | grep -vxF "$SPARE")" = '' ] && ! pgrep -x conker >/dev/null; }

# A VMM learns of its owner's death, and a killed one dies, in milliseconds.
nothing_left() {
	soon 20 only_shared
	left=$(ls "$XDG_RUNTIME_DIR/conker/boxes" | grep -vx shared) || true
	if [ -n "$left" ]; then
		conker ls --all >"$TMP/ls" || fail "$what: ls"
		swept=$((swept + 1))
	fi
	is "$(ls "$XDG_RUNTIME_DIR/conker/boxes")" shared "$what: boxes left"
	is "$(ls "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR/conker" | tr '\n' ' ')" "$XDG_RUNTIME_DIR: conker  $XDG_RUNTIME_DIR/conker: boxes " "$what: files left"
	is "$(wc -l </proc/self/mounts)" "$mounts" "$what: mounts left"
	is "$(litter)" "$files" "$what: files left"
}

# The name can be given again: this one ends at its first instruction.
name_is_free() {
	err=$(conker create --name victim --kernel "$BUILD/tests/guest/raw_triple_fault" 2>&1) && fail "$what: a triple fault that starts"
	has "$err" 'triple fault'
	soon 20 only_shared
}

rounds() { # N MICROSECONDS client|vmm COMMAND...
	rest=$1 within=$2 who=$3
	shift 3
	swept=0
	while [ "$rest" -gt 0 ]; do
		random "$within"
		killer "$who" "$random" "$@"
		"check_$who"
		nothing_left
		[ $((rest % 4)) != 0 ] || name_is_free
		rest=$((rest - 1))
	done
	echo "$who: the next command had to clean up $swept times"
}

check_client() { is "$status" 137 "$what: status"; }

check_vmm() {
	is "$status" 125 "$what: status"
	one_line "$(cat "$TMP/err")"
	has "$(cat "$TMP/err")" 'killed|ended|Connection|start'
}

spin() { echo "--name victim --kernel $BUILD/tests/guest/raw_spin"; }

test_vmm_between_spawn_and_boot() { # slow
	begin
	rounds "$(often 3 7)" 3000 vmm conker create $(spin)
	rounds "$(often 3 7)" 30000 vmm conker run $(spin) -- true
}

test_client_between_spawn_and_boot() { # slow
	begin
	rounds "$(often 3 7)" 12000 client conker create $(spin)
	rounds "$(often 3 7)" 60000 client conker run $(spin) -- true
}

test_client_in_exec() { # slow
	begin
	rest=$(often 4 8)
	within=$(by_host 600000 200000)
	while [ "$rest" -gt 0 ]; do
		random "$within"
		killer client "$random" conker exec shared -- sleep 1000
		is "$status" 137 "$what: status"
		nothing_left
		rest=$((rest - 1))
	done
	soon 60 sh -c '! conker ps shared | grep -q sleep'
	is "$(timeout 120 conker exec shared -- echo alive)" alive
}

test_vmm_in_exec() { # slow
	begin
	rest=$(often 1 2)
	while [ "$rest" -gt 0 ]; do
		random 500000
		conker run --name victim -- sleep 1000 2>"$TMP/err" &
		pid=$!
		soon 60 sh -c 'conker ps victim 2>/dev/null | grep -q sleep'
		usleep "$random" 2>/dev/null || sleep "0.$(printf %06d "$random")"
		what="VMM of exec after $random us"
		kill -9 "$(vmm_of victim)"
		status=0
		wait $pid || status=$?
		check_vmm
		nothing_left
		rest=$((rest - 1))
	done
}

# The box is there, or it is not; in both cases the next command ends it.
test_client_in_stop_and_rm() { # slow
	begin
	rest=$(often 1 2)
	while [ "$rest" -gt 0 ]; do
		new_box victim >/dev/null
		for command in stop "rm -f"; do
			random "$(by_host 200000 100000)"
			killer client "$random" conker $command victim
		done
		what="rm after interrupted stop and rm"
		conker rm -f victim 2>"$TMP/err" || has "$(cat "$TMP/err")" "no box named 'victim'"
		nothing_left
		rest=$((rest - 1))
	done
}
