# SPDX-License-Identifier: Apache-2.0
# t_files.sh - files in and out of a box, and about the files in it.

x() { conker exec shared -- "$@"; }

# A clean place of the box for each test.
box() {
	conker fs rm -r shared /tmp/t 2>/dev/null || true
	conker fs mkdir shared /tmp/t
}

source_tree() { # DIR
	mkdir -p "$1/d/e" "$1/empty"
	echo hi >"$1/a"
	ln "$1/a" "$1/d/hard"
	ln -s ../a "$1/d/sym"
	ln -s /no/such "$1/dangling"
	mkfifo "$1/fifo"
	printf 'x' >"$1/with space and ü"
	dd if=/dev/urandom of="$1/random" bs=1000 count=100 2>/dev/null
	chmod 4755 "$1/a"
	chmod 1777 "$1/d/e"
	chmod 550 "$1/empty"
	touch -d @1234567890 "$1/a"
	touch -d @1000000000 "$1/d"
}

# What a tree looks like, without times of links and fifos and bytes of directories.
look() { # DIR
	(cd "$1" && find . | sort | while read -r f; do
		if [ -d "$f" ]; then stat -c '%n %F %a %Y' "$f"
		elif [ -f "$f" ]; then stat -c '%n %F %a %s %Y %h' "$f"; sha256sum <"$f"
		else stat -c '%n %F %N' "$f"; fi
	done)
}

test_a_tree_goes_in_and_out_unchanged() {
	box
	source_tree "$TMP/src"
	touch -d @1111111111 "$TMP/src"
	exits 0 conker cp "$TMP/src" shared:/tmp/t
	exits 0 x sh -c 'cd /tmp/t/src && stat -c %a a d/e empty && stat -c %Y a d . && stat -c %h a &&
		readlink d/sym && test -p fifo && cat "with space and ü"'
	is "$out" "4755
1777
550
1234567890
1000000000
1111111111
2
../a
x"
	exits 0 conker cp -a shared:/tmp/t/src "$TMP/back"
	is "$(look "$TMP/back")" "$(look "$TMP/src")"
}

test_destinations_are_those_of_cp() {
	box
	echo one >"$TMP/f"
	exits 0 conker cp "$TMP/f" shared:/tmp/t
	exits 0 conker cp "$TMP/f" shared:/tmp/t/g
	exits 0 x sh -c 'cat /tmp/t/f /tmp/t/g'
	is "$out" "one
one"
	mkdir "$TMP/dir"
	exits 0 conker cp shared:/tmp/t/g "$TMP/dir"
	exits 0 conker cp shared:/tmp/t/g "$TMP/h"
	cmp "$TMP/dir/g" "$TMP/h"
	exits 0 conker cp shared:/tmp/t/. "$TMP/dir"
	cmp "$TMP/dir/f" "$TMP/f"
	fails 125 conker cp "$TMP/f" shared:/tmp/no/such/dir
	exits 125 conker cp "$TMP/f" shared:/tmp/t/gone/
	has "$err" 'gone.*: Not a directory'
	exits 125 conker cp shared:/tmp/t/g "$TMP/gone/"
	has "$err" 'gone.*: Not a directory'
	exits 0 conker cp shared:/tmp/t "$TMP/gone/"
	cmp "$TMP/gone/f" "$TMP/f"
	rm -r "$TMP/gone"
	exits 0 conker cp -p "$TMP/f" shared:/tmp/t/no/such/dir
	exits 125 conker cp -n "$TMP/f" shared:/tmp/t/g
	has "$err" 'File exists'
	fails 125 conker cp "$TMP/gone" shared:/tmp/t
	fails 125 conker cp shared:/tmp/t/gone "$TMP"
}

test_several_go_into_a_directory_and_nothing_else() { # all
	box
	mkdir "$TMP/in" "$TMP/back"
	echo one >"$TMP/f"
	echo two >"$TMP/in/g"
	x sh -c 'echo file >/tmp/t/file; ln -s . /tmp/t/link'
	exits 0 conker cp "$TMP/f" "$TMP/in" shared:/tmp/t/link
	exits 0 conker cp shared:/tmp/t/f shared:/tmp/t/in "$TMP/back"
	cmp "$TMP/f" "$TMP/back/f"
	cmp "$TMP/in/g" "$TMP/back/in/g"
	for to in file gone; do
		fails 125 conker cp "$TMP/f" "$TMP/in" "shared:/tmp/t/$to"
	done
	exits 0 x sh -c 'cat /tmp/t/file; ls /tmp/t'
	is "$out" "file
f
file
in
link"
	exits 125 conker cp shared:/tmp/t/f shared:/tmp/t/in "$TMP/f"
	exits 125 conker cp shared:/tmp/t/f other:/tmp/t/in "$TMP/back"
	has "$err" "one box, not from 'shared' and 'other'"
}

