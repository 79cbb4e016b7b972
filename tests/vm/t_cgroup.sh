# SPDX-License-Identifier: Apache-2.0
# t_cgroup.sh - the host's own limits: a box's VMM in a cgroup of its own.

setup_file() {
	conker create --name shared --cpus 2
}

cgroup_of() { conker info "$1" | sed -n 's/^cgroup *//p'; }

needs_cgroups() {
	case $(cgroup_of shared) in
	none:*) skip "no cgroup for a box on this host: $(cgroup_of shared)" ;;
	esac
}

test_without_cgroups_the_reason_is_told() {
	case $(cgroup_of shared) in
	/*) ;;
	*)
		has "$(cgroup_of shared)" '^none: ...'
		return 0
		;;
	esac
	export CONKER_CGROUP=none
	conker create --name other
	is "$(cgroup_of other)" "none: CONKER_CGROUP=none"
	has "$(conker info --json other)" '"cgroup":"none: CONKER_CGROUP=none"'
	conker exec other -- true
	conker rm -f other
}

test_all_of_the_vmm_is_in_it_from_birth() {
	needs_cgroups
	cg=$(cgroup_of shared)
	pid=$(conker info shared | sed -n 's/^pid *//p')
	# A thread of KVM's is in it too, as 0 because it is in no namespace that we see.
	is "$(grep -vx 0 "$cg/cgroup.procs")" "$pid"
	is "$(sed -n 's/^0:://p' "/proc/$pid/cgroup")" "${cg#/sys/fs/cgroup}"
	# Its guest's memory was charged to it, the first pages too: it never was elsewhere.
	[ "$(cat "$cg/memory.peak" 2>/dev/null || cat "$cg/memory.current")" -gt 10000000 ] || fail "memory charged elsewhere"
}

test_its_limits_follow_the_boxes_size() {
	needs_cgroups
	cg=$(cgroup_of shared)
	is "$(cat "$cg/memory.max")" $(((128 + 32 + 2) << 20)) memory.max
	is "$(cat "$cg/pids.max")" 10 pids.max
	is "$(cat "$cg/cpu.max")" "300000 100000" cpu.max
	is "$(cat "$cg/cpu.weight")" 200 cpu.weight
	is "$(cat "$cg/memory.oom.group")" 1 memory.oom.group
}

test_a_guest_may_use_all_of_its_memory_and_cpus() {
	needs_cgroups
	cg=$(cgroup_of shared)
	conker exec shared --sh 'dd if=/dev/zero of=/tmp/fill bs=1M 2>/dev/null; for i in 1 2; do (i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done) & done; wait; rm /tmp/fill'
	is "$(awk '$1 == "oom_kill" { print $2 }' "$cg/memory.events")" 0 oom_kill
	is "$(awk '$1 == "max" { print $2 }' "$cg/pids.events")" 0 "threads refused"
	conker exec shared -- true
}

test_a_vmm_that_needs_more_is_killed_and_nothing_else() {
	needs_cgroups
	conker create --name greedy
	cg=$(cgroup_of greedy)
	echo 20M >"$cg/memory.max" # as if it had taken what it was not given
	conker exec greedy --sh 'dd if=/dev/zero of=/tmp/fill bs=1M count=60' >/dev/null 2>&1 || true
	soon 60 sh -c "conker ls --all | grep -q 'greedy.*killed'"
	conker exec shared -- true
	conker rm greedy
	[ ! -e "$cg" ] || fail "its cgroup is left"
}

test_it_goes_with_its_box() {
	needs_cgroups
	conker create --name other
	cg=$(cgroup_of other)
	[ -d "$cg" ] || fail "no cgroup"
	conker rm -f other
	[ ! -e "$cg" ] || fail "rm -f left it"
	conker create --name other
	cg=$(cgroup_of other)
	kill -9 "$(conker info other | sed -n 's/^pid *//p')"
	soon 30 sh -c "conker ls --all | grep -q 'other.*killed'"
	conker rm other
	[ ! -e "$cg" ] || fail "left after the VMM was killed"
	before=$(ls "${cg%/*}")
	conker run -- true
	is "$(ls "${cg%/*}")" "$before" "cgroups after conker run"
}

test_a_starter_that_was_killed_leaves_none() {
	needs_cgroups
	above=$(cgroup_of shared)
	above=${above%/*}
	before=$(ls -d "$above"/*/ | wc -l)
	conker run -- sleep 1000 &
	starter=$!
	soon 60 sh -c "[ \$(ls -d '$above'/*/ | wc -l) -gt $before ]"
	kill -9 $starter
	soon 60 sh -c "conker ls --all >/dev/null; [ \$(ls -d '$above'/*/ | wc -l) = $before ]"
}

test_the_parent_may_be_named() {
	needs_cgroups
	export CONKER_CGROUP=/sys/fs/cgroup/elsewhere
	conker create --name other
	has "$(cgroup_of other)" '^/sys/fs/cgroup/elsewhere/[0-9a-f]{12}$'
	conker rm -f other
	rmdir /sys/fs/cgroup/elsewhere
}

test_an_ordinary_user_gets_one_beside_his_own_where_that_is_delegated() {
	needs_cgroups
	[ -x "$BUILD/tests/host/as" ] || skip "no tests/host/as here"
	top=/sys/fs/cgroup/delegated
	mkdir $top $top/session
	echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
	chown 1000:1000 $top $top/cgroup.procs $top/cgroup.subtree_control $top/session $top/session/cgroup.procs
	mkdir -m 777 "$TMP/run"
	export XDG_RUNTIME_DIR="$TMP/run"
	got=0
	sh -c "echo \$\$ >$top/session/cgroup.procs; exec $BUILD/tests/host/as 1000 conker doctor" >"$TMP/out" || got=$?
	has "$(cat "$TMP/out")" "^ok *cgroup v2 *$top/conker \\(.*memory.*\\)"
	"$BUILD/tests/host/as" 1000 conker doctor >"$TMP/out" || got=$?
	has "$(cat "$TMP/out")" '^weak *cgroup v2 *no cgroup is delegated'
	rmdir $top/conker $top/session $top
}
