#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cache.sh - what tools/cache.sh promises, and that no input of the kernel's build is left out of its key.
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD
. tests/lib/rules.sh
export CONKER_BUILD_CACHE=$TMP/cache
cache() { "$top/tools/cache.sh" "$@" 2>>"$TMP/said"; }

test_what_was_kept_is_taken_and_is_newer_than_its_sources() {
	echo one >a
	echo two >'b c'
	touch -d @1 a
	cache keep kind key a 'b c'
	cache take kind key out || fail "not there"
	[ "$(cat out/a out/'b c')" = "one
two" ] || fail "got $(ls -A out)"
	[ "$(ls -A out | wc -l)" = 2 ] || fail "more than that: $(ls -A out)"
	[ out/a -nt a ] || fail "make would think it is old"
	! cache take kind other out || fail "another key was there"
	! cache take other key out || fail "another kind was there"
}

test_an_entry_stays_as_it_was_first() {
	echo one >a
	cache keep kind key a
	echo two >a
	cache keep kind key a
	cache take kind key out
	[ "$(cat out/a)" = one ] || fail "it was replaced"
}

test_a_damaged_entry_is_noticed_removed_and_made_again() {
	head -c 100000 /dev/urandom >a
	for damage in 'printf x | dd conv=notrunc bs=1 seek=5000 of=a' 'truncate -s 50000 a' 'rm a' ': >SUMS' 'rm SUMS' 'echo x >>SUMS'; do
		cache keep kind key a
		(cd "$CONKER_BUILD_CACHE/kind/key" && eval "$damage") 2>/dev/null
		rm -rf out
		! cache take kind key out || fail "taken after: $damage"
		[ -z "$(ls -A out)" ] || fail "left after $damage: $(ls -A out)"
		grep -q 'kind/key is damaged' "$TMP/said" || fail "not said: $damage"
		: >"$TMP/said"
		cache keep kind key a
		cache take kind key out || fail "not made again after: $damage"
		cmp a out/a
		rm -r "$CONKER_BUILD_CACHE"
	done
}

test_what_was_never_finished_is_no_entry_and_goes_in_time() {
	mkdir -p "$CONKER_BUILD_CACHE/kind/.new.abc" "$CONKER_BUILD_CACHE/kind/.new.def"
	echo half >"$CONKER_BUILD_CACHE/kind/.new.abc/a"
	touch -d '2 hours ago' "$CONKER_BUILD_CACHE/kind/.new.abc"
	echo a >a
	cache keep kind key a
	[ "$(ls -A "$CONKER_BUILD_CACHE/kind" | tr '\n' ' ')" = '.new.def key ' ] || fail "$(ls -A "$CONKER_BUILD_CACHE/kind")"
}

test_builds_at_once_do_not_disturb_each_other() {
	for i in 1 2 3 4 5 6 7 8; do
		(
			mkdir "w$i"
			cd "w$i"
			head -c 300000 /dev/zero >a
			for _ in 1 2 3 4 5 6; do
				cache keep kind key a
				! cache take kind key out || cmp a out/a || echo "$i got something else" >>"$TMP/w/wrong"
				rm -rf "$CONKER_BUILD_CACHE/kind/key"
			done
		) &
	done
	wait
	[ ! -e wrong ] || fail "$(cat wrong)"
	[ -z "$(find "$CONKER_BUILD_CACHE" -name '.new.*')" ] || fail "left: $(find "$CONKER_BUILD_CACHE")"
}

test_the_newest_few_of_each_kind_stay_by_their_last_use() {
	echo a >a
	cache keep other key a
	for i in 1 2 3 4 5 6; do
		cache keep kind "k$i" a
		touch -d "@$i" "$CONKER_BUILD_CACHE/kind/k$i"
	done
	cache take kind k1 out
	cache keep kind k7 a
	[ "$(ls "$CONKER_BUILD_CACHE/kind" | tr '\n' ' ')" = 'k1 k3 k4 k5 k6 k7 ' ] || fail "$(ls "$CONKER_BUILD_CACHE/kind")"
	cache take other key out || fail "another kind's went"
}

test_clean_removes_entries_and_nothing_else() {
	echo a >a
	cache keep kind key a
	mkdir "$CONKER_BUILD_CACHE/mine"
	echo mine >"$CONKER_BUILD_CACHE/mine/file"
	cache clean
	[ "$(cd "$CONKER_BUILD_CACHE" && find . -type f)" = ./mine/file ] || fail "$(find "$CONKER_BUILD_CACHE")"
	! cache take kind key out
}

test_it_can_be_done_without() {
	echo a >a
	export CONKER_BUILD_CACHE=none
	cache keep kind key a
	! cache take kind key out || fail "taken from nothing"
	[ ! -e none ] || fail "a directory of that name"
}

test_a_place_that_cannot_be_written_to_is_said_and_no_error() {
	echo a >a
	: >file
	CONKER_BUILD_CACHE=$PWD/file/x cache keep kind key a || fail "an error"
	grep -q 'going on without' "$TMP/said" || fail "not said"
}

# --- the kernel's key ---

kernel_tree() {
	[ -r /usr/src/linux-source-6.12.tar.xz ] || { echo "no linux-source-6.12" && exit 77; }
	cp -r "$top/kernel-config" "$top/tools" .
	mkdir bin
	key=$(build --key up)
}

build() { PATH=$TMP/w/bin:$PATH kernel-config/build.sh "$@"; }

other_key() { # WHAT
	local now
	now=$(build --key up)
	[ "$now" != "$key" ] || fail "the same key after a change of $1"
}

test_a_kernel_of_other_inputs_has_another_key() {
	kernel_tree
	[ "$(build --key up)" = "$key" ] || fail "the key changes by itself"
	[ "$(build --key smp)" != "$key" ] || fail "both flavours have the same"
	[ "$(MAKEFLAGS=-j7 CROSS_COMPILE=x- build --key up)" = "$key" ] || fail "the environment is in it, and out of the build"
	for f in kernel-config/core.config kernel-config/patches/0009-*.patch kernel-config/build.sh; do
		cp "$f" saved
		echo '#' >>"$f"
		other_key "$f"
		cp saved "$f"
	done
	mv kernel-config/patches/0009-*.patch saved
	other_key 'the list of patches'
	mv saved kernel-config/patches/0009-back.patch
	for tool in gcc ld; do
		printf '#!/bin/sh\necho another %s\n' $tool >bin/$tool
		chmod +x bin/$tool
		other_key "$tool's version"
		rm bin/$tool
	done
	printf '#!/bin/sh\necho 6.12.999-1\n' >bin/dpkg-query
	chmod +x bin/dpkg-query
	other_key "the source's version"
}

# Without the cache it begins to unpack: that is what a tar which fails shows.
test_a_kernel_comes_from_the_cache_only_if_whole_and_of_the_same_inputs() {
	kernel_tree
	printf '#!/bin/sh\nexit 1\n' >bin/tar
	chmod +x bin/tar
	echo kernel >vmlinux
	echo map >System.map-up
	cache keep kernel-up "$key" vmlinux System.map-up
	build out/guest up >said || fail "not taken: $(cat said)"
	[ "$(cat out/guest/vmlinux out/guest/System.map-up)" = "kernel
map" ] || fail "something else"
	build out/guest up # nothing to do
	echo '# changed' >>kernel-config/core.config
	! build out/guest up >said 2>&1 || fail "a stale kernel"
	grep -q 'unpack' said || fail "$(cat said)"
	sed -i '$d' kernel-config/core.config
	rm -r out
	echo x >>"$CONKER_BUILD_CACHE/kernel-up/$key/vmlinux"
	! build out/guest up >said 2>&1 || fail "a damaged kernel"
	grep -q 'is damaged' said || fail "$(cat said)"
	[ ! -e out/guest/vmlinux ] || fail "it is there all the same"
}

run_tests cache