test_a_destination_that_is_a_link_is_followed() {
	box
	echo new >"$TMP/f"
	x sh -c 'cd /tmp/t; echo old >real; ln -s real l; echo box >f; mkdir d; ln -s ../real d/f; ln -s gone dangling'
	exits 0 conker cp "$TMP/f" shared:/tmp/t/l
	exits 0 x sh -c 'readlink /tmp/t/l; cat /tmp/t/real'
	is "$out" "real
new"
	exits 0 conker cp "$TMP/f" shared:/tmp/t/d
	exits 0 x sh -c 'echo same >/tmp/t/real; cat /tmp/t/d/f'
	is "$out" new "a link in a directory named is replaced"
	exits 125 conker cp "$TMP/f" shared:/tmp/t/dangling
	has "$err" 'No such file'
	exits 125 sh -c 'echo x | conker fs write shared /tmp/t/dangling'
	has "$err" 'No such file'
	exits 0 x sh -c 'readlink /tmp/t/dangling; ls -A /tmp/t'
	is "$out" "gone
d
dangling
f
l
real"

	mkdir "$TMP/dir" "$TMP/named"
	echo old >"$TMP/dir/real"
	ln -s dir/real "$TMP/l"
	ln -s gone "$TMP/dangling"
	ln -s dir "$TMP/todir"
	ln -s ../dir/real "$TMP/named/f"
	exits 0 conker cp shared:/tmp/t/f "$TMP/l"
	is "$(readlink "$TMP/l") $(cat "$TMP/dir/real")" "dir/real box"
	exits 0 conker cp shared:/tmp/t/f "$TMP/todir"
	is "$(readlink "$TMP/todir") $(cat "$TMP/dir/f")" "dir box"
	echo same >"$TMP/dir/real"
	exits 0 conker cp shared:/tmp/t/f "$TMP/named"
	[ ! -L "$TMP/named/f" ] || fail "a link in a directory named is replaced"
	is "$(cat "$TMP/dir/real")" same
	exits 125 conker cp shared:/tmp/t/f "$TMP/dangling"
	has "$err" 'No such file'
	is "$(readlink "$TMP/dangling")" gone
}

test_devices_and_fifos_are_written_into() {
	box
	x sh -c 'cd /tmp/t; echo hello >f; mkfifo p; mknod null c 1 3; mknod full c 1 7; ln -s null l'
	mkfifo "$TMP/p"
	ln -s p "$TMP/l"
	for dst in p l; do
		cat "$TMP/p" >"$TMP/got" &
		exits 0 conker cp shared:/tmp/t/f "$TMP/$dst"
		wait $!
		is "$(cat "$TMP/got")" hello
	done
	[ -p "$TMP/p" ] || fail "the FIFO was replaced"
	is "$(readlink "$TMP/l")" p
	is "$(conker cp shared:/tmp/t/f /proc/self/fd/1 | cat)" hello
	exits 125 conker cp -n shared:/tmp/t/f "$TMP/p"
	has "$err" 'File exists'

	x sh -c 'cat /tmp/t/p >/tmp/t/got; cat /tmp/t/p >>/tmp/t/got' &
	echo one >"$TMP/f"
	exits 0 conker cp "$TMP/f" shared:/tmp/t/p
	exits 0 sh -c 'echo two | conker fs write shared /tmp/t/p'
	wait $!
	exits 0 conker fs cat shared /tmp/t/got
	is "$out" "one
two"
	exits 0 conker cp "$TMP/f" shared:/tmp/t/l
	exits 0 sh -c 'echo two | conker fs write -m 600 shared /tmp/t/null'
	exits 125 conker cp "$TMP/f" shared:/tmp/t/full
	has "$err" 'No space left'
	mkdir "$TMP/d"
	exits 125 conker cp "$TMP/d" shared:/tmp/t/null
	has "$err" 'single file'
	exits 125 conker cp -n "$TMP/f" shared:/tmp/t/null
	has "$err" 'File exists'
	exits 0 x sh -c 'cd /tmp/t; stat -c "%F %a" p null; readlink l'
	is "$out" "fifo 644
character special file 644
null"
}

