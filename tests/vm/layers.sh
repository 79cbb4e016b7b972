#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers.sh CONKER_IMAGE DIR - an image of 30 layers for t_disk.sh: DIR/00 is its metadata, DIR/01 and so on the data files in
# the order of the disk. guest/end_layers.c knows what is in them. Layer 15 has no data.
set -eu
program=$1 out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out" "$work/archive" "$work/made"

ids= tars=
for k in $(seq 30); do
	mkdir -p "$work/root/layer-$k"
	[ "$k" = 15 ] || seq $((k * 20)) | sed "s/^/layer $k line /" >"$work/root/layer-$k/text"
	echo "$k" >"$work/root/last"
	[ "$k" != 15 ] || rm "$work/root/last"
	tar -C "$work/root" -cf "$work/archive/$k.tar" --sort=name --owner=0 --group=0 --mtime=@0 .
	ids=$ids,\"sha256:$(sha256sum "$work/archive/$k.tar" | cut -d' ' -f1)\"
	tars=$tars,\"$k.tar\"
	rm -r "$work/root"
done
echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${ids#,}]}}" \
	>"$work/archive/config.json"
echo "[{\"Config\":\"config.json\",\"Layers\":[${tars#,}]}]" >"$work/archive/manifest.json"
tar -C "$work/archive" -cf "$work/archive.tar" .
"$program" --work-fd 3 3<"$work/made" <"$work/archive.tar"

cp "$work/made/meta.erofs" "$out/00"
n=0
for id in $(sed -n 's/^data=[0-9]* //p' "$work/made/manifest"); do
	n=$((n + 1))
	cp "$work/made/$id.data" "$out/$(printf %02d $n)"
done
cp "$work/made/manifest" "$out/manifest"
