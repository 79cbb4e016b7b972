#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# forks.sh BUILD N - what `make bench-forks` runs: N boxes from one snapshot, living at once, each of which executes a
# command of its own; how long that took, all in all, and what the host's memory has of them, by the smaps of all processes
# of a box. A box that does not start, or does not say its own name, fails the whole.
set -eu
B=$1
n=$2
conker=$B/conker
dir=$(mktemp -d "${TMPDIR:-/tmp}/conker-forks.XXXXXX")
export XDG_RUNTIME_DIR="$dir/run" XDG_STATE_HOME="$dir/state" XDG_CACHE_HOME="$dir/cache"
mkdir "$XDG_RUNTIME_DIR"
trap 'xargs -r "$conker" rm -f <"$dir/names" >/dev/null 2>&1 || :; "$conker" rm -f source >/dev/null 2>&1 || :; rm -rf "$dir"' EXIT
: >"$dir/names"

ms() { echo $(($(date +%s%N) / 1000000)); }

# Pss of a VMM and of whoever stands in for it, in KiB: pages that several share count in parts.
pss() { # PID...
	for p; do
		cat "/proc/$p/smaps_rollup"
	done | awk '/^Pss:/ {sum += $2} END {print sum + 0}'
}

"$conker" create --name source >/dev/null
"$conker" exec source -- true
"$conker" snapshot source "$dir/snap"
"$conker" rm -f source

from=$(ms)
"$conker" fork "$dir/snap" -n "$n" >"$dir/names"
started=$(ms)
# shellcheck disable=SC2016 # for the inner shell
xargs -P "$(nproc)" -I BOX sh -c '[ "$("$0" exec BOX -- hostname)" = BOX ] || echo BOX' "$conker" <"$dir/names" >"$dir/failed"
to=$(ms)
failed=$(($(wc -l <"$dir/failed") + n - $(wc -l <"$dir/names")))

pids=$(while read -r box; do "$conker" info --json "$box" | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p'; done <"$dir/names")
# shellcheck disable=SC2086 # a list
kib=$(pss $pids)
"$conker" doctor 2>/dev/null | sed -n '1,3p'
printf '%d forks, %d failed: started after %d ms, each had executed a command after %d ms; %d KiB each, %d KiB all\n' \
	"$n" "$failed" $((started - from)) $((to - from)) $((kib / n)) "$kib"
[ "$failed" = 0 ]
