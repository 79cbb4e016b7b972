#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python.sh OUT.tar - makes a root file system: Debian 12 with python3 and its standard library.
#
# mmdebstrap takes the packages from where this host takes its own; documentation and translations are
# left out. Needs no root: mmdebstrap picks the mode that works here. The archive is kept in the cache (tools/cache.sh),
# by the versions of the packages in it.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../cache.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

sources=
for s in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
	[ ! -s "$s" ] || sources="$sources $s"
done
# The packages that Debian calls essential, python3, and all that these need, each with the version that is there today.
versions() {
	export LC_ALL=C
	essential=$(apt-cache dumpavail | awk -F': ' '$1 == "Package" { p = $2 } $1 == "Essential" && $2 == "yes" { print p }')
	# shellcheck disable=SC2086 # a list of words
	needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
		--no-enhances python3 $essential | grep '^[a-z0-9]' | sort -u)
	# shellcheck disable=SC2086
	apt-cache policy $needed | awk '/^[a-z0-9]/ { p = $1 } $1 == "Candidate:" { print p, $2 }'
}
packages=$(versions)
case $packages in
*python3:*) ;;
*) export CONKER_BUILD_CACHE=none ;; # apt does not tell them: nothing says what an image of then would hold
esac
key=$({ cat "$here/python.sh"; dpkg --print-architecture; echo "$packages"; } | sha256sum | cut -d ' ' -f 1)
if "$cache" take image-python "$key" "$folder"; then
	echo "image: Debian root file system with python3, from the cache"
	mv "$folder/python.tar" "$out"
	exit 0
fi

echo "image: Debian root file system with python3 (a minute or two)"
# shellcheck disable=SC2086 # a list of words
mmdebstrap --quiet --variant=essential --include=python3 \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$folder/root.tar" $sources
mv "$folder/root.tar" "$folder/python.tar"
"$cache" keep image-python "$key" "$folder/python.tar"
mv "$folder/python.tar" "$out"
