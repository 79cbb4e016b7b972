#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# former.sh OUT - an image as `conker image import` of 0.1.0 made it of a directory: mkfs.erofs, with its defaults. For t_image.sh.
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root" "$1.tmp"' EXIT
chmod 755 "$root"
mkdir -p "$root/bin" "$root/etc"
cp /bin/busybox "$root/bin/busybox"
ln -s busybox "$root/bin/cat"
echo former >"$root/etc/word"
mkfs.erofs --quiet --all-root "$1.tmp" "$root" >/dev/null
mv "$1.tmp" "$1"
