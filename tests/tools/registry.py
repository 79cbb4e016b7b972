#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""registry.py - fetch(), through skopeo, from registries on 127.0.0.1.

Debian's docker-registry serves one storage three times: plain, with passwords, with TLS. A registry of a few lines, here, is slow,
silent or wrong, as a test wants it. build/tests/tools/fetch calls fetch(); what it leaves is looked at byte by byte, and conker-image makes an
image of it. Nothing outside of a temporary directory is touched, but for skopeo's own cache.
"""
from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", f"{TOP}/build")
RING = os.environ.get("RING", "all")
PROGRAM = f"{BUILD}/tests/tools/fetch"
NEEDED = {"skopeo": "skopeo", "docker-registry": "docker-registry", "htpasswd": "apache2-utils", "openssl": "openssl"}

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
TYPES = {
    "oci": (f"{OCI}.manifest.v1+json", f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip"),
    "docker": (f"{DOCKER}.distribution.manifest.v2+json", f"{DOCKER}.container.image.v1+json",
               f"{DOCKER}.image.rootfs.diff.tar.gzip"),
}


# --- images ---------------------------------------------------------------------------------------

def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(name: str, size: int) -> bytes:
    """A tar with a file that does not compress, the same for the same arguments."""
    raw, data = io.BytesIO(), random.Random(f"{name} {size}").randbytes(size)
    with tarfile.open(fileobj=raw, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


@dataclass
class Image:
    """Documents and blobs by their digests."""
    manifest: bytes = b""
    kind: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)  # configuration and layers
    layers: list[str] = field(default_factory=list)
    of: list["Image"] = field(default_factory=list)  # an index

    @property
    def hex(self) -> str:
        return sha256(self.manifest)

    def put(self, data: bytes, kind: str) -> dict[str, object]:
        self.blobs[sha256(data)] = data
        return {"mediaType": kind, "digest": f"sha256:{sha256(data)}", "size": len(data)}


def image(*layers: bytes, arch: str = "amd64", types: str = "oci", gz: bool = True) -> Image:
    manifest_type, config_type, layer_type = TYPES[types]
    made = Image(kind=manifest_type)
    descriptors = []
    for raw in layers:
        data = gzip.compress(raw, 1, mtime=0) if gz else raw
        made.layers.append(sha256(data))
        descriptors.append(made.put(data, layer_type if gz else layer_type[:-5]))
    # As docker writes it, and as nobody who decodes and encodes it would.
    config = json.dumps({"os": "linux", "config": {"Cmd": ["/x"]}, "architecture": arch, "x-own": 1, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{sha256(raw)}" for raw in layers]}}).encode()
    made.manifest = json.dumps({"schemaVersion": 2, "mediaType": manifest_type, "config": made.put(config, config_type),
                                "layers": descriptors}).encode()
    return made


def index(images: dict[str, Image]) -> Image:
    """By architecture."""
    kind = f"{OCI}.index.v1+json"
    entries = [{"mediaType": i.kind, "digest": f"sha256:{i.hex}", "size": len(i.manifest),
                "platform": {"os": "linux", "architecture": arch}} for arch, i in images.items()]
    return Image(json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode(), kind, of=list(images.values()))


# --- registries -----------------------------------------------------------------------------------

def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Registry:
    """A docker-registry."""

    def __init__(self, top: str, name: str, more: str = "") -> None:
        self.port = free_port()
        self.host, self.log_path = f"127.0.0.1:{self.port}", f"{top}/{name}.log"
        with open(f"{top}/{name}.yml", "w", encoding="utf-8") as f:
            f.write(f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {top}/storage}}}}\n"
                    f"http: {{addr: '{self.host}'{more}\n")
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", f"{top}/{name}.yml"], stdout=log, stderr=log)

    def wait(self) -> None:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise rules.Skip("docker-registry does not start")

    def asked(self) -> list[str]:
        with open(self.log_path, encoding="utf-8") as f:
            return re.findall(r'"GET /v2/(\S+) HTTP', f.read())

    def request(self, method: str, path: str, data: bytes | None = None, kind: str = "application/octet-stream") -> str:
        url = path if path.startswith("http") else f"http://{self.host}/v2/{path}"
        r = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(r, timeout=20) as answer:
            return str(answer.headers.get("Location", ""))

    def push(self, name: str, tag: str, what: Image) -> None:
        for one in what.of:
            self.push(name, f"sha256:{one.hex}", one)
        for digest, data in what.blobs.items():
            to = self.request("POST", f"{name}/blobs/uploads/", b"")
            self.request("PUT", f"{to}{'&' if '?' in to else '?'}digest=sha256:{digest}", data)
        self.request("PUT", f"{name}/manifests/{tag}", what.manifest, what.kind)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Odd(http.server.ThreadingHTTPServer):
    """A registry of one image, which is slow or wrong when a test says so."""
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, what: Image) -> None:
        self.what, self.requests = what, list[str]()
        self.rate = 0  # bytes a second; 0: as fast as it gets
        self.stops: dict[str, int] = {}  # a digest, or a short path: after how many bytes no more of it comes
        self.answers: dict[str, tuple[int, bytes]] = {}  # what the path ends with: status and body
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), OddHandler)
        self.host = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def blobs_asked(self) -> list[str]:
        return [r.rsplit(":", 1)[1] for r in self.requests if "/blobs/" in r]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is what tests are about."""


