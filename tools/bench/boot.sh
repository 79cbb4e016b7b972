#!/bin/sh
# boot.sh [RUNS] - what `make bench-boot` runs: cold boots, beside QEMU microvm, and where they go.
#
# The common end point with QEMU, whose microvm has no vsock without vhost, is PID 1's first console
# byte: the same kernel and the same initramfs (tests/vm/guest/end_hello.c) in both. QEMU gets the
# accelerator that this host has. Without an instruction assist it cannot run the kernel's XSAVE on a
# pvm host, so there it is told to do without: good enough for a boot, not for real work.
set -eu
cd "$(dirname "$0")/../.."
B=build
export CONKER_VMM=$PWD/$B/conker-vmm CONKER_GUEST=$PWD/$B/guest
runs=${1:-10}
hello=$B/tests/guest/end_hello.cpio
cmdline=$(cat $B/tests/guest/cmdline)

qemu_append="console=hvc0 quiet panic=-1 reboot=t"
if [ ! -w /dev/kvm ]; then
	accel="-accel tcg -cpu max"
else
	accel="-accel kvm -cpu host"
	[ ! -e /sys/module/kvm_pvm ] || qemu_append="$cmdline reboot=t clearcpuid=erms,fsrm,395,popcnt,cx16,smap,fsgsbase,xsave,xsaves,xsavec,xsaveopt,serialize,rdrand,rdseed"
fi

ours="exec $B/conker-vmm --memory-mib 128 --cpus 1 --kernel-fd 3 --initrd-fd 4 --console-fd 1 --state-fd 5 \
	--cmdline '$cmdline' 3<$B/guest/vmlinux 4<$hello 5>/dev/null"
qemu="exec qemu-system-x86_64 -M microvm,acpi=off,isa-serial=off $accel -m 128 -nodefaults -no-user-config \
	-nographic -no-reboot -kernel $B/guest/vmlinux -initrd $hello -append '$qemu_append' \
	-chardev stdio,id=c -device virtio-serial-device,max_ports=1 -device virtconsole,chardev=c"

$B/bench/boot -n "$runs" \
	--peer "conker-vmm: spawn to PID 1's first console byte" "$ours" \
	--peer "QEMU microvm ($accel): the same" "$qemu"
echo
kernel-config/costs.sh
