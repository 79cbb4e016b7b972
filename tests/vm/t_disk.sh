# SPDX-License-Identifier: Apache-2.0
# t_disk.sh - the block device under a real driver: build/tests/guest/end_disk.cpio is the guest's PID 1.

DISK_BYTES=4194304

disk_vm() { # IMAGE [ro]: $said is what the guest had to say about its disk
	conker-vmm --memory-mib 64 --cpus 1 --cmdline "$CMDLINE" \
		--kernel-fd 4 --initrd-fd 5 --disk "6${2:+:$2}" --console-fd 7 \
		4<"$BUILD/guest/vmlinux" 5<"$BUILD/tests/guest/end_disk.cpio" 6<>"$1" 7>"$TMP/console"
	said=$(tr -d '\r' <"$TMP/console" | grep '^disk' || true)
}

image() {
	dd if=/dev/zero of="$1" bs=$DISK_BYTES count=1 2>/dev/null
}

test_write_read_flush_zero_discard() {
	image "$TMP/disk"
	disk_vm "$TMP/disk"
	is "$said" 'disk ok'
	is "$(wc -c <"$TMP/disk")" $DISK_BYTES 'size of the image afterwards'
}

test_read_only() {
	image "$TMP/disk"
	cp "$TMP/disk" "$TMP/before"
	disk_vm "$TMP/disk" ro
	has "$said" '^disk (open|write): '
	cmp "$TMP/disk" "$TMP/before"
}

test_truncated_image() {
	printf x >"$TMP/disk"
	exits 1 conker-vmm --memory-mib 64 --cpus 1 --cmdline x --kernel-fd 4 --disk 6 \
		4<"$BUILD/guest/vmlinux" 6<>"$TMP/disk"
	has "$err$out" 'truncated'
}

joined_vm() { # FILE...
	"$BUILD/tests/host/joined" "$BUILD/guest/vmlinux" "$BUILD/tests/guest/end_layers.cpio" "$CMDLINE" "$@"
}

test_a_disk_joined_of_the_files_of_30_layers() {
	joined_vm "$BUILD"/tests/guest/layers/[0-9][0-9] >"$TMP/console"
	is "$(tr -d '\r' <"$TMP/console" | grep '^layers')" 'layers 30 ok'
}

test_a_layer_that_is_not_whole_blocks_is_named() {
	mkdir "$TMP/layers"
	cp "$BUILD"/tests/guest/layers/[0-9][0-9] "$TMP/layers"
	printf x >>"$TMP/layers/07"
	exits 1 joined_vm "$TMP"/layers/[0-9][0-9]
	has "$err$out" 'file 8 of 31: [0-9]* bytes are not whole blocks of 4096'
}