class OddHandler(http.server.BaseHTTPRequestHandler):
    server: Odd

    def log_message(self, format: str, *args: object) -> None:  # pylint: disable=redefined-builtin
        """Nothing."""

    def body(self) -> tuple[int, bytes, str]:
        for end, (status, data) in self.server.answers.items():
            if self.path.endswith(end):
                return status, data, "application/json"
        if "/manifests/" in self.path:
            for one in (self.server.what, *self.server.what.of):
                if not self.path.split("/")[-1].startswith("sha256:") or self.path.endswith(one.hex):
                    return 200, one.manifest, one.kind
        for one in (self.server.what, *self.server.what.of):
            if self.path[-64:] in one.blobs:
                return 200, one.blobs[self.path[-64:]], "application/octet-stream"
        return (200, b"{}", "application/json") if self.path == "/v2/" else (404, b"", "")

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        status, data, kind = self.body()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        stop, step = self.server.stops.get(self.path[-64:], -1), 65536
        for at in range(0, len(data), step):
            if 0 <= stop <= at:
                self.server.over.wait()
                return
            self.wfile.write(data[at:at + step])
            if self.server.rate:
                self.server.over.wait(step / self.server.rate)


@contextlib.contextmanager
def odd(what: Image) -> Iterator[Odd]:
    server = Odd(what)
    try:
        configure(server.host)
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        configure()


# --- the world of the tests -----------------------------------------------------------------------

class World:
    """What all tests share: registries, and the images in them."""
    top: str
    plain: Registry
    locked: Registry
    tls: Registry
    base = layer("base", 300000)
    small = image(base, layer("a", 5000))
    other = image(base, layer("b", 6000))
    docker = image(base, layer("c", 7000), types="docker")
    whole = image(base, gz=False)
    many = index({"amd64": small, "arm64": image(layer("d", 8000), arch="arm64")})


W = World()


