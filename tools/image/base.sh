#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# base.sh OUT [PROGRAM...] - makes the built-in base image: busybox and a sane minimal root.
#
# OUT is an uncompressed EROFS: a guest kernel that is slow (see kernel-config/) should not inflate
# pages. Each PROGRAM, static, goes to /usr/share/conker. Applets are hard links, not symbolic ones: one
# inode, and a path walk in the guest less. Reproducible: same inputs, same bytes. Needs no root.
set -eu

out=$1
shift
busybox=${BUSYBOX:-/bin/busybox}

if ! "$busybox" --list >/dev/null 2>&1; then
	echo "base.sh: $busybox: not a busybox that runs here (install busybox-static)" >&2
	exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root" "$out.tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
umask 022
chmod 755 "$root"
cd "$root"
mkdir -p bin dev etc home/user lib mnt opt proc root run srv sys tmp usr/lib usr/share var/log var/tmp
chmod 700 root
chmod 1777 tmp var/tmp home/user # all files belong to root here, see --all-root below
ln -s bin sbin
ln -s ../bin usr/bin
ln -s ../bin usr/sbin
ln -s ../run var/run
ln -s /proc/self/mounts etc/mtab

cp "$busybox" bin/busybox
chmod 755 bin/busybox
bin/busybox --list | grep -vx busybox | while read -r applet; do
	ln bin/busybox "bin/$applet"
done
cd - >/dev/null
for program; do
	install -D -m 755 -t "$root/usr/share/conker" "$program"
done

# uid 1000 may be "user" and nothing more; --user takes either name.
cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
END
cat >"$root/etc/group" <<'END'
root:x:0:
tty:x:5:
users:x:100:user
user:x:1000:
nogroup:x:65534:
END
cat >"$root/etc/hosts" <<'END'
127.0.0.1 localhost
::1 localhost
END
cat >"$root/etc/profile" <<'END'
export PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
PS1='\u@\h:\w\$ '
END
cat >"$root/etc/os-release" <<'END'
ID=conker
NAME="conker base image"
END
printf '/bin/sh\n/bin/ash\n' >"$root/etc/shells"
: >"$root/etc/resolv.conf"

# -T, -U: no time and no random UUID in the result; -x-1: no extended attributes of the build host.
mkfs.erofs --quiet --all-root -x-1 -T0 -U 00000000-0000-0000-0000-000000000000 \
	"$out.tmp" "$root" >/dev/null
mv "$out.tmp" "$out"
