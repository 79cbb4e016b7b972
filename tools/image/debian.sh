#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debian.sh python|code OUT - makes what `conker image import` takes, of Debian 12.
#
#   python   a root file system with python3 and its standard library, as a tar
#   code     what a sandbox for code wants, and a user for it who may become root; as `docker save` writes it, since only so
#            an image can say as whom and where its commands run
#
# mmdebstrap takes the packages from where this host takes its own; documentation and translations are
# left out. Needs no root: mmdebstrap picks the mode that works here. The archive is kept in the cache (tools/cache.sh),
# by the versions of the packages in it.
set -eu
kind=$1 out=$2
case $kind in
python) include="python3" ;;
code) include="bash ca-certificates coreutils curl git nodejs passwd python3 python3-pip python3-venv sudo" ;;
*) echo "debian.sh: no image '$kind'" >&2 && exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../cache.sh
name=$(basename "$out")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

sources=
for s in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
	[ ! -s "$s" ] || sources="$sources $s"
done
# The packages that Debian calls essential, ours, and all that these need, each with the version that is there today.
versions() {
	export LC_ALL=C
	essential=$(apt-cache dumpavail | awk -F': ' '$1 == "Package" { p = $2 } $1 == "Essential" && $2 == "yes" { print p }')
	# shellcheck disable=SC2086 # a list of words
	needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
		--no-enhances $include $essential | grep '^[a-z0-9]' | sort -u)
	# shellcheck disable=SC2086
	apt-cache policy $needed | awk '/^[a-z0-9]/ { p = $1 } $1 == "Candidate:" { print p, $2 }'
}
packages=$(versions)
case $packages in
*python3:*) ;;
*) export CONKER_BUILD_CACHE=none ;; # apt does not tell them: nothing says what an image of then would hold
esac
arch=$(dpkg --print-architecture)
key=$({ cat "$here/debian.sh"; echo "$arch $packages"; } | sha256sum | cut -d ' ' -f 1)
if "$cache" take "image-$kind" "$key" "$folder"; then
	echo "image: Debian root file system, $kind, from the cache"
	mv "$folder/$name" "$out"
	exit 0
fi

root_file_system() { # TAR [OPTION...]
	tar=$1
	shift
	# shellcheck disable=SC2086 # a list of words
	mmdebstrap --quiet --variant=essential --include="$include" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$@" bookworm "$tar" $sources
}

# As docker, gzip does for the whole: layers of such an archive are plain.
docker_save() { # LAYER CONFIG: to standard output
	cd "$(dirname "$1")"
	id=$(sha256sum "$1" | cut -d ' ' -f 1)
	echo "{\"architecture\":\"$arch\",\"os\":\"linux\",\"config\":$2,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$id\"]}}" >config.json
	echo "[{\"Config\":\"config.json\",\"RepoTags\":null,\"Layers\":[\"$(basename "$1")\"]}]" >manifest.json
	tar -c manifest.json config.json "$(basename "$1")" | gzip -1
}

echo "image: Debian root file system, $kind (a minute or two)"
if [ "$kind" = python ]; then
	root_file_system "$folder/$name"
else
	# shellcheck disable=SC2016 # "$1" is mmdebstrap's: the root
	root_file_system "$folder/layer.tar" \
		--customize-hook='chroot "$1" useradd --create-home --shell /bin/bash --uid 1000 user' \
		--customize-hook='echo "user ALL=(ALL:ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/user" && chmod 440 "$1/etc/sudoers.d/user"'
	(docker_save "$folder/layer.tar" '{"User":"user","WorkingDir":"/home/user","Cmd":["bash"]}') >"$folder/$name"
fi
"$cache" keep "image-$kind" "$key" "$folder/$name"
mv "$folder/$name" "$out"
