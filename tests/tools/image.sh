#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# image.sh - conker-image against the tools of others: what umoci, buildah and podman make, compared file by file with what
# `umoci unpack` makes of it as root: type, mode, owner, links, time, attributes, content.
#
# Needs root, for the mounts and for umoci; a tool that is missing is a skip that says so.
set -u
cd "$(dirname "$0")/../.." || exit 1
PROGRAM=$PWD/build/conker-image
. tests/lib/rules.sh
end_tests() { umount "$TMP/mnt" 2>/dev/null; }
export BUILDAH_ISOLATION=chroot HOME=$TMP

need() { # TOOL...
	[ "$(id -u)" = 0 ] || { echo "needs root, to mount and to unpack with owners" && exit 77; }
	for tool in "$@"; do
		command -v "$tool" >/dev/null || { echo "no $tool" && exit 77; }
	done
}

# --- helpers ---

listing() { # TREE: a line per name
	python3 - "$1" <<'PY'
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
def show(rel):
    path = os.path.join(top, rel) if rel else top
    st = os.lstat(path)
    what = ""
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as f:
            what = hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).hexdigest()
    elif stat.S_ISLNK(st.st_mode):
        what = repr(os.readlink(path))
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        what = f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"
    xattrs = sorted((n, os.getxattr(path, n, follow_symlinks=False).hex()) for n in os.listxattr(path, follow_symlinks=False))
    is_dir = stat.S_ISDIR(st.st_mode)
    # What no entry tells the time of, whoever unpacks it makes up.
    print(repr(rel), oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, 0 if is_dir else st.st_size,
          0 if is_dir else st.st_mtime_ns, what, xattrs)
    if is_dir:
        for name in sorted(os.listdir(path)):
            show(os.path.join(rel, name) if rel else name)
show(b"")
PY
}

make_image() { # INPUT [OPTION...]: into out/
	local input=$1
	shift
	rm -rf out
	mkdir out
	"$PROGRAM" --work-fd 3 --input-fd 4 "$@" 3<out 4<"$input"
}

# The disk of the box: the metadata, then the data files in the order of the manifest.
mount_image() {
	! mountpoint -q "$TMP/mnt" || umount "$TMP/mnt"
	rm -f disk # a loop device may still have the former one, and would be taken for this one's
	cp out/meta.erofs disk
	sed -n 's/^data=[0-9]* //p' out/manifest | while read -r id; do cat "out/$id.data" >>disk; done
	fsck.erofs disk >fsck.log 2>&1 || fail "fsck.erofs: $(cat fsck.log)"
	mkdir -p "$TMP/mnt"
	mount -t erofs -o loop,ro disk "$TMP/mnt" || { echo "this host cannot mount EROFS" && exit 77; }
}

same_as_umoci() { # LAYOUT:TAG INPUT [OPTION...]
	local image=$1
	shift
	make_image "$@"
	mount_image
	rm -rf bundle
	umoci unpack --image "$image" bundle >umoci.log 2>&1 || fail "umoci: $(cat umoci.log)"
	listing bundle/rootfs >theirs
	listing "$TMP/mnt" >ours
	diff theirs ours >difference || fail "differs: $(head -n 20 difference)"
	[ "$(wc -l <ours)" -gt "${LINES_MIN:-3}" ] || fail "hardly anything in it"
}

# A tree with all that a file system has.
tree() { # DIR
	mkdir -p "$1/usr/bin" "$1/etc" "$1/dev" "$1/home/u" "$1/deep"
	ln -s usr/bin "$1/bin"
	echo hello >"$1/usr/bin/hello"
	cp /bin/true "$1/usr/bin/true"
	setcap cap_net_raw+ep "$1/usr/bin/true" 2>/dev/null || true
	ln "$1/usr/bin/hello" "$1/usr/bin/hard"
	cp /bin/false "$1/usr/bin/su"
	chmod 4755 "$1/usr/bin/su"
	chmod 1777 "$1/home"
	echo u >"$1/home/u/file"
	setfattr -n user.note -v text "$1/home/u/file" 2>/dev/null || true
	chown -R 1000:1001 "$1/home/u"
	mknod "$1/dev/null" c 1 3
	mknod "$1/dev/disk" b 259 70000
	mkfifo "$1/etc/pipe"
	: >"$1/etc/empty"
	printf '\377\001 name' >"$1/etc/$(printf '\377\001 name')"
	head -c 4096 /dev/urandom >"$1/etc/block"
	head -c 100001 /dev/urandom >"$1/etc/blocks"
	truncate -s 3M "$1/etc/sparse"
	printf x | dd of="$1/etc/sparse" bs=1 seek=1500000 conv=notrunc 2>/dev/null
	ln -s "$(printf '%0200d' 0)/$(printf '%0200d' 1)" "$1/etc/long"
	for i in $(seq 400); do echo "$i" >"$1/deep/a-rather-long-name-of-a-file-$i"; done
	touch -d '2001-02-03 04:05:06.789' "$1/etc/empty"
}

