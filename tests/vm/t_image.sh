# SPDX-License-Identifier: Apache-2.0
# t_image.sh - images: import, list, use, remove; and a real program in a real distribution.

own_images() {
	export CONKER_IMAGES="$TMP/images"
}

make_root() { # DIR: the base image's busybox and a file of our own
	mkdir -p "$1/bin" "$1/etc" "$1/proc" "$1/dev" "$1/sys" "$1/tmp" "$1/root"
	cp "$(command -v busybox || echo /bin/busybox)" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
	ln -s busybox "$1/bin/cat"
	ln -s busybox "$1/bin/ls"
	echo "root:x:0:0::/root:/bin/sh" >"$1/etc/passwd"
	echo hello >"$1/etc/greeting"
}

test_import_directory() {
	own_images
	make_root "$TMP/root"
	conker image import mine "$TMP/root"
	has "$(conker image ls)" '^mine '
	exits 0 conker run --image mine -- cat /etc/greeting
	is "$out" hello
	conker image rm mine
	is "$(conker image ls | grep mine)" ''
}

test_import_tar_compressed_and_from_stdin() {
	own_images
	make_root "$TMP/root"
	tar -C "$TMP/root" -czf "$TMP/root.tar.gz" .
	conker image import packed "$TMP/root.tar.gz"
	exits 0 conker run --image packed -- cat /etc/greeting
	is "$out" hello
	conker image import piped - <"$TMP/root.tar.gz"
	exits 0 conker run --image piped -- cat /etc/greeting
}

test_owners_and_modes_survive_a_tar() {
	own_images
	make_root "$TMP/root"
	echo x >"$TMP/root/etc/secret"
	chmod 640 "$TMP/root/etc/secret"
	tar -C "$TMP/root" --owner=1234 --group=4321 -cf "$TMP/root.tar" .
	conker image import owned "$TMP/root.tar"
	exits 0 conker run --image owned -- busybox ls -ln /etc/secret
	has "$out" '^-rw-r----- .*1234 +4321 '
}

test_archive_cannot_escape() {
	own_images
	make_root "$TMP/root"
	tar -C "$TMP/root" -cf "$TMP/evil.tar" .
	echo owned >"$TMP/payload"
	tar -P -rf "$TMP/evil.tar" --transform "s,.*payload,../../../../..$TMP/escaped," "$TMP/payload"
	conker image import evil "$TMP/evil.tar" 2>/dev/null || true
	[ ! -e "$TMP/escaped" ] || fail "the archive wrote outside"
}

test_image_is_replaced_as_a_whole() {
	own_images
	make_root "$TMP/root"
	conker image import same "$TMP/root"
	echo two >"$TMP/root/etc/greeting"
	conker image import same "$TMP/root"
	exits 0 conker run --image same -- cat /etc/greeting
	is "$out" two
}

test_an_image_of_the_former_version_is_listed_used_counted_and_removed() {
	own_images
	mkdir "$CONKER_IMAGES"
	cp "$BUILD/tests/guest/former.erofs" "$CONKER_IMAGES/old.erofs"
	has "$(conker image ls)" '^old '
	has "$(conker image df)" '^images +1 +[1-9]'
	exits 0 conker run --image old -- cat /etc/word
	is "$out" former
	conker create --image old --name box
	conker image rm old
	is "$(ls "$CONKER_IMAGES" | grep -c erofs)" 0
	exits 0 conker exec box -- cat /etc/word
	is "$out" former 'a box that is there goes on'
	conker rm -f box
	make_root "$TMP/root"
	cp "$BUILD/tests/guest/former.erofs" "$CONKER_IMAGES/old.erofs"
	conker image import old "$TMP/root"
	is "$(conker image ls | grep -c '^old ')" 1
	exits 0 conker run --image old -- cat /etc/greeting
	is "$out" hello 'replaced by one of its name'
}

need_python() {
	[ -e "$BUILD/images/store/names/python" ] || skip "no python image (make test-deps)"
}

# registry.py looks that each of README is here, and pulls.
test_commands_of_the_readme() {
	need_python
	own_images
	cp -a "$BUILD/images/store" "$CONKER_IMAGES"
	# As a pull leaves it.
	ln -s "$(readlink "$CONKER_IMAGES/names/python")" "$CONKER_IMAGES/names/docker.io%2Flibrary%2Fpython:3.12-slim"
	exits 0 conker run --image python:3.12-slim -- python3 -c 'print(6 * 7)'
	is "$out" 42
	cd "$TMP"
	make_root rootfs
	printf '#!/bin/sh\necho app\n' >rootfs/bin/app
	chmod 755 rootfs/bin/app
	tar c -C rootfs . | conker image import mine -; conker run --image mine -- /bin/app
}

test_python_program_of_some_size() {
	need_python
	export CONKER_IMAGES="$BUILD/images/store"
	here=$(dirname "$BUILD")/tests/vm
	[ -e "$here/python/report.py" ] || here=$(dirname "$0")
	exits 3 conker run --image python --memory 256 --ready-timeout 120 -i -- \
		python3 -c "$(cat "$here/python/report.py")" <"$here/python/input.json"
	is "$out" "$(cat "$here/python/expected.txt")"
}
