#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""images.py - `conker image`, from each kind of input to its name and away again, by the command that is shipped.

Archives are made here, the same each time. Nothing outside of a temporary directory is touched, and no registry is asked
(registry.py does that).
"""
from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", f"{TOP}/build")
CONKER = f"{BUILD}/conker"
STORE, HERE = "", ""  # of the test that runs


# --- inputs ---------------------------------------------------------------------------------------

def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), 0o755, 12
            t.addfile(info, io.BytesIO(data))
    return raw.getvalue()


LAYERS = [tar({"bin/one": b"1" * 10000}), tar({"etc/two": b"2"}), tar({"etc/.wh.two": b"", "etc/three": b"3"})]


def config(layers: list[bytes], arch: str = "amd64") -> bytes:
    return json.dumps({"os": "linux", "architecture": arch, "config": {"Cmd": ["/bin/one"], "Env": ["A=b"], "Volumes": {"/v": {}}},
                       "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(l)}" for l in layers]}}).encode()


def layout(path: str, layers: list[bytes], arch: str = "amd64", level: int = 9) -> str:
    """An OCI layout, as a directory."""
    os.makedirs(f"{path}/blobs/sha256")

    def blob(data: bytes, kind: str) -> dict[str, object]:
        with open(f"{path}/blobs/sha256/{sha256(data)}", "wb") as f:
            f.write(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{sha256(data)}", "size": len(data)}

    manifest = json.dumps({"schemaVersion": 2, "config": blob(config(layers, arch), "config.v1+json"),
                           "layers": [blob(gzip.compress(l, level, mtime=0), "layer.v1.tar+gzip") for l in layers]}).encode()
    index = {"schemaVersion": 2, "manifests": [{**blob(manifest, "manifest.v1+json"), "annotations": {
        "org.opencontainers.image.ref.name": "v1"}}]}
    for name, what in {"index.json": index, "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
        with open(f"{path}/{name}", "w", encoding="utf-8") as f:
            json.dump(what, f)
    return path


def docker_save(layers: list[bytes]) -> bytes:
    files = {f"{i}/layer.tar": l for i, l in enumerate(layers)}
    files["config.json"] = config(layers)
    files["manifest.json"] = json.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": list(files)[:-1]}]).encode()
    return tar(files)


def save(name: str, data: bytes) -> str:
    with open(f"{HERE}/{name}", "wb") as f:
        f.write(data)
    return f"{HERE}/{name}"


# --- the command ----------------------------------------------------------------------------------

@contextlib.contextmanager
def places() -> Iterator[None]:
    global STORE, HERE  # pylint: disable=global-statement
    with tempfile.TemporaryDirectory(prefix="conker-images-") as HERE:
        STORE = f"{HERE}/store"
        yield


def start(*args: str, stdin: int = subprocess.DEVNULL, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen([CONKER, "image", *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "CONKER_IMAGES": STORE, **env})


def image(*args: str, data: bytes | None = None, status: int = 0, **env: str) -> str:
    done = subprocess.run([CONKER, "image", *args], input=data, capture_output=True, timeout=100, check=False,
                          env={**os.environ, "CONKER_IMAGES": STORE, **env})
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == status, (args, done.returncode, said)
    return said


def inspect(name: str) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(image("inspect", name))
    assert len(found) == 1
    return found[0]


def left() -> list[str]:
    """What is in the store beside directories that have nothing in them."""
    return [os.path.relpath(os.path.join(d, f), STORE) for d, dirs, files in os.walk(STORE)
            for f in files + [x for x in dirs if os.path.islink(os.path.join(d, x)) or x.startswith(".")]]


def disk(name: str) -> str:
    """The image as one file, checked by fsck.erofs."""
    if not shutil.which("fsck.erofs"):
        raise rules.Skip("no fsck.erofs, which is in the package erofs-utils")
    made = os.path.join(STORE, "names", os.readlink(f"{STORE}/names/{name}"))
    path = f"{HERE}/disk"
    with open(path, "wb") as out, open(f"{made}/manifest", encoding="utf-8") as manifest:
        parts = [f"{made}/meta.erofs"] + [f"{STORE}/layers/{l.split()[1]}.data" for l in manifest if l.startswith("data=")]
        for part in parts:
            with open(part, "rb") as f:
                shutil.copyfileobj(f, out)
    subprocess.run(["fsck.erofs", path], check=True, capture_output=True)
    return path


def has(name: str, path: str) -> bool:
    shown = subprocess.run(["dump.erofs", f"--path={path}", disk(name)], capture_output=True, text=True, check=False)
    return "NID:" in shown.stdout


# --- each kind ------------------------------------------------------------------------------------

def test_archives_of_each_kind_become_the_same_image() -> None:
    oci = layout(f"{HERE}/oci", LAYERS)
    packed = subprocess.run(["tar", "-C", oci, "-c", "."], capture_output=True, check=True).stdout
    saved = docker_save(LAYERS)
    image("import", "directory", oci)
    image("import", "archive", save("oci.tar", packed))
    image("import", "packed", save("oci.tgz", gzip.compress(packed)))
    image("import", "piped", "-", data=packed)
    image("import", "saved", save("saved.tar", saved))
    image("import", "saved-piped", "-", data=gzip.compress(saved))
    found = {i["name"]: i for i in json.loads(image("ls", "--json")) if i["name"] != "base"}
    assert len(found) == 6 and all(i["layers"] == 3 and i["cmd"] == ["/bin/one"] for i in found.values()), found
    assert len({i["id"] for n, i in found.items() if "saved" not in n}) == 1, found
    assert len({i["id"] for n, i in found.items() if "saved" in n}) == 1, found
    assert len(os.listdir(f"{STORE}/layers")) == 6, "three layers, of all of them together"
    for name in ("directory", "saved-piped"):
        assert has(name, "/etc/three") and has(name, "/bin/one") and not has(name, "/etc/two")
        assert inspect(name)["ignored"] == ["volume /v"]


def test_root_file_systems_become_images() -> None:
    raw = tar({"bin/x": b"x" * 5000})
    image("import", "plain", save("a:b.tar", raw))
    image("import", "gz", "-", data=gzip.compress(raw))
    if shutil.which("zstd"):
        image("import", "zst", save("z.zst", subprocess.run(["zstd", "-q"], input=raw, capture_output=True, check=True).stdout))
    os.makedirs(f"{HERE}/tree/bin")
    save("tree/bin/x", b"x" * 5000)
    os.symlink("x", f"{HERE}/tree/bin/link")
    image("import", "tree", f"{HERE}/tree")
    for name in ("plain", "gz", "tree"):
        assert has(name, "/bin/x") and inspect(name)["layers"] == 1 and inspect(name)["cmd"] == []


def test_names_references_and_figures() -> None:
    image("import", "a", layout(f"{HERE}/one", LAYERS[:2]))
    image("import", "b", layout(f"{HERE}/two", LAYERS))
    image("tag", "a", "c")
    lines = image("ls").splitlines()
    assert [l.split()[0] for l in lines if not l.startswith(("NAME", "base"))] == ["a", "b", "c"], lines
    a, b = inspect("a"), inspect("b")
    assert a["shared_bytes"] == b["shared_bytes"] and 0 < int(str(a["shared_bytes"])) < int(str(b["bytes"])), (a, b)
    use = json.loads(image("df", "--json"))
    assert use["images"] == 2 and use["unused_bytes"] == 0 and use["blobs_bytes"] == 0, use
    image("rm", "a", "c", "b")
    assert left() == [], left()
    assert "lacks" not in image("ls")
    assert "docker.io/library/nothing:latest" in image("inspect", "nothing", status=125)
    assert "name" in image("import", "a/b", f"{HERE}/one", status=125)


# --- what goes wrong ------------------------------------------------------------------------------

def test_what_is_refused_leaves_nothing() -> None:
    raw = tar({"f": b"x" * 9000})
    cases = {
        "truncated": raw[:4000], "gzip": gzip.compress(raw)[:60], "noise": random.Random(1).randbytes(20000),
        "escape": tar({"../../etc/x": b"x"}), "bomb": gzip.compress(tar({"f": bytes(700 << 20)})),
    }
    for name, data in cases.items():
        said = image("import", "x", save(name, data), status=125)
        assert said.startswith("conker: import ") and said.count("\n") == 1, said
        assert left() == [], (name, left())
    arm = layout(f"{HERE}/arm", LAYERS, "arm64")
    assert "arm64" in image("import", "x", arm, status=125)
    with open(f"{arm}/blobs/sha256/{sha256(gzip.compress(LAYERS[1], mtime=0))}", "ab") as f:
        f.write(b"x")
    image("import", "x", arm, "--platform", "linux/arm64", status=125)
    assert left() == [], left()


def test_a_disk_that_is_full_leaves_nothing() -> None:
    """At the first byte, within a file, and where metadata and the last files are written."""
    os.makedirs(STORE)
    noise = save("noise.tar", tar({"f": random.Random(2).randbytes(6 << 20)}))
    refused = 0
    for size in (64, 1024, 4096, 6144, *range(6148, 6196, 8)):
        script = f"mount -t tmpfs -o size={size}k none {STORE} && {{ {CONKER} image import x {noise}; s=$?; find {STORE} -type f -o -type l; exit $s; }}"
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False,
                              env={**os.environ, "CONKER_IMAGES": STORE})
        if "unshare" in done.stderr or "mount:" in done.stderr:
            raise rules.Skip("no right to mount a small file system")
        if done.returncode == 0:
            assert f"{STORE}/names/x" in done.stdout, done.stdout
            continue
        assert done.returncode == 125 and "o space left" in done.stderr and not done.stdout, (size, done.returncode, done.stderr, done.stdout)
        refused += 1
    assert 4 <= refused < 10, refused


def slow_test_a_million_entries_and_one_more() -> None:
    """By the bounds that are shipped: no other one is met before, and it takes no minute."""
    def header(i: int) -> bytes:
        raw = bytearray(512)
        raw[0:8] = b"%08x" % i
        raw[100:156] = b"0000644\0" b"0000000\0" b"0000000\0" b"00000000000\0" b"00000000000\0" b"        "
        raw[156:157] = b"0"
        raw[257:265] = b"ustar\x0000"
        raw[148:156] = b"%06o\0 " % sum(raw)
        return bytes(raw)

    for count, status in ((1000001, 125), (999999, 0)):
        with gzip.open(f"{HERE}/many.tgz", "wb", 1) as f:
            for i in range(0, count, 1000):
                f.write(b"".join(header(j) for j in range(i, min(i + 1000, count))))
            f.write(bytes(1024))
        said = image("import", "x", f"{HERE}/many.tgz", status=status)
        assert status == 0 or "more than 1000000 entries" in said and left() == [], (said, left())


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        own = [int(p) for p in f.read().split()]
        return own + [c for p in own for c in children(p)]
    return []


def await_program(run: subprocess.Popen[str]) -> int:
    """Of conker-image, the process that was started first."""
    for _ in range(500):
        for pid in children(run.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                if f.read().strip() == "conker-image":
                    return pid
        time.sleep(0.01)
    raise AssertionError("conker-image does not run")


@contextlib.contextmanager
def waiting_import() -> Iterator[subprocess.Popen[str]]:
    """One whose archive never ends."""
    os.mkfifo(f"{HERE}/fifo")
    hold = os.open(f"{HERE}/fifo", os.O_RDWR)
    run = start("import", "x", f"{HERE}/fifo")
    try:
        yield run
    finally:
        run.kill()
        run.communicate()
        os.close(hold)


def test_a_signal_ends_it_within_a_second() -> None:
    with waiting_import() as run:
        await_program(run)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=10)
        assert time.monotonic() - begun < 1.5
        assert run.returncode == 130 and "interrupted" in err, (run.returncode, err)
        assert left() == [], left()


def test_whatever_is_killed_the_next_one_works() -> None:
    for whom in ("program", "command"):
        with waiting_import() as run:
            pid = await_program(run)
            os.kill(pid if whom == "program" else run.pid, signal.SIGKILL)
            _, err = run.communicate(timeout=10)
            assert run.returncode == (125 if whom == "program" else -9), (run.returncode, err)
        os.unlink(f"{HERE}/fifo")
        for _ in range(100):  # its conker-image may live a moment longer
            image("ls")
            if not left():
                break
            time.sleep(0.05)
        assert left() == [], (whom, left())
    image("import", "x", save("t.tar", tar({"f": b"x"})))
    assert inspect("x")["layers"] == 1


def test_whole_layers_of_an_interrupted_import_are_used_again() -> None:
    big = [LAYERS[0], tar({"f": bytes(200 << 20)})]
    oci = layout(f"{HERE}/oci", big, level=0)
    for attempt in range(20):
        run = start("import", "x", oci)
        kept = f"{STORE}/.work-0/out/{sha256(big[0])}.index"
        while not os.path.exists(kept) and run.poll() is None:
            time.sleep(0.001)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=30)
        if run.returncode == 130 and "1 of 2 layers are here" in err:
            break
        assert run.returncode in (0, 130), (run.returncode, err)
        subprocess.run([CONKER, "image", "rm", "x"], env={**os.environ, "CONKER_IMAGES": STORE}, capture_output=True, check=False)
        subprocess.run([CONKER, "image", "prune", "-a"], env={**os.environ, "CONKER_IMAGES": STORE}, capture_output=True, check=True)
    else:
        raise rules.Skip(f"too fast to be interrupted, {attempt + 1} times")
    assert sorted(left()) == sorted(f"layers/{sha256(big[0])}.{e}" for e in ("data", "index")), left()
    image("import", "x", oci)
    assert inspect("x")["layers"] == 2


def test_two_at_once_of_one_name() -> None:
    one, two = layout(f"{HERE}/one", LAYERS[:2]), layout(f"{HERE}/two", LAYERS)
    for _ in range(5):
        runs = [start("import", "x", p) for p in (one, two, one)]
        for run in runs:
            _, err = run.communicate(timeout=60)
            assert run.returncode == 0, err
        assert inspect("x")["layers"] in (2, 3)
        assert len(os.listdir(f"{STORE}/made")) == 1 and disk("x")


def test_a_terminal_shows_one_line() -> None:
    if not shutil.which("script"):
        raise rules.Skip("no script, which is in the package bsdutils")
    path = save("t.tar", gzip.compress(tar({"f": random.Random(3).randbytes(60 << 20)}), 1))
    done = subprocess.run(["script", "-qec", f"{CONKER} image import x {path}", "/dev/null"], capture_output=True,
                          env={**os.environ, "CONKER_IMAGES": STORE}, check=True)
    assert b"\r\x1b[Kreading x" in done.stdout and done.stdout.endswith(b"\r\x1b[K"), repr(done.stdout[-300:])
    assert b"\n" not in done.stdout, repr(done.stdout)
    assert image("import", "x", path) == "", "no terminal, no progress"


def main() -> int:
    tests: dict[str, object] = dict(globals())
    if os.environ.get("RING", "all") != "test":
        tests.update({name[5:]: test for name, test in globals().items() if name.startswith("slow_test_")})
    return int(rules.run("images", tests, places))


if __name__ == "__main__":
    sys.exit(main())