# blob_of LAYOUT TAG N: the digest of the N-th layer's blob
blob_of() {
	python3 -c '
import json, sys
def blob(d): return json.load(open(f"{sys.argv[1]}/blobs/sha256/{d.split(chr(58))[1]}"))
tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in json.load(open(f"{sys.argv[1]}/index.json"))["manifests"]}
print(blob(tags[sys.argv[2]])["layers"][int(sys.argv[3])]["digest"].split(":")[1])' "$@"
}

umoci_base() { # TAG: in lay, of one layer
	umoci init --layout lay
	umoci new --image "lay:$1"
	umoci unpack --image "lay:$1" b
	tree b/rootfs
	umoci repack --image "lay:$1" b
	rm -r b
}

# --- tests ---

test_umoci_layers_with_changes() {
	need umoci setcap setfattr
	umoci_base x
	for step in 1 2 3; do
		umoci unpack --image lay:x b
		case $step in
		1) rm -r b/rootfs/deep b/rootfs/usr/bin/hard && mkdir b/rootfs/deep && echo new >b/rootfs/deep/only ;;
		2) rm b/rootfs/bin && mkdir b/rootfs/bin && echo sh >b/rootfs/bin/sh && chmod 700 b/rootfs/home ;;
		3) rm -r b/rootfs/home && echo file >b/rootfs/home && rm b/rootfs/etc/sparse && ln b/rootfs/etc/block b/rootfs/etc/block2 ;;
		esac
		umoci repack --image lay:x b
		rm -rf b
	done
	LINES_MIN=20 same_as_umoci lay:x lay
	tar -cf lay.tar -C lay .
	same_as_umoci lay:x lay.tar
	gzip lay.tar
	same_as_umoci lay:x lay.tar.gz
}

test_buildah_and_podman_archives() {
	need buildah podman umoci skopeo setcap setfattr
	# shellcheck disable=SC2086 # words, here and below
	store="--storage-driver vfs --root $TMP/w/root --runroot $TMP/w/run"
	c=$(buildah $store from scratch) || { echo "buildah does not work here" && exit 77; }
	m=$(buildah $store mount "$c")
	tree "$m"
	buildah $store config --env A='x y%' --entrypoint '["/bin/hello", "a"]' --cmd 'b c' --workingdir /w --user 1000 --port 80/tcp --stop-signal SIGINT "$c"
	buildah $store commit "$c" one
	rm -r "$m/deep" "$m/etc/block"
	echo second >"$m/etc/second"
	buildah $store commit "$c" two
	buildah $store umount "$c"
	buildah $store push two oci:lay:x || { echo "buildah cannot push here" && exit 77; }
	LINES_MIN=20 same_as_umoci lay:x lay
	grep -qx 'env=A=x y%25' out/config || fail "$(cat out/config)"
	grep -qx 'entrypoint=/bin/hello' out/config && grep -qx 'workdir=/w' out/config && grep -qx 'port=80/tcp' out/config
	cp out/meta.erofs first.meta
	for format in docker-archive oci-archive; do
		podman $store save --format "$format" -o saved.tar two || { echo "podman cannot save here" && exit 77; }
		make_image saved.tar
		cmp out/meta.erofs first.meta || fail "$format: another image"
		gzip -c saved.tar | (rm -rf out && mkdir out && "$PROGRAM" --work-fd 3 3<out)
		cmp out/meta.erofs first.meta || fail "$format from a pipe: another image"
		rm saved.tar
	done
	skopeo copy --dest-compress-format zstd oci:lay:x oci:zst:x
	same_as_umoci lay:x zst
}

