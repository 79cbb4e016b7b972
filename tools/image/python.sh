#!/bin/sh
# python.sh OUT.tar - makes a root file system: Debian 12 with python3 and its standard library.
#
# mmdebstrap takes the packages from where this host takes its own; documentation and translations are
# left out. Needs no root: mmdebstrap picks the mode that works here.
set -eu
out=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

sources=
for s in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
	[ ! -s "$s" ] || sources="$sources $s"
done
echo "image: Debian root file system with python3 (a minute or two)"
# shellcheck disable=SC2086 # a list of words
mmdebstrap --quiet --variant=essential --include=python3 \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	bookworm "$folder/root.tar" $sources
mv "$folder/root.tar" "$out"
