#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh - installs the Debian packages named as arguments that are missing, and says which.
# Needs root, or sudo, for that alone; does nothing, silently, when all are there.
set -eu

missing=
for p in "$@"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

# One at a time: several parts of a build may want packages at once, and dpkg allows only one of them.
exec 9>"${TMPDIR:-/tmp}/conker-setup.$(id -u).lock"
flock 9

echo "setup: installing$missing"
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	echo "setup: not root and no sudo; run as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
	if ! $as_root env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "setup: '$*' failed" >&2
		return 1
	fi
}
started=$(date +%s)
# Several purposes follow each other in a fresh build: the lists need not be fetched for each.
fetched=${TMPDIR:-/tmp}/conker-setup.$(id -u).fetched
if [ -z "$(find "$fetched" -mmin -30 2>/dev/null)" ]; then
	quietly apt-get update
	: >"$fetched"
fi
# shellcheck disable=SC2086 # a list of words
quietly apt-get install -y --no-install-recommends $missing
echo "setup: done in $(($(date +%s) - started)) s"