# The rules that tools of builders do not reach: thirty layers by hand, where each entry is a choice of a seed.
test_thirty_layers_by_hand() {
	need umoci
	for seed in ${SEEDS:-1 2}; do
		rm -rf lay
		SEED=$seed python3 - <<'PY'
import gzip, hashlib, io, json, os, random, tarfile
r = random.Random(int(os.environ["SEED"]))
os.makedirs("lay/blobs/sha256")
def blob(data):
    name = hashlib.sha256(data).hexdigest()
    with open("lay/blobs/sha256/" + name, "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
names = ["a", "b", "c", "d"]
live = {}  # path: kind, of what is there
def below(p):
    return [q for q in live if q.startswith(p + "/")]
def drop(p):
    for q in below(p) + [p]:
        live.pop(q, None)
def layer(n):
    out = io.BytesIO()
    tar = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
    done = set()
    def add(name, type, **more):
        t = tarfile.TarInfo(name)
        t.type, t.mode, t.uid, t.gid = type, r.choice([0o755, 0o700, 0o4711]), r.choice([0, 7, 100000]), r.choice([0, 9])
        t.mtime = r.choice([0, 1000000000, 1000000000.5])
        data = more.pop("data", b"")
        for k, v in more.items():
            setattr(t, k, v)
        t.size = len(data)
        tar.addfile(t, io.BytesIO(data))
    for _ in range(12):
        parents = [""] + [p + "/" for p, k in live.items() if k == "dir"]
        p = r.choice(parents) + r.choice(names)
        if any(p == q or p.startswith(q + "/") or q.startswith(p + "/") for q in done):
            continue
        kind = r.choice(["dir", "dir", "file", "file", "link", "hard", "gone", "fifo"])
        if kind == "gone":
            if p not in live:
                continue
            add(os.path.join(os.path.dirname(p), ".wh." + os.path.basename(p)), tarfile.REGTYPE)
            done.add(p)
            drop(p)
            continue
        files = [q for q, k in live.items() if k == "file" and q != p and not q.startswith(p + "/")]
        if kind == "hard" and not files:
            continue
        if kind != "dir" or live.get(p) != "dir":
            drop(p)
        done.add(p)
        if kind == "dir":
            add(p, tarfile.DIRTYPE)
        elif kind == "file":
            add(p, tarfile.REGTYPE, data=r.randbytes(r.choice([0, 1, 4095, 4096, 4097, 20000])))
        elif kind == "link":
            add(p, tarfile.SYMTYPE, linkname=r.choice(["x", "/a/b", "../c"]))
        elif kind == "hard":
            add(p, tarfile.LNKTYPE, linkname=r.choice(files))
        else:
            add(p, tarfile.FIFOTYPE)
        live[p] = {"hard": "file"}.get(kind, kind)
    tar.close()
    return out.getvalue()
layers, ids = [], []
for n in range(30):
    raw = layer(n)
    ids.append("sha256:" + hashlib.sha256(raw).hexdigest())
    layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob(gzip.compress(raw, 1, mtime=0))})
config = blob(json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ids}, "config": {}}).encode())
manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": layers,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config}}).encode())
json.dump({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
    "annotations": {"org.opencontainers.image.ref.name": "x"}}]}, open("lay/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open("lay/oci-layout", "w"))
PY
		same_as_umoci lay:x lay
	done
}

test_a_debian_tree_is_what_tar_makes_of_it() {
	need mmdebstrap
	archive=$OLDPWD/build/images/python.tar
	[ -r "$archive" ] || { echo "no build/images/python.tar: make test-deps" && exit 77; }
	make_image "$archive"
	mount_image
	mkdir ref
	tar -C ref --xattrs --xattrs-include='*' -xf "$archive"
	listing ref >theirs
	listing "$TMP/mnt" >ours
	diff theirs ours || fail "differs"
}

