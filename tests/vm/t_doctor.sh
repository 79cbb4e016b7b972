# SPDX-License-Identifier: Apache-2.0
# t_doctor.sh - what `conker doctor` says of this host's isolation. No box is needed.

layer() { printf '%s\n' "$out" | grep -E "^(ok|weak) +$1 "; }

test_every_layer_has_a_line() {
	exits 0 conker doctor
	for what in 'jail: user namespace' 'jail: mount namespace' 'jail: pid namespace' 'jail: net namespace' \
		'jail: ipc namespace' 'jail: uts namespace' 'jail: cgroup namespace' 'jail: empty root' \
		'jail: user id' 'jail: own user ns' 'jail: bounding set' 'jail: capabilities' 'jail: no_new_privs' \
		'jail: resource limits' 'jail: system calls' 'cgroup v2' 'hyper-threads' 'merging of equal pages' \
		'swap' 'flaws of the CPU'; do
		layer "$what" >/dev/null || fail "no line for $what: $out"
	done
	is "$(printf '%s\n' "$out" | grep -c '^ok *jail: ')" 16 "layers of the jail on a host of ours"
}

test_a_layer_that_is_missing_is_named_with_reason_and_advice() {
	unshare -U -r true 2>/dev/null || skip "no user namespaces to take some away in"
	exits 0 unshare -U -r sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; conker doctor'
	has "$(layer 'jail: net namespace')" '^weak .*No space left'
	has "$(layer 'jail: pid namespace')" '^ok '
	has "$out" '-> .*/proc/sys/user/max_'
	exits 0 unshare -U -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; conker doctor --json'
	has "$out" '"verdict":"weak","what":"jail: user namespace"'
}

test_cgroups_are_told_with_their_place_or_the_reason() {
	exits 0 conker doctor
	case $HOST in
	lab) has "$(layer 'cgroup v2')" '^ok .*/sys/fs/cgroup/conker \(.*memory.*\)' ;;
	*) has "$(layer 'cgroup v2')" '^(ok .*/conker \(|weak )' ;;
	esac
	for bad in /tmp/x /nowhere/at/all relative none; do
		CONKER_CGROUP=$bad
		export CONKER_CGROUP
		exits 0 conker doctor
		has "$(layer 'cgroup v2')" '^weak '
	done
}
