#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cache.sh - keeps what is dear to make (kernels, images, downloads) outside of the tree, by a hash of what goes in.
#
#   cache.sh take KIND KEY DIR       puts the files of that entry into DIR; status 1: there is none
#   cache.sh keep KIND KEY FILE...   makes an entry of FILEs (by their base names), unless there is one
#   cache.sh clean                   removes all entries
#
# An entry is a directory KIND/KEY with the files and their sums. It appears by one rename when it is complete, and each
# take checks the copies that it made: what is damaged is removed and counts as not there. The NEWEST entries of
# a kind stay, by their last use. Any number may take and keep at once. A cache that cannot be used is said, and is no
# error: everything in it can be made again.
#
# KEY is made by who calls: it has to change with every input, above all with the versions of tools.
# Environment: CONKER_BUILD_CACHE, its directory, or "none" to do without.
set -eu
NEWEST=6

say() { printf 'cache: %s\n' "$*" >&2; }

take() { # KIND KEY DIR
	entry=$root/$1/$2
	[ -d "$entry" ] || return 1
	mkdir -p "$3"
	copy=$(mktemp -d "$3/.cache.XXXXXX") || return 1
	if cp "$entry"/* "$copy" 2>/dev/null && (cd "$copy" && sha256sum --quiet --strict -c SUMS) >/dev/null 2>&1; then
		touch -c "$entry"
		rm "$copy/SUMS"
		for f in "$copy"/*; do
			touch -c "$f" # newer than what it is made from
			mv "$f" "$3/"
		done
		rmdir "$copy"
		return 0
	fi
	rm -rf "$copy"
	# Still there, so nobody has pruned it in the meantime: damaged.
	if [ -d "$entry" ]; then
		say "$1/$2 is damaged: it is made again"
		rm -rf "$entry"
	fi
	return 1
}

keep() { # KIND KEY FILE...
	kind=$1 entry=$root/$1/$2
	shift 2
	[ ! -d "$entry" ] || return 0
	mkdir -p "$root/$kind" 2>/dev/null && new=$(mktemp -d "$root/$kind/.new.XXXXXX" 2>/dev/null) || {
		say "$root cannot be written to: going on without"
		return 0
	}
	if cp "$@" "$new" 2>/dev/null && (cd "$new" && sha256sum -- * >.sums && mv .sums SUMS); then
		mv -T "$new" "$entry" 2>/dev/null || rm -rf "$new" # somebody else was as quick
	else
		say "no room for $kind in $root: going on without"
		rm -rf "$new"
	fi
	prune "$kind"
}

prune() { # KIND
	find "$root/$1" -mindepth 1 -maxdepth 1 -name '.new.*' -mmin +60 -exec rm -rf {} +
	# shellcheck disable=SC2012 # names are hashes
	ls -t "$root/$1" | tail -n +$((NEWEST + 1)) | while read -r old; do
		rm -rf "${root:?}/$1/$old"
	done
}

# What is no entry stays: the variable may name any directory.
clean() {
	find "$root" -mindepth 3 -maxdepth 3 -name SUMS 2>/dev/null | while read -r sums; do
		rm -rf "${sums%/SUMS}"
	done
	find "$root" -mindepth 2 -maxdepth 2 -name '.new.*' -exec rm -rf {} + 2>/dev/null || :
	find "$root" -maxdepth 1 -type d -empty -delete 2>/dev/null || :
}

root=${CONKER_BUILD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/conker/build}
command=${1:-}
[ $# = 0 ] || shift
case $command,$#,$root in
take,3,none) exit 1 ;;
keep,*,none | clean,0,none) ;;
take,3,*) take "$@" ;;
keep,[0-2],*) say "keep KIND KEY FILE..." && exit 2 ;;
keep,*,*) keep "$@" ;;
clean,0,*) clean ;;
*) say "take KIND KEY DIR | keep KIND KEY FILE... | clean" && exit 2 ;;
esac