test_a_device_of_the_host_is_not_replaced() {
	box
	x sh -c 'echo hello >/tmp/t/f; mkdir /tmp/t/d'
	mknod "$TMP/null" c 1 3 && : >"$TMP/null" && mknod "$TMP/full" c 1 7 || skip "no device nodes here"
	ln -s null "$TMP/l"
	exits 0 conker cp shared:/tmp/t/f "$TMP/null"
	exits 0 conker cp shared:/tmp/t/f "$TMP/l"
	exits 125 conker cp shared:/tmp/t/f "$TMP/full"
	has "$err" 'No space left'
	exits 125 conker cp shared:/tmp/t/d "$TMP/null"
	has "$err" 'Is a directory'
	is "$(stat -c %F "$TMP/null" "$TMP/full")" "character special file
character special file"
	is "$(readlink "$TMP/l")" null
}

test_paths_in_a_box_are_absolute() {
	echo x >"$TMP/f"
	exits 125 conker cp "$TMP/f" shared:tmp/relative
	is "$err" "conker: the path 'tmp/relative' in the box is not absolute"
	exits 125 conker cp shared:etc/passwd "$TMP/back"
	has "$err" "the path 'etc/passwd' in the box is not absolute"
	exits 125 conker fs ls shared tmp
	is "$err" "conker: the path 'tmp' in the box is not absolute"
	[ ! -e "$TMP/back" ] || fail "it was copied"
	exits 1 x test -e /tmp/relative
}

test_links_are_copied_or_followed() {
	box
	echo real >"$TMP/real"
	ln -s real "$TMP/link"
	conker cp "$TMP/link" shared:/tmp/t
	conker cp -L "$TMP/link" shared:/tmp/t/followed
	exits 0 x sh -c 'readlink /tmp/t/link; test -L /tmp/t/followed || cat /tmp/t/followed'
	is "$out" "real
real"
}

test_owners_are_kept_when_asked() {
	box
	echo x >"$TMP/f"
	chown 1234:4321 "$TMP/f" || skip "needs root"
	conker cp "$TMP/f" shared:/tmp/t/plain
	conker cp -a "$TMP/f" shared:/tmp/t/owned
	exits 0 x stat -c %u:%g /tmp/t/plain /tmp/t/owned
	is "$out" "0:0
1234:4321"
	conker cp shared:/tmp/t/owned "$TMP/plain"
	conker cp -a shared:/tmp/t/owned "$TMP/owned"
	is "$(stat -c %u:%g "$TMP/plain" "$TMP/owned")" "0:0
1234:4321"
}

test_set_id_bits_leave_a_box_only_with_their_owner() {
	box
	x sh -c ': >/tmp/t/s; chmod 4755 /tmp/t/s'
	conker cp shared:/tmp/t/s "$TMP/s"
	is "$(stat -c %a "$TMP/s")" 755
}

test_holes_stay_holes() {
	box
	truncate -s 1G "$TMP/sparse"
	printf abc | dd of="$TMP/sparse" bs=1 seek=500000000 conv=notrunc 2>/dev/null
	conker cp "$TMP/sparse" shared:/tmp/t
	exits 0 x sh -c 'stat -c %s /tmp/t/sparse; du -k /tmp/t/sparse | cut -f1'
	is "$(echo "$out" | head -n1)" 1073741824
	[ "$(echo "$out" | tail -n1)" -lt 1000 ] || fail "holes were filled: $out"
	conker cp shared:/tmp/t/sparse "$TMP/back"
	[ "$(du -k "$TMP/back" | cut -f1)" -lt 1000 ] || fail "holes were filled on the way out"
	is "$(stat -c %s "$TMP/back")" 1073741824
	is "$(dd if="$TMP/back" bs=1 skip=500000000 count=3 2>/dev/null)" abc
}

test_large_files_arrive_whole() {
	box
	dd if=/dev/urandom of="$TMP/big" bs=1048576 count="$(by_host 4 8)" 2>/dev/null
	conker cp "$TMP/big" shared:/tmp/t/big
	conker cp shared:/tmp/t/big "$TMP/back"
	cmp "$TMP/big" "$TMP/back"
}

