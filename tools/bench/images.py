#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""images.py - what images cost: an import beside `zcat | sha256sum` of the same layers, a pull beside `skopeo copy` and
`podman pull`, a second image on the same base, and boxes of images of 2 and 30 layers beside one of the base image.

    tools/bench/images.py [--times N] [--boxes N] [--build DIR] [PART...]      parts: import pull second boxes

Each figure is the median of N runs, that take turns with what they are compared with. Warm: what is read was read just before.
Cold: its pages were dropped (posix_fadvise), which takes no rights and disturbs nobody. A registry is Debian's docker-registry on
127.0.0.1. Boxes are started in the lab, where all kernels are alike. What is not installed is said, and counted as skipped.
"""
from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OCI = "application/vnd.oci.image"
MIB = 1 << 20


class Skip(Exception):
    """With the reason."""


# --- images ---------------------------------------------------------------------------------------

def tar(files: dict[str, bytes | str]) -> bytes:
    """Of programs; a str is where a symbolic link leads."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            t.addfile(info, io.BytesIO(b"" if isinstance(data, str) else data))
    return raw.getvalue()


class Layer:
    """As it lies in a layout: compressed, with both of its digests."""

    def __init__(self, raw: bytes) -> None:
        self.data, self.diff_id = gzip.compress(raw, 6, mtime=0), hashlib.sha256(raw).hexdigest()


