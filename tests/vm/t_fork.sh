# SPDX-License-Identifier: Apache-2.0
# t_fork.sh - many boxes from one, and boxes that begin with a template.
# tags: kvm, clones

setup_file() {
	conker create --name shared
	conker exec -d -n sleeper shared -- sleep 1000
	conker exec shared -- sh -c 'echo source >/file'
}

# Bytes that the processes of a box have for themselves, in KiB: what another clone does not share.
private_kib() { # BOX
	pid=$(conker info --json "$1" | sed 's/.*"vmm_pid":\([0-9]*\).*/\1/')
	awk '/^Private_/ { n += $2 } END { print n }' "/proc/$pid/smaps_rollup"
}

test_forks_of_a_running_box_are_alike_and_apart() {
	n=$(by_host 4 8 20)
	exits 0 env TMPDIR="$TMP" conker fork shared -n "$n"
	names=$out
	is "$(echo "$names" | sort -u | wc -l)" "$n"
	for b in $names; do
		is "$(conker exec "$b" -- sh -c 'cat /file; hostname; echo mine >/file')" "source
$b"
		has "$(conker ps "$b")" 'sleeper +running'
	done
	is "$(conker exec shared -- cat /file)" source
	most=0
	for b in $names; do
		kib=$(private_kib "$b")
		[ "$kib" -le $most ] || most=$kib
	done
	echo "figure: $n clones, at most $most KiB each after the first command"
	[ $most -lt 40000 ] || fail "$most KiB"
	conker rm -f $names
	is "$(ls "$TMP" | wc -l)" 2 'its snapshot is gone, out and err are left'
}

test_forks_of_a_snapshot_with_names() {
	conker snapshot shared "$TMP/s"
	is "$(conker fork "$TMP/s" -n 2 -j 2 --prefix w | sort | tr '\n' ' ')" 'w-1 w-2 '
	exits 125 conker fork "$TMP/s" -n 2 --prefix w
	has "$err" "a box named 'w-1' exists"
	has "$(conker fork --json "$TMP/s")" '^\["[0-9a-f]{12}"\]$'
	rm -r "$TMP/s"
	is "$(conker exec w-2 -- cat /file)" source
	conker rm -f $(conker ls | awk 'NR > 1 && $1 != "shared" { print $1 }')
}

test_a_template_is_made_once_and_says_so() {
	export XDG_CACHE_HOME="$TMP/cache"
	exits 0 conker run --warm -- echo one
	is "$out" one
	has "$err" 'not booted, begun with the template .*, made for it and later ones'
	exits 0 conker run --warm -v -- echo two
	has "$err" 'not booted, begun with the template [^,]*$'
	is "$(printf '%s' "$err" | grep -c 'making one' || true)" 0
	is "$(ls "$XDG_CACHE_HOME/conker/templates" | grep -vc lock)" 1
	[ "$HOST" = pvm ] || another_kernel # a boot costs seconds there
}

another_kernel() {
	cp "$BUILD/guest/vmlinux" "$TMP/vmlinux"
	exits 0 conker run --warm -v --kernel "$TMP/vmlinux" -- echo three
	has "$err" 'no template fits: making one'
}