test_archives_by_stdin_and_stdout() {
	box
	source_tree "$TMP/src"
	tar cf - -C "$TMP" src | conker cp - shared:/tmp/t
	exits 0 x sh -c 'cd /tmp/t/src && cat a && stat -c %Y a'
	is "$out" "hi
1234567890"
	mkdir "$TMP/back"
	conker cp shared:/tmp/t/src - | tar xf - -C "$TMP/back"
	cmp "$TMP/src/random" "$TMP/back/src/random"
	is "$(readlink "$TMP/back/src/d/sym")" ../a
	exits 125 sh -c 'head -c 10000 /dev/urandom | conker cp - shared:/tmp/t'
	has "$err" 'not a tar archive'
	exits 125 sh -c "tar cf - -C '$TMP' src | head -c 50000 | conker cp - shared:/tmp/t"
	has "$err" 'cut short'
}

test_an_archive_cannot_leave_its_target() {
	box
	mkdir -p "$TMP/in/sub"
	echo evil >"$TMP/evil"
	tar cf "$TMP/dots.tar" -P -C "$TMP/in/sub" ../../evil
	exits 125 sh -c "conker cp - shared:/tmp/t <'$TMP/dots.tar'"
	has "$err" 'outside its target'
	tar cf "$TMP/absolute.tar" -P "$TMP/evil"
	exits 125 sh -c "conker cp - shared:/tmp/t <'$TMP/absolute.tar'"
	has "$err" 'outside its target'
	# a link first, then a file through it
	mkdir "$TMP/one" "$TMP/two" "$TMP/two/l"
	ln -s /etc "$TMP/one/l"
	echo evil >"$TMP/two/l/evil"
	{ tar cf - -C "$TMP/one" l | head -c 512; tar cf - -C "$TMP/two" l/evil; } >"$TMP/link.tar"
	exits 125 sh -c "conker cp - shared:/tmp/t <'$TMP/link.tar'"
	has "$err" 'Not a directory'
	exits 1 x test -e /etc/evil
}

test_a_box_cannot_write_outside_what_was_asked_for() {
	box
	x sh -c 'mkdir /tmp/t/d; ln -s ../../.. /tmp/t/d/up; ln -s /etc/passwd /tmp/t/d/abs; echo x >/tmp/t/d/f'
	mkdir "$TMP/dest"
	conker cp shared:/tmp/t/d "$TMP/dest"
	is "$(readlink "$TMP/dest/d/up")" ../../..
	is "$(ls -A "$TMP/dest")" d
	# A link in the way is not written through, also in the second copy.
	ln -s "$TMP" "$TMP/dest/trap"
	x sh -c 'mkdir /tmp/t/trap; echo x >/tmp/t/trap/evil'
	exits 125 conker cp shared:/tmp/t/trap "$TMP/dest"
	[ ! -e "$TMP/evil" ] || fail "written through a link"
}

test_devices_and_sockets_are_left_out_and_told() {
	box
	x sh -c 'mkdir /tmp/t/d; echo x >/tmp/t/d/f; mknod /tmp/t/d/null c 1 3'
	exits 125 conker cp shared:/tmp/t/d "$TMP/d"
	has "$err" 'null was left out'
	is "$(cat "$TMP/d/f")" x
	[ ! -e "$TMP/d/null" ] || fail "a device left the box"
}

test_rights_are_those_of_the_user() {
	box
	echo x >"$TMP/f"
	exits 125 conker cp -u 1000 "$TMP/f" shared:/root/f
	has "$err" 'Permission denied'
	exits 0 conker cp -u 1000:1001 "$TMP/f" shared:/tmp/mine
	exits 0 x stat -c %u:%g /tmp/mine
	is "$out" 1000:1001
	exits 125 conker fs cat -u 1000 shared /etc/shadow
	exits 125 conker fs ls -u 1000 shared /root
	fails 125 conker fs ls -u nobody-there shared /
}

test_write_replaces_at_once_and_keeps_the_mode() {
	box
	printf 'one\n' | conker fs write shared /tmp/t/f
	exits 0 conker fs cat shared /tmp/t/f
	is "$out" one
	x chmod 600 /tmp/t/f
	printf 'two\n' | conker fs write shared /tmp/t/f
	exits 0 x sh -c 'stat -c %a /tmp/t/f; cat /tmp/t/f; ls -A /tmp/t'
	is "$out" "600
two
f"
	printf 'x' | conker fs write -m 755 shared /tmp/t/f
	exits 0 x stat -c %a /tmp/t/f
	is "$out" 755
	fails 125 sh -c 'echo x | conker fs write shared /tmp/t/no/such/f'
	exits 125 conker fs cat shared /tmp/t
	has "$err" 'Is a directory'
}