def layout(path: str, layers: list[Layer]) -> str:
    """An OCI layout with the tag x."""
    os.makedirs(f"{path}/blobs/sha256")

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{path}/blobs/sha256/{digest}", "wb") as f:
            f.write(data)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/true"]}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{l.diff_id}" for l in layers]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": blob(config, "config.v1+json"),
                           "layers": [blob(l.data, "layer.v1.tar+gzip") for l in layers]}).encode()
    index = {"schemaVersion": 2, "manifests": [{**blob(manifest, "manifest.v1+json"),
                                                "annotations": {"org.opencontainers.image.ref.name": "x"}}]}
    for name, what in {"index.json": index, "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
        with open(f"{path}/{name}", "w", encoding="utf-8") as f:
            json.dump(what, f)
    return path


# --- measuring ------------------------------------------------------------------------------------

class Bench:
    """Where it all lies, and what was said."""

    def __init__(self, top: str, args: argparse.Namespace) -> None:
        self.top, self.times, self.boxes, self.build = top, args.times, args.boxes, os.path.abspath(args.build)
        self.env = {**os.environ, "XDG_RUNTIME_DIR": f"{top}/run", "CONKER_REGISTRIES_CONF": f"{top}/registries.conf"}
        os.mkdir(f"{top}/run", 0o700)
        self.skipped = 0
        self.serial = 0

    def fresh(self) -> str:
        self.serial += 1
        return f"{self.top}/{self.serial}"

    def run(self, *argv: str, **env: str) -> float:
        """Seconds."""
        began = time.monotonic()
        done = subprocess.run(argv, env={**self.env, **env}, capture_output=True, text=True, errors="replace", check=False)
        took = time.monotonic() - began
        if done.returncode:
            raise Skip(f"{os.path.basename(argv[0])} {argv[1]}: {(done.stderr or done.stdout).strip()[-300:]}")
        return took

    def image(self, store: str, *args: str) -> float:
        return self.run(f"{self.build}/conker", "image", *args, CONKER_IMAGES=store)

    def skip(self, what: str, why: object) -> None:
        self.skipped += 1
        print(f"  skipped: {what}: {why}", flush=True)


def temperature(path: str, cold: bool) -> None:
    """Of all files below it."""
    for folder, _, names in os.walk(path):
        for name in names:
            with open(f"{folder}/{name}", "rb") as f:
                if cold:
                    os.fsync(f.fileno())
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                else:
                    while f.read(MIB):
                        pass


def in_turns(times: int, *measured: Callable[[], float]) -> list[float]:
    """The medians."""
    found: list[list[float]] = [[] for _ in measured]
    for _ in range(times):
        for samples, measure in zip(found, measured):
            samples.append(measure())
    return [statistics.median(s) for s in found]


def row(what: str, figure: str, ratio: str = "", goal: str = "") -> None:
    print(f"  {what:<58} {figure:>12} {ratio:>7}  {goal}".rstrip(), flush=True)


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def on_disk(path: str) -> int:
    return sum(os.lstat(f"{d}/{n}").st_blocks * 512 for d, dirs, files in os.walk(path) for n in dirs + files)


class Peak(threading.Thread):
    """The highest resident memory of a process and all below it: the sum of each one's own peak, as often looked at as it gets."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peaks, self.over = pid, dict[int, int](), False

    def look(self, pid: int) -> None:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as f:
            if found := re.search(r"VmHWM:\s+(\d+)", f.read()):
                self.peaks[pid] = max(self.peaks.get(pid, 0), int(found[1]) << 10)
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in f.read().split():
                self.look(int(child))

    def run(self) -> None:
        while not self.over:
            self.look(self.pid)
            time.sleep(0.002)


# --- parts ----------------------------------------------------------------------------------------

def zcat_sha256(bench: Bench, oci: str) -> float:
    blobs = " ".join(f"'{oci}/blobs/sha256/{b}'" for b in os.listdir(f"{oci}/blobs/sha256")
                     if os.path.getsize(f"{oci}/blobs/sha256/{b}") > 100000)
    return bench.run("sh", "-c", f"for b in {blobs}; do zcat <$b | sha256sum; done")


def part_import(bench: Bench, oci: str) -> None:
    """Import: at most 1.2 times `zcat | sha256sum`, and 64 MiB."""
    for cold in (False, True):
        stores: list[str] = []

        def imported() -> float:
            temperature(oci, cold)
            stores.append(bench.fresh())
            return bench.image(stores[-1], "import", "x", oci)

        def hashed() -> float:
            temperature(oci, cold)
            return zcat_sha256(bench, oci)

        ours, theirs = in_turns(bench.times, imported, hashed)
        for store in stores:
            shutil.rmtree(store)
        page_cache = "cold" if cold else "warm"
        row(f"zcat | sha256sum, {page_cache}", f"{theirs:.2f} s")
        row(f"conker image import, {page_cache}", f"{ours:.2f} s", times(ours / theirs), "goal: 1.2")
    store = bench.fresh()
    process = subprocess.Popen([f"{bench.build}/conker", "image", "import", "x", oci], env={**bench.env, "CONKER_IMAGES": store})
    peak = Peak(process.pid)
    peak.start()
    process.wait()
    peak.over = True
    peak.join()
    row("memory, peaks of all its processes together", f"{sum(peak.peaks.values()) / MIB:.1f} MiB", "", "goal: 64 MiB")
    shutil.rmtree(store)


@contextlib.contextmanager
def registry(bench: Bench) -> Iterator[str]:
    for program in ("skopeo", "docker-registry"):
        if not shutil.which(program):
            raise Skip(f"no {program}")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{s.getsockname()[1]}"
    with open(f"{bench.top}/registry.yml", "w", encoding="utf-8") as f:
        f.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {bench.top}/registry}}}}\n"
                f"http: {{addr: '{host}'}}\n")
    with open(f"{bench.top}/registries.conf", "w", encoding="utf-8") as f:
        f.write(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    with open(f"{bench.top}/registry.log", "w", encoding="utf-8") as log, \
            subprocess.Popen(["docker-registry", "serve", f"{bench.top}/registry.yml"], stdout=log, stderr=log) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection((host.split(":")[0], int(host.split(":")[1])), 1):
                    break
                time.sleep(0.05)
            yield host
        finally:
            process.kill()


def podman_pull(bench: Bench, ref: str) -> Callable[[], float]:
    if not shutil.which("podman"):
        raise Skip("it is not installed")

    def pull() -> float:
        root = bench.fresh()
        store = ["podman", "--root", root, "--runroot", f"{root}-run"]
        try:
            return bench.run(*store, "pull", "-q", "--tls-verify=false", ref)
        finally:
            subprocess.run([*store, "rmi", "-af"], env=bench.env, capture_output=True, check=False)
            shutil.rmtree(root, ignore_errors=True)
            shutil.rmtree(f"{root}-run", ignore_errors=True)
    pull()  # whether it can
    return pull


def part_pull(bench: Bench, oci: str, more: str) -> None:
    """Pull: at most 1.1 times skopeo and import alone, and faster than podman."""
    with registry(bench) as host:
        ref = f"{host}/debian:python"
        for what, path in (("python", oci), ("more", more)):
            bench.run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{path}:x", f"docker://{host}/debian:{what}")
        podman = None
        try:
            podman = podman_pull(bench, ref)
        except Skip as e:
            bench.skip("podman pull", e)
        for cold in (False, True):
            used: list[str] = []

            def fresh() -> str:
                temperature(f"{bench.top}/registry", cold)
                used.append(bench.fresh())
                return used[-1]

            def pulled() -> float:
                return bench.image(fresh(), "pull", "-q", ref)

            def copied() -> float:
                return bench.run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{ref}", f"oci:{fresh()}:x")

            def imported() -> float:
                last = used[-1]
                temperature(last, cold)
                used.append(bench.fresh())
                return bench.image(used[-1], "import", "x", last)

            def by_podman() -> float:
                temperature(f"{bench.top}/registry", cold)
                return podman() if podman else 0

            ours, copy, alone, theirs = in_turns(bench.times, pulled, copied, imported, by_podman)
            page_cache = "cold" if cold else "warm"
            row(f"skopeo copy alone, and import of that, {page_cache}", f"{copy:.2f} + {alone:.2f} s")
            row(f"conker image pull, {page_cache}", f"{ours:.2f} s", times(ours / (copy + alone)), "goal: 1.1")
            if podman:
                row(f"podman pull, {page_cache}", f"{theirs:.2f} s", times(ours / theirs), "ours to it; goal: below 1")
            for path in used:
                shutil.rmtree(path)
        store = bench.fresh()
        first = bench.image(store, "pull", "-q", ref)
        row("pull of a second image on the same base", f"{bench.image(store, 'pull', '-q', f'{host}/debian:more'):.2f} s",
            "", f"the first: {first:.2f} s")
        shutil.rmtree(store)


def part_second(bench: Bench, oci: str, more: str, own: str) -> None:
    """Second image on the same base: its own layer alone."""
    alone, second, added, own_bytes = [], [], [], []
    for _ in range(bench.times):
        one, two = bench.fresh(), bench.fresh()
        bench.image(one, "import", "x", oci)
        before = on_disk(one)
        second.append(bench.image(one, "import", "y", more))
        added.append(on_disk(one) - before)
        alone.append(bench.image(two, "import", "x", own))
        own_bytes.append(on_disk(two))
        shutil.rmtree(one)
        shutil.rmtree(two)
    row("an image of that layer alone: time", f"{statistics.median(alone):.3f} s")
    row("second image: time", f"{statistics.median(second):.3f} s", times(statistics.median(second) / statistics.median(alone)))
    row("an image of that layer alone: bytes on disk", f"{own_bytes[-1] / MIB:.2f} MiB")
    row("second image: bytes on disk", f"{added[-1] / MIB:.2f} MiB", "", "metadata of the whole tree is its own")


def part_boxes(bench: Bench) -> None:
    """Boxes, in the lab: within 5 % of one of the base image, whatever the layers."""
    with open("/bin/busybox", "rb") as f:
        busybox = f.read()
    first = Layer(tar({"bin/busybox": busybox, "bin/sh": "busybox", "bin/true": "busybox", "etc/passwd": b"root:x:0:0::/:/bin/sh\n"}))
    rest = [Layer(tar({f"layer-{i}/file": bytes([i]) * 20000})) for i in range(29)]
    store, kinds = bench.fresh(), {"base": 0, "two": 2, "thirty": 30}
    for name, n in kinds.items():
        if n:
            bench.image(store, "import", name, layout(bench.fresh(), [first, *rest[:n - 1]]))
    script = (f"for i in $(seq {bench.boxes}); do for image in {' '.join(kinds)}; do "
              "echo image $image; conker run --timing --image $image -- /bin/true 2>&1 || exit; done; done")
    done = subprocess.run([f"{TOP}/tools/lab/lab", "--smp", "2", "--memory", "2048", "--add", f"{store}:images", "--", "env",
                           "XDG_RUNTIME_DIR=/tmp", "CONKER_IMAGES=/images", "sh", "-c", script],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"the lab: {(done.stdout + done.stderr).strip()[-400:]}")
    serving: dict[str, list[float]] = {name: [] for name in kinds}
    for name, text in re.findall(r"^image (\w+)\n((?:(?!image ).*\n)*)", done.stdout, re.M):
        steps = dict(re.findall(r"(start|set-up|boot) +([0-9.]+) ms", text))
        serving[name].append(sum(float(steps[s]) for s in ("start", "set-up", "boot")))
    base = statistics.median(serving["base"])
    row("the base image: spawn to init serving", f"{base:.0f} ms")
    for name, n in kinds.items():
        if n:
            row(f"an image of {n} layers", f"{statistics.median(serving[name]):.0f} ms",
                times(statistics.median(serving[name]) / base), "goal: 1.05")


# --- all of it ------------------------------------------------------------------------------------

def host() -> str:
    kind = "none" if not os.path.exists("/dev/kvm") else "pvm" if os.path.exists("/sys/module/kvm_pvm") else "hw"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return f"{kind}, {os.cpu_count()} CPUs, {model[1] if model else 'a CPU'}; load {os.getloadavg()[0]:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, metavar="N", help="runs of each (5)")
    parser.add_argument("--boxes", type=int, default=15, metavar="N", help="boxes of each image (15)")
    parser.add_argument("--build", default=f"{TOP}/build", metavar="DIR")
    parser.add_argument("parts", nargs="*", metavar="PART", help="import, pull, second, boxes (all)")
    args = parser.parse_args()
    parts = args.parts or ["import", "pull", "second", "boxes"]
    with tempfile.TemporaryDirectory(prefix="conker-bench-images-") as top:
        bench = Bench(top, args)
        with open(f"{args.build}/images/python.tar", "rb") as f:
            base = Layer(f.read())
        more = Layer(tar({"srv/program": os.urandom(2 * MIB)}))
        oci = layout(f"{top}/python", [base])
        on_it, own = layout(f"{top}/more", [base, more]), layout(f"{top}/own", [more])
        print(f"host: {host()}\nimage: Debian with python3, one layer, {len(base.data) / MIB:.0f} MiB by gzip; "
              f"a second layer of {len(more.data) / MIB:.0f} MiB; medians of {args.times}, boxes of {args.boxes}")
        calls: dict[str, Callable[[], None]] = {
            "import": lambda: part_import(bench, oci), "pull": lambda: part_pull(bench, oci, on_it),
            "second": lambda: part_second(bench, oci, on_it, own), "boxes": lambda: part_boxes(bench)}
        docs = {"import": part_import, "pull": part_pull, "second": part_second, "boxes": part_boxes}
        for part in parts:
            print(docs[part].__doc__, flush=True)
            try:
                calls[part]()
            except Skip as e:
                bench.skip(part, e)
        print(f"host afterwards: {host()}; {bench.skipped} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
