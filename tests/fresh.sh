#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fresh.sh - the README's two commands on a Debian 12 that has nothing of what they need but make: elsewhere a step of the
# set-up that is missing is not seen, because the packages are there already.
#
# In a root that mmdebstrap makes (minbase) lies a clone of HEAD. `make run` and `make test`, cut to its shortest stage, run in it
# as root, in namespaces of their own, without the build cache. Needs root; half an hour.
#   fresh.sh            prints verdicts for tests/run
#   FRESH_STAGES=...    other stages of make test
set -u
cd "$(dirname "$0")/.." || exit 1
[ "$(id -u)" = 0 ] || { echo "skip fresh.debian: needs root" && exit 0; }
command -v mmdebstrap >/dev/null || { echo "skip fresh.debian: no mmdebstrap" && exit 0; }

TMP=$(mktemp -d "${TMPDIR:-/tmp}/conker-fresh.XXXXXX") || exit 1
trap 'rm -rf --one-file-system "$TMP"' EXIT
trap 'exit 130' INT TERM HUP
root=$TMP/root

make_root() {
	sources=
	for s in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
		[ ! -s "$s" ] || sources="$sources $s"
	done
	# shellcheck disable=SC2086 # a list of words
	mmdebstrap --quiet --variant=minbase --include=make,ca-certificates bookworm "$root" $sources &&
		cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" &&
		cp /etc/resolv.conf "$root/etc/resolv.conf" &&
		git clone --quiet . "$root/conker"
}

# What is mounted in there is gone with the namespace.
inside() { # COMMAND
	ROOT=$root unshare -m -p -f sh -c '
		mount -t proc proc "$ROOT/proc" && mount --rbind /sys "$ROOT/sys" && mount --rbind /dev "$ROOT/dev" &&
		exec chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CONKER_BUILD_CACHE=none \
			sh -c "cd /conker && $1"' inside "$1"
}

verdict() { # NAME COMMAND...
	name=$1
	shift
	if "$@" >"$TMP/log" 2>&1; then
		echo "ok fresh.$name"
	else
		echo "not ok fresh.$name"
		tail -n 40 "$TMP/log" | sed 's/^/    /'
		return 1
	fi
}

verdict a_bare_debian_is_made make_root &&
	verdict the_first_command_sets_up_builds_and_shows_a_box inside 'make run' &&
	verdict the_second_command_runs_tests inside "make test STAGES='${FRESH_STAGES:-api}'"
