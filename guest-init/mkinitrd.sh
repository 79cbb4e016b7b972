#!/bin/sh
# mkinitrd.sh INIT OUT - packs guest-init into the initramfs: uncompressed newc cpio, root:root.
#
# Every entry costs guest kernel instructions before PID 1, hence as few as possible: /init and the
# mount points below. /dev and /dev/console come with the kernel (its built-in initramfs), which is
# also why no device node, and so no root, is needed here. Reproducible: same init, same bytes.
set -eu

init=$1 out=$2
dirs=""

dir=$(mktemp -d)
trap 'rm -rf "$dir" "$out.tmp"' EXIT
cp "$init" "$dir/init"
for d in $dirs; do
	mkdir "$dir/$d"
done
chmod -R u=rwX,go=rX "$dir"
chmod 755 "$dir/init"
find "$dir" -exec touch -h -d @0 {} +
(cd "$dir" && printf '%s\n' $dirs init | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$out.tmp"
mv "$out.tmp" "$out"
