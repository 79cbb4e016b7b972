#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh OUTDIR FLAVOUR - build the guest kernel: OUTDIR/vmlinux (up) or OUTDIR/vmlinux-smp (smp).
# build.sh --key FLAVOUR - print the hash of all that goes into it.
#
# Unpacks Debian's source package once, applies patches/, makes a configuration from the fragments
# over allnoconfig, checks that every line of every fragment came true, builds and strips.
# Everything in between lies in OUTDIR/../kernel. A second call with the same inputs does nothing; a first one
# takes what an earlier build of the same inputs has left in the cache (tools/cache.sh).
set -euo pipefail

die() { printf 'kernel-config/build.sh: %s\n' "$*" >&2; exit 1; }
usage="usage: kernel-config/build.sh OUTDIR|--key up|smp"

[ $# -eq 2 ] || die "$usage"
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../tools/cache.sh
flavour=$2
fragments=("$here/core.config" "$here/userspace.config" "$here/devices.config")
case $flavour in
up) image=vmlinux ;;
smp) image=vmlinux-smp && fragments+=("$here/smp.config") ;;
*) die "$usage" ;;
esac

package=linux-source-6.12
tarball=/usr/src/$package.tar.xz
[ -r "$tarball" ] || die "$tarball is missing: apt-get install $package"
version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null || stat -c '%s-%Y' "$tarball")
patches=("$here"/patches/*.patch)
# What would change the build from outside.
unset MAKEFLAGS MFLAGS MAKELEVEL GNUMAKEFLAGS CROSS_COMPILE ARCH LLVM KCFLAGS KCPPFLAGS KAFLAGS
# The same inputs give the same file: no date, user or host in it.
export KBUILD_BUILD_TIMESTAMP='2025-01-01' KBUILD_BUILD_USER=conker KBUILD_BUILD_HOST=conker
export LC_ALL=C KCONFIG_NOTIMESTAMP=1

source_hash() { { echo "$version"; cat "${patches[@]}"; } | sha256sum | cut -d' ' -f1; }
input_hash() { { source_hash; gcc --version; ld --version; cat "${fragments[@]}" "$here/build.sh"; } | sha256sum | cut -d' ' -f1; }

want=$(input_hash)
if [ "$1" = --key ]; then
	echo "$want"
	exit
fi
mkdir -p "$1" && out=$(cd "$1" && pwd)
work=$(dirname "$out")/kernel
src=$work/$package
obj=$work/obj-$flavour
log=$work/build-$flavour.log
mkdir -p "$obj"

fail() {
	tail -n 20 "$log" >&2
	die "$1; the whole log is $log"
}

say() { printf 'kernel (%s): %s\n' "$flavour" "$*"; }

# A patched file that is as before keeps its time: a changed patch rebuilds what it touches, no more.
keep_times() {
	local f
	sed -n 's,^+++ b/\([^[:space:]]*\).*,\1,p' "${patches[@]}" | while read -r f; do
		! cmp -s "$src/$f" "$src.new/$f" || touch -r "$src/$f" "$src.new/$f"
	done
}

is_unpacked() { [ "$(cat "$src/.conker-source" 2>/dev/null)" = "$1" ]; }

# Both flavours share the source: it is exchanged under an exclusive lock, and held with a shared one
# for the rest of this script.
unpack() {
	local want
	want=$(source_hash)
	exec 9>"$work/.lock"
	flock -s 9
	is_unpacked "$want" && return
	flock 9
	if ! is_unpacked "$want"; then
		say "unpacking $package $version"
		rm -rf "$src.new"
		mkdir "$src.new"
		tar -C "$src.new" --strip-components=1 -xf "$tarball" || die "cannot unpack $tarball"
		for p in "${patches[@]}"; do
			patch -s -p1 -d "$src.new" <"$p" >>"$log" 2>&1 ||
				fail "patch $(basename "$p") does not apply"
		done
		keep_times
		rm -rf "$src"
		mv "$src.new" "$src"
		echo "$want" >"$src/.conker-source"
	fi
	flock -s 9
}

compiler=gcc
! command -v ccache >/dev/null || compiler="ccache gcc"
run_make() { make -C "$src" O="$obj" CC="$compiler" "$@"; }

configure() {
	cat "${fragments[@]}" >"$obj/conker.config"
	run_make KCONFIG_ALLCONFIG="$obj/conker.config" allnoconfig >>"$log" 2>&1 ||
		fail "configuration failed"

	local line option missing=()
	while read -r line; do
		case $line in
		CONFIG_*=*)
			grep -qxF -- "$line" "$obj/.config" || missing+=("$line")
			;;
		'# CONFIG_'*' is not set')
			option=${line#\# }
			option=${option% is not set}
			! grep -q "^$option=" "$obj/.config" || missing+=("$option=n")
			;;
		esac
	done <"$obj/conker.config"
	[ ${#missing[@]} -eq 0 ] || die "the configuration did not take: ${missing[*]}"
}

# One line that counts on a terminal, a line every 200 files elsewhere.
show_progress() {
	local n=0 total
	total=$(cat "$obj/.objects" 2>/dev/null || echo 1050)
	while IFS= read -r line; do
		printf '%s\n' "$line" >>"$log"
		case $line in *'  CC  '* | *'  AS  '*) n=$((n + 1)) ;; *) continue ;; esac
		if [ -t 1 ]; then
			printf '\rkernel (%s): %d of about %d files' "$flavour" "$n" "$total"
		elif [ $((n % 200)) -eq 0 ]; then
			say "$n of about $total files"
		fi
	done
	[ ! -t 1 ] || printf '\n'
	[ "$n" -lt 500 ] || echo "$n" >"$obj/.objects"
}

build() {
	local status
	set +e
	run_make -j"$(nproc)" vmlinux 2>&1 8>&- 9>&- | show_progress
	status=${PIPESTATUS[0]}
	set -e
	[ "$status" -eq 0 ] || fail "the build failed"
}

# Symbols stay beside the image (profiles, traces), not in it: the image is mapped into every box.
install_image() {
	strip -s -o "$out/.$image.new" "$obj/vmlinux"
	cp "$obj/System.map" "$out/System.map-$flavour"
	mv "$out/.$image.new" "$out/$image"
}

# One build of a flavour at a time; who waited finds the work done.
exec 8>"$obj/.lock"
flock -n 8 || { say "waiting for another build" && flock 8; }
stamp=$obj/.conker-stamp
if [ -e "$out/$image" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
	exit 0
fi
: >"$log"
started=$SECONDS
if "$cache" take "kernel-$flavour" "$want" "$out"; then
	echo "$want" >"$stamp"
	say "$out/$image, from the cache"
	exit 0
fi
unpack
configure
say "building (log: $log)"
build
install_image
echo "$want" >"$stamp"
"$cache" keep "kernel-$flavour" "$want" "$out/$image" "$out/System.map-$flavour"
say "$out/$image, $(stat -c %s "$out/$image") bytes, $((SECONDS - started)) s"