test_a_second_image_reads_only_its_own_layers() {
	need umoci setcap setfattr
	umoci_base base
	umoci unpack --image lay:base b
	echo more >b/rootfs/more
	umoci repack --image lay:more b
	make_image lay --ref base
	mkdir layers
	mv out/*.index out/*.data layers
	mkdir next
	rm "lay/blobs/sha256/$(blob_of lay base 0)" # of a layer that is there it is not asked for
	"$PROGRAM" --work-fd 3 --input-fd 4 --layers-fd 5 --progress-fd 6 --ref more 3<next 4<lay 5<layers 6>progress
	grep -qx 'have 1 2' progress || fail "$(cat progress)"
	[ "$(ls next/*.data | wc -l)" = 1 ] || fail "$(ls next)"
}

# A reader that waits for an archive: what it holds can be looked at.
waiting_reader() { # sets keeper and reader
	mkfifo input
	mkdir -p out
	"$PROGRAM" --work-fd 3 --jail "$1" 3<out <input 2>said &
	keeper=$!
	exec 9>input
	printf 'ab' >&9
	for _ in $(seq 100); do
		reader=$(cat "/proc/$keeper/task/$keeper/children" 2>/dev/null | tr -d ' ')
		[ -n "$reader" ] && grep -q 'Seccomp:.*2' "/proc/$reader/status" && return
		sleep 0.1
	done
	kill -9 $keeper
	echo "no reader in a jail on this host: $(cat said)" && exit 77
}

test_the_reader_has_nothing_of_the_host() {
	[ "$(id -u)" = 0 ] || { echo "needs root, to look at it" && exit 77; }
	waiting_reader on
	grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs|Uid)' "/proc/$reader/status" >status
	[ "$(grep -c '^Cap.*0000000000000000$' status)" = 3 ] || fail "$(cat status)"
	grep -q '^NoNewPrivs:.1' status
	! grep -q '^Uid:.0' status || fail "it is root"
	[ -z "$(ls -A "/proc/$reader/root/")" ] || fail "it sees $(ls -A "/proc/$reader/root/")"
	for ns in mnt net ipc uts user; do
		[ "$(readlink "/proc/$reader/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] || fail "its $ns namespace is ours"
	done
	for fd in "/proc/$reader/fd/"*; do # no directory among them
		[ ! -d "$fd" ] || fail "$(readlink "$fd")"
	done
	[ ! -s "/proc/$reader/environ" ] || ! tr '\0' x <"/proc/$reader/environ" | grep -q PATH || fail "it has the environment"
	kill -TERM $keeper
	status=0
	wait $keeper || status=$?
	[ $status = 143 ] || fail "status $status"
	grep -qx 'EINTR interrupted; layers that are whole stay' said || fail "$(cat said)"
	[ -z "$(ls -A out)" ] || fail "left: $(ls -A out)"
}

test_killed_at_any_moment_the_next_one_works() {
	mkdir root out
	for i in $(seq 300); do head -c $((RANDOM * 3)) /dev/urandom >"root/$i"; done
	tar -czf archive -C root .
	"$PROGRAM" --work-fd 3 --input-fd 4 3<out 4<archive
	cp out/meta.erofs first
	for i in $(seq ${KILLS:-6}); do
		rm -rf out
		mkdir out
		"$PROGRAM" --work-fd 3 3<out <archive 2>/dev/null &
		sleep "0.$((RANDOM % 2))$((RANDOM % 10))"
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
		[ ! -e out/manifest ] || cmp out/meta.erofs first
		"$PROGRAM" --work-fd 3 --input-fd 4 3<out 4<archive
		cmp out/meta.erofs first
		[ -z "$(find out -name '.*' -type f)" ] || fail "left: $(ls -A out)"
	done
}

test_a_full_disk_is_said_and_nothing_half_made_stays() {
	[ "$(id -u)" = 0 ] || { echo "needs root, to mount a small file system" && exit 77; }
	mkdir out
	head -c 3M /dev/urandom >big
	tar -cf archive big
	mount -t tmpfs -o size=1m none out || { echo "no tmpfs here" && exit 77; }
	status=0
	"$PROGRAM" --work-fd 3 --input-fd 4 3<out 4<archive 2>said || status=$?
	left=$(ls -A out)
	umount out
	[ $status = 1 ] && grep -q '^ENOSPC layer 1 of 1: ' said || fail "$status: $(cat said)"
	[ -z "$left" ] || fail "left: $left"
}

test_errors_are_one_line_with_a_word_first() {
	mkdir out
	printf 'x%.0s' $(seq 1000) >junk
	! "$PROGRAM" --work-fd 3 --input-fd 4 3<out 4<junk 2>said
	[ "$(wc -l <said)" = 1 ] && grep -q '^EINVAL not a tar archive' said || fail "$(cat said)"
	! "$PROGRAM" --input-fd 4 4<junk 2>said
	grep -qx 'EINVAL --work-fd is missing' said
	! "$PROGRAM" --work-fd 77 2>said
	grep -qx 'EINVAL --work-fd 77: not a value of it' said
	! "$PROGRAM" --frob 2>said
	grep -q '^EINVAL --frob: not an option' said
}

run_tests image