test_every_byte_value_survives() { # all
	box
	dd if=/dev/urandom of="$TMP/f" bs=1000 count=30 2>/dev/null
	conker fs write shared /tmp/t/f <"$TMP/f"
	conker fs cat shared /tmp/t/f | cmp - "$TMP/f"
}

test_ls_and_stat() {
	box
	x sh -c 'cd /tmp/t; printf abc >f; mkdir d; ln -s f l; mkfifo p; touch -d @1234567890 f; : >"a
b"'
	exits 0 conker fs ls shared /tmp/t
	has "$out" '^-rw-r--r-- +1 +0 +0 +3 2009-02-13T23:31:30 f$'
	has "$out" '^drwxr-xr-x .* d$'
	has "$out" '^lrwxrwxrwx .* l -> f$'
	has "$out" '^prw-r--r-- .* p$'
	is "$(echo "$out" | wc -l)" 5 "a newline in a name makes no line"
	exits 0 conker fs stat --json shared /tmp/t/f /tmp/t/l
	has "$out" '"name":"/tmp/t/f","type":"file","mode":"0644","uid":0,"gid":0,"nlink":1,"bytes":3,'
	has "$out" '"mtime_us":1234567890000000'
	has "$out" '"type":"symlink".*"target":"f"'
	exits 0 conker fs ls --json shared /tmp/t
	has "$out" '"name":"a\\u000ab"'
	fails 125 conker fs stat shared /tmp/t/gone
	fails 125 conker fs ls shared relative
}

test_mkdir_mv_and_rm() {
	box
	exits 125 conker fs mkdir shared /tmp/t/a/b
	exits 0 conker fs mkdir -p -m 700 shared /tmp/t/a/b
	exits 0 conker fs mkdir -p shared /tmp/t/a/b
	exits 0 conker fs mv shared /tmp/t/a /tmp/t/c
	exits 0 x stat -c %a /tmp/t/c/b
	is "$out" 700
	x sh -c 'cd /tmp/t/c/b; ln -s /etc up; : >f; mkdir -p x/y/z'
	exits 125 conker fs rm shared /tmp/t/c
	has "$err" 'not empty'
	exits 0 conker fs rm -r shared /tmp/t/c
	exits 0 x test -e /etc/passwd
	exits 1 x test -e /tmp/t/c
	exits 125 conker fs rm shared /tmp/t/c
	exits 125 conker fs rm -r shared /
}

test_watch_tells_changes() {
	box
	conker fs watch -n 5 --timeout 60 shared /tmp/t >"$TMP/changes" &
	watcher=$!
	soon 30 grep -q ready "$TMP/changes"
	x sh -c 'cd /tmp/t; mkdir d; mv d e; rmdir e; : >f'
	wait $watcher
	is "$(sed 's/ *$//; s/  */ /' "$TMP/changes")" "ready
created d
moved_from d
moved_to e
removed e
created f"
}

test_watch_ends_with_its_path() {
	box
	conker fs watch --timeout 60 shared /tmp/t >"$TMP/changes" 2>"$TMP/why" &
	watcher=$!
	soon 30 grep -q ready "$TMP/changes"
	conker fs rm -r shared /tmp/t
	ends 125 $watcher
	has "$(cat "$TMP/why")" 'no longer there'
	exits 125 conker fs watch shared /tmp/t
	has "$err" 'No such file'
	exits 124 conker fs watch --timeout 1 shared /tmp
}

test_an_interrupted_copy_leaves_nothing_half_done() {
	box
	mkfifo "$TMP/pipe"
	{ tar cf - -C / bin 2>/dev/null | head -c 100000; sleep 60; } >"$TMP/pipe" &
	feeder=$!
	conker cp - shared:/tmp/t <"$TMP/pipe" 2>/dev/null &
	copy=$!
	sleep 4
	kill -INT $copy
	wait $copy && fail "it said that all went well"
	kill $feeder 2>/dev/null || true
	exits 0 x sh -c 'ls -A /tmp/t/bin | grep -c "^[.]conker" || true'
	is "$out" 0
	exits 0 conker fs ls shared /tmp/t
}

test_the_program_for_files_is_not_a_command() {
	exits 127 x conker-files stat - /etc/passwd
}
