# SPDX-License-Identifier: Apache-2.0
# t_layered.sh - images of layers in boxes: what they say of themselves, and that a box keeps the one it began with.

setup_file() {
	:
}

teardown_file() {
	:
}

own_images() {
	export CONKER_IMAGES="$TMP/images"
}

# archive FILE WORD: what `docker save` writes, of two layers. The second has WORD and the entrypoint.
archive() {
	a="$TMP/archive"
	rm -rf "$a" "$TMP/one" "$TMP/two"
	mkdir -p "$a" "$TMP/one/bin" "$TMP/one/etc" "$TMP/one/tmp" "$TMP/two/etc"
	cp "$(command -v busybox || echo /bin/busybox)" "$TMP/one/bin/busybox"
	for applet in sh cat echo id pwd sleep ls; do ln -s busybox "$TMP/one/bin/$applet"; done
	echo "root:x:0:0::/root:/bin/sh" >"$TMP/one/etc/passwd"
	echo "app:x:1000:1000::/home/app:/bin/sh" >>"$TMP/one/etc/passwd"
	echo old >"$TMP/one/etc/word"
	echo "$2" >"$TMP/two/etc/word"
	cat >"$TMP/two/entry" <<-'EOF'
		#!/bin/sh
		trap 'echo asked; exit 0' USR1
		echo "entry: $*; $(id -u); $(pwd); $GREETING"
		[ "$1" != wait ] || while :; do sleep 0.1; done
	EOF
	chmod 755 "$TMP/two/entry"
	tar -C "$TMP/one" --owner=0 --group=0 -cf "$a/1.tar" .
	tar -C "$TMP/two" --owner=0 --group=0 -cf "$a/2.tar" .
	ids=
	for k in 1 2; do ids="$ids,\"sha256:$(sha256sum <"$a/$k.tar" | cut -d' ' -f1)\""; done
	cat >"$a/config.json" <<-EOF
		{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/entry"],"Cmd":["one","two"],
		"Env":["PATH=/bin","GREETING=hello"],"WorkingDir":"/srv/app","User":"app","StopSignal":"SIGUSR1"},
		"rootfs":{"type":"layers","diff_ids":[${ids#,}]}}
	EOF
	echo '[{"Config":"config.json","Layers":["1.tar","2.tar"]}]' >"$a/manifest.json"
	tar -C "$a" -cf "$1" .
}

test_what_an_image_says_of_itself_holds_below_what_is_said() {
	own_images
	archive "$TMP/demo.tar" new
	conker image import demo "$TMP/demo.tar"
	exits 0 conker run --image demo
	is "$out" 'entry: one two; 1000; /srv/app; hello' 'nothing said'
	conker create --image demo --name box
	exits 0 conker exec box -- sh -c 'id -u; pwd; echo $GREETING; cat /etc/word; ls -ld . >/dev/null'
	is "$out" "1000
/srv/app
hello
new" 'a command of another'
	exits 0 conker exec -u root -w / -e GREETING=mine box -- sh -c 'id -u; pwd; echo $GREETING'
	is "$out" "0
/
mine" 'all said'
	echo x >"$TMP/x"
	conker cp "$TMP/x" box:/root-owned
	exits 0 conker exec -u root box -- sh -c 'ls -ln /root-owned'
	has "$out" ' 0 +0 ' 'files are copied as root'
	conker rm -f box
}

test_entrypoint_and_arguments() {
	own_images
	archive "$TMP/demo.tar" new
	conker image import demo "$TMP/demo.tar"
	exits 0 conker run --image demo -- three
	is "$out" 'entry: three; 1000; /srv/app; hello'
	exits 0 conker run --image demo --entrypoint /bin/echo -- three
	is "$out" three
	exits 0 conker run --image demo --entrypoint '' -- echo four
	is "$out" four
	exits 0 conker run --image demo --sh 'echo "$1 $GREETING"' -- five
	is "$out" 'five hello'
	exits 125 conker run
	one_line "$err"
	has "$err" 'no command'
}

test_a_box_that_is_stopped_asks_the_images_command_by_its_signal() {
	own_images
	archive "$TMP/demo.tar" new
	conker image import demo "$TMP/demo.tar"
	conker run --keep --name box --image demo -- wait >"$TMP/said" &
	pid=$!
	soon 60 grep -q entry "$TMP/said"
	conker stop --timeout 60 box
	wait $pid || true
	is "$(tail -1 "$TMP/said")" asked
	conker rm box
}

# Whatever its name means by then, and when it has none.
test_a_snapshot_goes_on_with_the_image_that_it_began_with() { # clones
	own_images
	archive "$TMP/demo.tar" first
	conker image import demo "$TMP/demo.tar"
	conker create --image demo --name box
	conker snapshot box "$TMP/snap"
	archive "$TMP/demo.tar" second
	conker image import demo "$TMP/demo.tar"
	conker image rm demo >"$TMP/rm" 2>&1
	conker rm -f box
	conker image prune --all
	conker create --from "$TMP/snap" --name clone
	exits 0 conker exec clone -- cat /etc/word
	is "$out" first
	conker rm -f clone
	rm -r "$TMP/snap"
	conker image prune
	is "$(ls "$CONKER_IMAGES/made" "$CONKER_IMAGES/layers" | grep -vc :)" 1 'nothing is left'
}

test_an_image_that_is_used_loses_its_name_alone() {
	own_images
	archive "$TMP/demo.tar" new
	conker image import demo "$TMP/demo.tar"
	conker create --image demo --name box
	exits 0 conker image rm demo
	has "$err" 'in use'
	exits 0 conker exec box -- cat /etc/word
	is "$out" new
	has "$(conker image ls)" '^- '
	conker rm -f box
	conker image prune
	is "$(conker image ls | grep -c '^- ')" 0
}

test_a_template_is_of_an_image_not_of_a_name() { # clones
	own_images
	for word in first second; do
		archive "$TMP/demo.tar" $word
		conker image import demo "$TMP/demo.tar"
		exits 0 conker run --warm --image demo -- x
		exits 0 conker run --warm --image demo --entrypoint cat -- /etc/word
		is "$out" $word
	done
}

test_a_suspended_box_has_its_image_still() { # clones
	own_images
	archive "$TMP/demo.tar" new
	conker image import demo "$TMP/demo.tar"
	conker create --image demo --name box
	conker suspend box
	conker image rm demo 2>/dev/null
	conker image prune --all
	exits 0 conker exec box -- cat /etc/word
	is "$out" new
	conker rm -f box
}

test_a_capability_of_a_file_is_there() {
	own_images
	mkdir -p "$TMP/one/bin"
	cp "$(command -v busybox || echo /bin/busybox)" "$TMP/one/bin/busybox"
	ln -s busybox "$TMP/one/bin/sh"
	cp "$TMP/one/bin/busybox" "$TMP/one/bin/busyboxcap"
	"$BUILD/tests/host/setcap" "$TMP/one/bin/busyboxcap" || skip "no capabilities of files here"
	conker image import cap "$TMP/one"
	exits 0 conker run --image cap -u 1000 -- /bin/busyboxcap sh -c 'busybox grep CapEff /proc/self/status'
	has "$out" '2000$'
}