def configure(*more: str) -> None:
    """registries.conf: what may be plain http, and a mirror."""
    with open(f"{W.top}/registries.conf", "w", encoding="utf-8") as f:
        for host in (W.plain.host, W.locked.host, *more):
            f.write(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        f.write(f'[[registry]]\nprefix = "mirrored.invalid"\nlocation = "mirrored.invalid"\n'
                f'[[registry.mirror]]\nlocation = "{W.plain.host}"\ninsecure = true\n')


@contextlib.contextmanager
def world() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="conker-registry-") as top:
        W.top = top
        for name in ("storage", "home", "run"):
            os.mkdir(f"{top}/{name}", 0o700)
        with open(f"{top}/passwords", "w", encoding="utf-8") as f:
            subprocess.run(["htpasswd", "-nbB", "user", "right"], stdout=f, check=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "99",
                        "-keyout", f"{top}/key.pem", "-out", f"{top}/cert.pem", "-subj", "/CN=conker",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        W.plain = Registry(top, "plain", "}")
        W.locked = Registry(top, "locked", f"}}\nauth: {{htpasswd: {{realm: x, path: {top}/passwords}}}}")
        W.tls = Registry(top, "tls", f", tls: {{certificate: {top}/cert.pem, key: {top}/key.pem}}}}")
        try:
            for registry in (W.plain, W.locked, W.tls):
                registry.wait()
            configure()
            for name in ("small", "other", "docker", "whole", "many"):
                W.plain.push(f"t/{name}", "1", getattr(W, name))
            yield
        finally:
            for registry in (W.plain, W.locked, W.tls):
                registry.stop()


@dataclass
class Fetched:
    """A run of the program."""
    store: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def end(self, timeout_s: float = 60) -> "Fetched":
        out, err = self.process.communicate(timeout=timeout_s)
        self.lines += out.splitlines()
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return self

    @property
    def verdict(self) -> str:
        return self.lines[-1].split()[0]

    @property
    def layout(self) -> str:
        return f"{self.store}/{self.lines[0]}/layout"

    def progress(self) -> list[tuple[int, int, int]]:
        found = [re.fullmatch(r"(\d) (\d+) (\d+)", l) for l in self.lines]
        return [(int(m[1]), int(m[2]), int(m[3])) for m in found if m]

    def refused(self, verdict: str, words: str = "") -> None:
        assert self.verdict == verdict and words in self.lines[-1], self.lines[-1]
        whole(self.store)

    def fetched(self, what: Image) -> None:
        """All of it is there, and an image can be made of it."""
        assert self.verdict == "ok", self.lines[-1]
        with open(f"{self.layout}/index.json", encoding="utf-8") as f:
            manifests = json.load(f)["manifests"]
        assert [(m["digest"], m["size"]) for m in manifests] == [(f"sha256:{what.hex}", len(what.manifest))], manifests
        for digest in (what.hex, *what.blobs):
            for path in (f"{self.layout}/blobs/sha256/{digest}", f"{self.store}/blobs/sha256/{digest}"):
                with open(path, "rb") as blob:
                    assert sha256(blob.read()) == digest, path
        whole(self.store)
        with tempfile.TemporaryDirectory(dir=W.top) as out:
            fds = [os.open(out, os.O_RDONLY), os.open(self.layout, os.O_RDONLY)]
            arch = json.loads(next(d for d in what.blobs.values() if d.startswith(b"{")))["architecture"]
            made = subprocess.run([f"{BUILD}/conker-image", "--work-fd", str(fds[0]), "--input-fd", str(fds[1]), "--platform",
                                   f"linux/{arch}"], pass_fds=fds, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
            with open(f"{out}/manifest", encoding="utf-8") as text:
                assert f"\nmanifest={what.hex}\n" in text.read()
            for fd in fds:
                os.close(fd)

    def interrupt(self) -> "Fetched":
        """As from the keyboard. It ends within a second; here a machine may be busy."""
        self.process.send_signal(signal.SIGINT)
        return self.end(10)

    def until(self, happens: Callable[[], bool]) -> "Fetched":
        for _ in range(1000):
            if happens():
                return self
            assert self.process.poll() is None, self.end().lines
            time.sleep(0.02)
        raise AssertionError("it does not happen")


def whole(store: str) -> None:
    """No blob of the store is less than its name says, and nothing else is there."""
    found = f"{store}/blobs/sha256"
    for name in os.listdir(found) if os.path.isdir(found) else []:
        with open(f"{found}/{name}", "rb") as blob:
            assert sha256(blob.read()) == name, name


@contextlib.contextmanager
def a_store() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=W.top) as store:
        yield store


def start(store: str, ref: str, platform: str = "", prefix: list[str] | None = None, more: dict[str, str] | None = None,
          **env: str) -> Fetched:
    given = {"HOME": f"{W.top}/home", "XDG_RUNTIME_DIR": f"{W.top}/run", "CONKER_REGISTRIES_CONF": f"{W.top}/registries.conf",
             "CONKER_IMAGE_PROGRAM": f"{BUILD}/conker-image", "PATH": os.environ["PATH"], **(more or {}), **env}
    return Fetched(store, subprocess.Popen([*(prefix or []), PROGRAM, store, ref, *([platform] if platform else [])], env=given,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def fetch(store: str, ref: str, platform: str = "", prefix: list[str] | None = None, more: dict[str, str] | None = None,
          **env: str) -> Fetched:
    return start(store, ref, platform, prefix, more, **env).end()


def below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
            parents[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [p for p, parent in parents.items() if parent == one]
    return found[1:]


def skopeo_of(run: Fetched) -> int:
    """Its process, or 0."""
    for pid in below(run.process.pid):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe").endswith("/skopeo"):
                return pid
    return 0


# --- what is fetched ------------------------------------------------------------------------------

def test_what_is_here_is_not_fetched_again() -> None:
    with a_store() as store:
        first = fetch(store, f"{W.plain.host}/t/small:1")
        first.fetched(W.small)
        total = sum(map(len, W.small.blobs.values()))
        assert first.progress()[-1] == (1, total, total), first.lines
        before = len(W.plain.asked())
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)
        assert [a for a in W.plain.asked()[before:] if a] == ["t/small/manifests/1"], W.plain.asked()[before:]


def test_a_layer_that_another_image_has_too_is_fetched_once() -> None:
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)
        before = len(W.plain.asked())
        fetch(store, f"{W.plain.host}/t/other:1").fetched(W.other)
        asked = " ".join(W.plain.asked()[before:])
        assert W.other.layers[1] in asked and W.other.layers[0] not in asked, asked


def test_an_image_of_docker_keeps_its_manifest_and_its_configuration() -> None:
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/docker:1").fetched(W.docker)
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/docker@sha256:{W.docker.hex}").fetched(W.docker)


def test_layers_without_compression_stay_as_they_are() -> None:
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/whole:1").fetched(W.whole)


def test_layers_of_zstd_stay_as_they_are() -> None:
    if not shutil.which("zstd"):
        raise rules.Skip("no zstd")
    raw = layer("z", 50000)
    data = subprocess.run(["zstd", "-q", "-c"], input=raw, stdout=subprocess.PIPE, check=True).stdout
    text, made = json.loads(image(raw).manifest), Image(kind=TYPES["oci"][0])
    text["layers"] = [made.put(data, f"{OCI}.layer.v1.tar+zstd")]
    made.blobs.update({d: b for d, b in image(raw).blobs.items() if b.startswith(b"{")})
    made.manifest = json.dumps(text).encode()
    with a_store() as store, odd(made) as server:
        fetch(store, f"{server.host}/x:1").fetched(made)


def test_what_the_store_has_is_not_written_to() -> None:
    """Somebody else may be reading it."""
    def files(store: str) -> dict[str, tuple[int, int]]:
        found = {e.name: e.stat() for e in os.scandir(f"{store}/blobs/sha256")}
        return {name: (st.st_ino, st.st_mtime_ns) for name, st in found.items()}

    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)
        os.unlink(f"{store}/blobs/sha256/{W.small.layers[1]}")
        before = files(store)
        fetch(store, f"{W.plain.host}/t/small@sha256:{W.small.hex}").fetched(W.small)
        after = files(store)
        assert W.small.hex in before and {name: after[name] for name in before} == before


def test_an_index_leads_to_the_platform() -> None:
    with a_store() as store:
        ref = f"{W.plain.host}/t/many:1"
        fetch(store, ref).fetched(W.small)
        fetch(store, ref, "linux/arm64").fetched(W.many.of[1])
        fetch(store, ref, "linux/s390x").refused("ENOEXEC", "linux/s390x is not among the image's platforms: linux/amd64, linux/arm64")


def test_a_digest_that_is_here_needs_no_registry() -> None:
    with a_store() as store, odd(W.many) as server:
        ref = f"{server.host}/x@sha256:{W.many.hex}"
        fetch(store, ref).fetched(W.small)
        asked = len(server.requests)
        fetch(store, ref).fetched(W.small)
        assert len(server.requests) == asked


def test_offline_a_digest_is_found_and_a_tag_is_told() -> None:
    with a_store() as store:
        with odd(W.docker) as server:
            host = server.host
            fetch(store, f"{host}/x:1").fetched(W.docker)
        configure(host)
        fetch(store, f"{host}/x:tag-is-dropped@sha256:{W.docker.hex}").fetched(W.docker)
        started = time.monotonic()
        fetch(store, f"{host}/x:1").refused("ECONNREFUSED", "no registry answers")
        assert time.monotonic() - started < 5
        configure()


def test_a_blob_that_a_crash_cut_off_is_fetched_again() -> None:
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)
        for digest in (W.small.layers[0], W.small.hex):
            os.truncate(f"{store}/blobs/sha256/{digest}", 100)
        fetch(store, f"{W.plain.host}/t/small@sha256:{W.small.hex}").fetched(W.small)


def test_what_is_distrusted_is_fetched_again() -> None:
    with a_store() as store:
        assert fetch(store, f"{W.plain.host}/t/small:1", DISTRUST="1").verdict == "ok"
        assert os.listdir(f"{store}/blobs/sha256") == []
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)


def test_two_at_once() -> None:
    with a_store() as store:
        runs = [start(store, f"{W.plain.host}/t/{name}:1") for name in ("small", "small", "other", "docker")]
        for run, what in zip(runs, (W.small, W.small, W.other, W.docker)):
            run.end().fetched(what)


def test_a_store_with_an_odd_name() -> None:
    with a_store() as top:
        store = f"{top}/a b:c@d'e\"f"
        os.mkdir(store)
        fetch(store, f"{W.plain.host}/t/small:1").fetched(W.small)


# --- who may --------------------------------------------------------------------------------------

def auth_file(path: str, password: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        code = base64.b64encode(f"user:{password}".encode()).decode()
        json.dump({"auths": {W.locked.host: {"auth": code}}}, f)


def test_credentials_of_the_caller() -> None:
    with a_store() as store:
        ref = f"{W.locked.host}/t/small:1"
        fetch(store, ref).refused("EACCES", "credentials are missing or wrong; log in with skopeo, podman or docker login, or give --creds")
        fetch(store, ref, CREDS="user:wrong").refused("EACCES", "credentials are missing or wrong")
        fetch(store, ref, CREDS="user").refused("EINVAL", "USER:PASSWORD")
        fetch(store, ref, CREDS="user:right").fetched(W.small)


def test_credentials_of_docker_and_podman() -> None:
    with a_store() as top:
        auth_file(f"{top}/podman/auth.json", "right")
        auth_file(f"{top}/docker/config.json", "right")
        auth_file(f"{top}/home/.docker/config.json", "right")
        auth_file(f"{top}/run/containers/auth.json", "right")
        for env in ({"REGISTRY_AUTH_FILE": f"{top}/podman/auth.json"}, {"HOME": f"{top}/home"},
                    {"DOCKER_CONFIG": f"{top}/docker"}, {"XDG_RUNTIME_DIR": f"{top}/run"}):
            with a_store() as store:
                got = fetch(store, f"{W.locked.host}/t/small:1", more=env)
                assert got.verdict == "ok", (env, got.lines)


def test_a_secret_is_in_no_argument_and_in_no_file_of_others() -> None:
    secret = "dont-tell-anybody"
    with a_store() as store, odd(W.small) as server:
        server.stops = {W.small.layers[0]: 65536}
        run = start(store, f"{server.host}/x:1", CREDS=f"user:{secret}").until(lambda: len(server.blobs_asked()) > 0)
        pids = below(run.process.pid)
        assert skopeo_of(run) in pids
        code = base64.b64encode(f"user:{secret}".encode()).decode()
        for pid in pids:
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as f:
                    text = f.read()
                assert (secret not in text or name == "environ" and pid != skopeo_of(run)) and code not in text, (pid, name)
        held = f"/proc/{skopeo_of(run)}/fd/4"
        assert os.stat(held).st_mode & 0o777 == 0o600
        with open(held, encoding="utf-8") as f:
            assert code in f.read()
        for folder, _, names in os.walk(store):
            for name in names:
                with open(f"{folder}/{name}", "rb") as blob:
                    assert code.encode() not in blob.read(), name
        run.interrupt().refused("EINTR", "interrupted")


def test_a_certificate_has_to_be_known() -> None:
    with a_store() as store:
        ref = f"{W.tls.host}/t/small:1"
        fetch(store, ref).refused("EPROTO", "the registry's certificate is not trusted")
        fetch(store, ref, SSL_CERT_FILE=f"{W.top}/cert.pem").fetched(W.small)


def test_plain_http_has_to_be_allowed() -> None:
    with a_store() as store:
        empty = f"{store}/empty.conf"
        with open(empty, "w", encoding="utf-8"):
            pass
        fetch(store, f"{W.plain.host}/t/small:1", CONKER_REGISTRIES_CONF=empty).refused("EPROTO", "the registry speaks plain http")
        fetch(store, f"{W.plain.host}/t/small:1", CONKER_REGISTRIES_CONF="/none").refused("EINVAL", "the configuration of registries is wrong")


def test_a_mirror_is_asked() -> None:
    with a_store() as store:
        fetch(store, "mirrored.invalid/t/small:1").fetched(W.small)
        fetch(store, f"mirrored.invalid/t/other@sha256:{W.other.hex}").fetched(W.other)


# --- what goes wrong ------------------------------------------------------------------------------

def test_what_is_not_there() -> None:
    with a_store() as store:
        fetch(store, f"{W.plain.host}/t/small:none").refused("ENOENT", "the registry has no such image")
        fetch(store, f"{W.plain.host}/none/none:1").refused("ENOENT", "the registry has no such")
        fetch(store, f"{W.plain.host}/t/small@sha256:{'0' * 64}").refused("ENOENT", "the registry has no such image")
        fetch(store, f"127.0.0.1:{free_port()}/x:1").refused("ECONNREFUSED", "no registry answers")
        fetch(store, "Upper/x").refused("EINVAL", "upper case")
        assert fetch(store, "nowhere.invalid/x:1").verdict in ("ENETUNREACH", "ETIMEDOUT")


def error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": "said by the registry \x1b[2J"}]}).encode()


def test_what_a_registry_may_answer() -> None:
    with a_store() as store, odd(W.small) as server:
        for status, code, verdict in ((429, "TOOMANYREQUESTS", "EAGAIN"), (403, "DENIED", "EACCES"), (401, "UNAUTHORIZED", "EACCES"),
                                      (404, "NAME_UNKNOWN", "ENOENT"), (500, "UNKNOWN", "EIO"), (200, "", "EBADMSG")):
            server.answers = {"/manifests/1": (status, error(code))}
            got = fetch(store, f"{server.host}/x:1")
            got.refused(verdict)
            assert "\x1b" not in got.lines[-1]
        for body in (b"", b"[", b"{}", b'{"layers":[],"config":7}', b"\0" * 100, b"[" * 100000):
            server.answers = {"/manifests/1": (200, body)}
            got = fetch(store, f"{server.host}/x:1")
            assert got.verdict in ("EBADMSG", "EOPNOTSUPP"), got.lines
            got.refused(got.verdict)
        server.answers = {"/manifests/1": (200, b" " * (5 << 20))}
        fetch(store, f"{server.host}/x:1").refused("EFBIG", "more than 4 MiB")
        assert server.blobs_asked() == []


def test_a_blob_that_is_not_what_its_digest_says() -> None:
    with a_store() as store, odd(W.small) as server:
        bad = W.small.blobs[W.small.layers[1]][:-1] + b"x"
        for status, body, verdict in ((200, bad, "EBADMSG"), (200, bad[:-100], "EBADMSG"), (200, bad + b"more", "EBADMSG"),
                                      (404, b"", "EBADMSG"), (403, b"", "EACCES"), (500, b"", "EIO")):
            server.answers = {W.small.layers[1]: (status, body)}
            fetch(store, f"{server.host}/x:1").refused(verdict)
            assert W.small.layers[1] not in os.listdir(f"{store}/blobs/sha256")
        server.answers = {f"/manifests/sha256:{W.small.hex}": (200, W.other.manifest)}
        with a_store() as another:
            got = fetch(another, f"{server.host}/x@sha256:{W.small.hex}")
            assert got.verdict != "ok", got.lines
            got.refused(got.verdict)
        server.answers = {}
        fetch(store, f"{server.host}/x:1").fetched(W.small)


def test_a_manifest_that_lies_about_sizes() -> None:
    text = json.loads(W.small.manifest)
    text["layers"][1]["size"] += 1
    liar = Image(json.dumps(text).encode(), W.small.kind, W.small.blobs, W.small.layers)
    with a_store() as store, odd(liar) as server:
        got = fetch(store, f"{server.host}/x:1")
        assert got.verdict in ("EBADMSG", "EIO", "ECONNRESET"), got.lines
        whole(store)


def test_more_than_is_allowed() -> None:
    with a_store() as store:
        ref = f"{W.plain.host}/t/small:1"
        before = len(W.plain.asked())
        fetch(store, ref, CONKER_IMAGES_MAX="100K").refused("ENOSPC", "the image has 1 MiB, compressed, and CONKER_IMAGES_MAX allows 100K")
        fetch(store, ref, CONKER_IMAGES_MAX="20 G").refused("EINVAL", "CONKER_IMAGES_MAX: '20 G' is not a size")
        fetch(store, ref, CONKER_IMAGES_MAX="99999999999G").refused("EINVAL", "is not a size")
        assert not [a for a in W.plain.asked()[before:] if "blobs" in a]
        fetch(store, ref, CONKER_IMAGES_MAX="1G").fetched(W.small)
        fetch(store, ref, CONKER_IMAGES_MAX="1").fetched(W.small)  # which is here


@contextlib.contextmanager
def small_disk(bytes_: int) -> Iterator[str]:
    with a_store() as store:
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={bytes_}", "x", store],
                                               capture_output=True, check=False).returncode:
            raise rules.Skip("needs root, to mount a small file system")
        try:
            yield store
        finally:
            subprocess.run(["umount", "-l", store], check=True)


def test_no_room_is_told_before_the_first_byte() -> None:
    with small_disk(200000) as store:
        before = len(W.plain.asked())
        fetch(store, f"{W.plain.host}/t/small:1").refused(
            "ENOSPC", "1 MiB are to be fetched, and the images' file system has 1 MiB left")
        assert not [a for a in W.plain.asked()[before:] if "blobs" in a]


def test_no_room_on_the_way() -> None:
    big = image(layer("one", 1000000), layer("two", 3000000))
    with small_disk(6 << 20) as store, odd(big) as server:
        server.rate = 2000000
        run = start(store, f"{server.host}/x:1").until(lambda: len(server.blobs_asked()) > 0)
        with open(f"{store}/filler", "wb") as filler, contextlib.suppress(OSError):
            filler.write(b"x" * (3 << 20))
        run.end().refused("ENOSPC", "no space left for the images")
        os.unlink(f"{store}/filler")
        shutil.rmtree(os.path.dirname(run.layout))
        server.rate = 0
        fetch(store, f"{server.host}/x:1").fetched(big)


def hidden(path: str) -> list[str]:
    """Runs a program that does not see a file of the host."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        raise rules.Skip("needs root, to hide a file")
    return ["unshare", "-m", "sh", "-c", f"mount --bind {'/dev/null' if os.path.isfile(path) else W.top + '/home'} {path} && exec \"$@\"", "sh"]


def test_what_lacks_is_told_with_its_package() -> None:
    with a_store() as store:
        ref = f"{W.plain.host}/t/small:1"
        fetch(store, ref, prefix=hidden(os.path.realpath(shutil.which("skopeo") or ""))).refused(
            "ENOENT", "skopeo is not installed; install the package skopeo")
        fetch(store, ref, prefix=hidden("/etc/containers")).refused("ENOENT", "golang-github-containers-common")


# --- interrupted ----------------------------------------------------------------------------------

def test_an_interrupted_one_goes_on_by_layer() -> None:
    with a_store() as store, odd(W.small) as server:
        server.stops = {W.small.layers[1]: 0}
        run = start(store, f"{server.host}/x:1").until(lambda: os.path.exists(f"{store}/blobs/sha256/{W.small.layers[0]}"))
        started = time.monotonic()
        run.interrupt().refused("EINTR", "interrupted")
        print(f"ended after {time.monotonic() - started:.2f} s", file=sys.stderr)
        assert not below(run.process.pid)
        server.stops, server.requests = {}, []
        fetch(store, f"{server.host}/x:1").fetched(W.small)
        assert W.small.layers[0] not in server.blobs_asked() and W.small.layers[1] in server.blobs_asked()


def test_an_interrupted_question_ends_too() -> None:
    with a_store() as store, odd(W.small) as server:
        server.stops = {"/v2/x/manifests/1": 0}
        run = start(store, f"{server.host}/x:1").until(lambda: len(server.requests) > 1)
        run.interrupt().refused("EINTR", "interrupted")


def test_who_watches_may_cancel_it() -> None:
    big = image(layer("big", 3000000))
    with a_store() as store, odd(big) as server:
        server.rate = 1000000
        got = fetch(store, f"{server.host}/x:1", CANCEL="500000")
        got.refused("ECANCELED", "cancelled")
        done = [d for step, d, _ in got.progress() if step == 1]
        assert done == sorted(done) and 500000 <= done[-1] < 3000000, done


def killed_at_random(times: int) -> None:
    """Whoever of the processes it is."""
    what = image(*(layer(f"l{i}", 150000) for i in range(4)))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}", file=sys.stderr)
    dice = random.Random(seed)
    with odd(what) as server:
        server.rate = 1500000
        for _ in range(times):
            with a_store() as store:
                run = start(store, f"{server.host}/x:1")
                time.sleep(dice.uniform(0, 0.8))
                victims = [run.process.pid, *below(run.process.pid)]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(victims), signal.SIGKILL)
                run.process.wait(60)
                whole(store)
                server.rate = 0
                fetch(store, f"{server.host}/x:1").fetched(what)
                server.rate = 1500000


def test_killed_at_some_moments() -> None:
    killed_at_random(3)


def slow_test_killed_at_many_moments() -> None:
    killed_at_random(30)


def slow_test_many_at_once() -> None:
    with a_store() as store:
        names = ["small", "other", "docker", "whole", "many"] * 6
        runs = [start(store, f"{W.plain.host}/t/{name}:1") for name in names]
        for run, name in zip(runs, names):
            run.end(110).fetched(W.small if name == "many" else getattr(W, name))


# --- the command ----------------------------------------------------------------------------------

def pull(store: str, *args: str, **env: str) -> subprocess.Popen[str]:
    given = {"HOME": f"{W.top}/home", "XDG_RUNTIME_DIR": f"{W.top}/run", "CONKER_REGISTRIES_CONF": f"{W.top}/registries.conf",
             "PATH": os.environ["PATH"], "CONKER_IMAGES": store, **env}
    return subprocess.Popen([f"{BUILD}/conker", "image", *args], env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_the_command_pulls_and_asks_once_more_only_for_the_tag() -> None:
    with a_store() as store:
        ref = f"{W.locked.host}/t/many:1"
        run = pull(store, "pull", "--creds", "-", ref)
        out, err = run.communicate("user:right\n", timeout=60)
        assert run.returncode == 0, out + err
        out, err = pull(store, "inspect", ref).communicate(timeout=60)
        assert W.small.hex in out, out + err
        before = len(W.locked.asked())
        again = pull(store, "pull", "--creds", "user:right", ref)
        out, err = again.communicate(timeout=60)
        assert again.returncode == 0, out + err
        assert [a for a in W.locked.asked()[before:] if a] == ["t/many/manifests/1"], W.locked.asked()[before:]
        assert not [name for name in os.listdir(store) if name.startswith(".work")]


def test_the_command_is_interrupted_from_the_keyboard() -> None:
    with a_store() as store, odd(W.small) as server:
        server.stops = {W.small.layers[1]: 0}
        run = pull(store, "pull", f"{server.host}/x:1")
        for _ in range(1000):
            if os.path.exists(f"{store}/blobs/sha256/{W.small.layers[0]}"):
                break
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=10)
        assert run.returncode == 130, (run.returncode, out, err)
        whole(store)
        assert os.path.exists(f"{store}/blobs/sha256/{W.small.layers[0]}")
        server.stops, server.requests = {}, []
        run = pull(store, "pull", f"{server.host}/x:1")
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0 and W.small.layers[0] not in server.blobs_asked(), out + err


def is_whole_or_nothing(store: str, ref: str, published: bool) -> None:
    out, err = pull(store, "ls").communicate(timeout=60)
    assert (ref in out) == published and "lacks" not in out + err, out + err
    whole(store)


def command_killed_at_random(times: int) -> None:
    """Whoever of its processes it is, up to the moment when the image has its name."""
    what = image(*(layer(f"k{i}", 150000) for i in range(3)))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}", file=sys.stderr)
    dice = random.Random(seed)
    with odd(what) as server:
        ref = f"{server.host}/x:1"
        for _ in range(times):
            with a_store() as store:
                server.rate = 3000000
                run = pull(store, "pull", ref)
                time.sleep(dice.uniform(0, 0.8))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice([run.pid, *below(run.pid)]), signal.SIGKILL)
                run.communicate(timeout=60)
                if run.returncode == 0:
                    is_whole_or_nothing(store, ref, True)
                server.rate = 0
                again = pull(store, "pull", ref)
                out, err = again.communicate(timeout=60)
                assert again.returncode == 0, out + err
                is_whole_or_nothing(store, ref, True)
                for _ in range(100):  # programs of the one that was killed may live a moment longer
                    pull(store, "ls").communicate(timeout=60)
                    if not [name for name in os.listdir(store) if name.startswith(".work")]:
                        break
                    time.sleep(0.05)
                assert not [name for name in os.listdir(store) if name.startswith(".work")], os.listdir(store)
                assert len(os.listdir(f"{store}/made")) == 1


def test_the_command_is_killed_at_some_moments() -> None:
    command_killed_at_random(3)


def slow_test_the_command_is_killed_at_many_moments() -> None:
    command_killed_at_random(30)


def test_pulls_of_one_image_at_once() -> None:
    with a_store() as store:
        refs = [f"{W.plain.host}/t/{name}:1" for name in ("small", "small", "other", "small")]
        for run in [pull(store, "pull", ref) for ref in refs]:
            out, err = run.communicate(timeout=100)
            assert run.returncode == 0, out + err
        for ref in refs:
            is_whole_or_nothing(store, ref, True)
        assert len(os.listdir(f"{store}/made")) == 2 and not [n for n in os.listdir(store) if n.startswith(".work")]


def test_a_pull_that_finds_no_room_leaves_no_image() -> None:
    """Wherever it ends: blobs, layers, metadata."""
    what, refused = image(layer("one", 400000), layer("two", 300000)), 0
    with odd(what) as server:
        ref = f"{server.host}/x:1"
        for size in range(700, 2200, 250):
            with small_disk(size << 10) as store:
                run = pull(store, "pull", ref)
                out, err = run.communicate(timeout=60)
                refused += run.returncode != 0
                assert run.returncode == 0 or run.returncode == 125 and "space" in err or "file system has" in err, (size, out + err)
                is_whole_or_nothing(store, ref, run.returncode == 0)
                assert not [n for n in os.listdir(store) if n.startswith(".work")], os.listdir(store)
    assert refused > 1, refused


def test_commands_of_the_readme() -> None:
    """Each pull is run here; what boxes are needed for, tests/vm/t_image.sh has, word for word."""
    with open(f"{TOP}/README.md", encoding="utf-8") as f:
        commands = re.findall(r"^    \$ (.*?)(?: +#.*)?$", f.read(), re.M)
    with open(f"{TOP}/tests/vm/t_image.sh", encoding="utf-8") as f:
        boxes = f.read()
    W.plain.push("library/python", "3.12-slim", W.small)
    conf = f"{W.top}/docker.conf"
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f'[[registry]]\nprefix = "docker.io"\nlocation = "{W.plain.host}"\ninsecure = true\n')
    pulled = 0
    for command in (c for c in commands if "image " in c):
        if not command.startswith("conker image pull "):
            assert command in boxes, command
            continue
        with a_store() as store:
            run = pull(store, *command.split()[2:], CONKER_REGISTRIES_CONF=conf)
            out, err = run.communicate(timeout=60)
            assert run.returncode == 0 and "docker.io/library/python:3.12-slim" in err, out + err
            assert "docker.io/library/python:3.12-slim" in pull(store, "ls").communicate(timeout=60)[0]
            pulled += 1
    assert pulled == 1, commands


def main() -> int:
    tests: dict[str, object] = dict(globals())
    if RING != "test":
        tests.update({name[5:]: test for name, test in globals().items() if name.startswith("slow_test_")})
    for program, package in NEEDED.items():
        if not shutil.which(program):
            print(f"skip registry: no {program}, which is in the package {package}")
            return 0
    with world():
        return int(rules.run("registry", tests))


if __name__ == "__main__":
    sys.exit(main())
