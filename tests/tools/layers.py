#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""layers.py - what tests/lint/layers.sh and circles.py promise: of each rule one wrong include is seen, a file that no
rule is about is seen, a circle of three files is seen; and a tree without these passes."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAYERS = f"{TOP}/tests/lint/layers.sh"
CIRCLES = f"{TOP}/tests/lint/circles.py"

# A file and what it may not include. Each rule of layers.sh is about one of these, which is checked below.
WRONG = {
    "util/x.c": "proto/frame.h",
    "proto/x.c": "lib/conker.h",
    "lib/conker.h": "util/util.h",
    "lib/host/x.c": "lib/images/images.h",
    "lib/images/x.c": "lib/handle/handle.h",
    "lib/handle/x.c": "lib/box/box.h",
    "lib/box/x.h": "lib/files/files.h",
    "lib/files/x.c": "vmm/vm.h",
    "tools/cli/x.c": "lib/host/api.h",
    "tools/bench/guest/x.c": "lib/conker.h",
    "image/x.c": "lib/conker.h",
    "image/tree.c": "image/layer.h",
    "image/meta.c": "image/layer.h",
    "image/layer.c": "image/oci.h",
    "image/inflate.c": "image/layer.h",
    "image/door.c": "image/layer.h",
    "image/oci.c": "image/layer.h",
    "vmm/mem.c": "vmm/vm.h",
    "vmm/virtio/queue.c": "vmm/virtio/blk.h",
    "vmm/virtio/x.c": "vmm/vm.h",
    "vmm/disk/x.c": "vmm/mem.h",
    "vmm/arch/x.c": "vmm/vm.h",
    "vmm/snap/x.c": "lib/conker.h",
    "vmm/x.c": "lib/conker.h",
}


def write(root: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        with open(f"{root}/{path}", "w", encoding="utf-8") as f:
            f.write(text)


def layers(files: dict[str, str]) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as root:
        write(root, {f"{d}/only.txt": "" for d in "util proto lib guest-init image tools vmm".split()})
        write(root, files)
        done = subprocess.run([LAYERS, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr.splitlines()


def include(header: str) -> str:
    return f'#include <stdio.h>\n#include "{header}"\n'


def guest_init() -> dict[str, str]:
    """Of guest-init's rules, whatever floors it has: none of them may include the library."""
    with open(LAYERS, encoding="utf-8") as f:
        globs = re.findall(r"^\tmay '(guest-init/[^' ]*)", f.read(), re.M)
    return {g.replace("*.[ch]", "x.c").replace("[ch]", "c").replace("*", "x"): "lib/conker.h" for g in globs}


def test_wrong_includes_are_seen() -> None:
    for path, header in (WRONG | guest_init()).items():
        status, said = layers({path: include(header)})
        assert status != 0 and f"{path} includes {header}" in said, (path, said)


def test_every_rule_is_about_one_of_them() -> None:
    with open(LAYERS, encoding="utf-8") as f:
        rules = re.findall(r"^\tmay '([^']+)'", f.read(), re.M)
    assert len(rules) >= len(WRONG), rules
    for rule in rules:
        patterns = [re.escape(g).replace(r"\*", "[^/]*").replace(r"\[ch\]", "[ch]") for g in rule.split()]
        assert any(re.fullmatch(p, f) for p in patterns for f in WRONG | guest_init()), rule


def test_right_includes_pass() -> None:
    status, said = layers({
        "lib/host/x.c": include("util/util.h"), "lib/handle/x.c": include("lib/host/api.h"),
        "lib/box/x.c": include("lib/handle/handle.h"), "lib/files/x.c": include("lib/box/box.h"),
        "vmm/x.c": include("vmm/snap/x.h"), "tools/cli/x.c": include("lib/conker.h")})
    assert status == 0 and not said, said


def test_files_in_no_floor_are_seen() -> None:
    for path in ("lib/x.c", "lib/host/deeper/x.c", "lib/upper/x.h", "util/more/x.c", "tools/x.c", "vmm/x/x.h", "image/x/x.c"):
        status, said = layers({path: ""})
        assert status != 0 and said == [f"{path} is in no floor"], (path, said)


def test_libraries_stay_in_their_file() -> None:
    for path, line, what in (
            ("vmm/arch/x.c", "#include <libfdt.h>", "includes libfdt"),
            ("lib/box/x.c", "#include <protobuf-c/protobuf-c.h>", "includes protobuf-c past codec.h"),
            ("image/x.c", "#include <zlib.h>", "includes a decoder past inflate.h"),
            ("vmm/x.c", '#include "state.pb-c.h"', "includes the state file past vmm/snap")):
        status, said = layers({path: line + "\n"})
        assert status != 0 and f"{path} {what}" in said, (path, said)


def circle(calls: dict[str, str]) -> tuple[int, str]:
    """Files of which each defines f_NAME and calls what it is given."""
    with tempfile.TemporaryDirectory() as root:
        for name, called in calls.items():
            text = "".join(f"void f_{c}(void);\n" for c in called + name)
            text += f"void f_{name}(void)\n{{\n" + "".join(f"\tf_{c}();\n" for c in called) + "}\n"
            write(root, {f"{name}.c": text})
            subprocess.run(["gcc", "-c", "-o", f"{root}/{name}.o", f"{root}/{name}.c"], check=True)
        done = subprocess.run([CIRCLES, "part"] + [f"{root}/{n}.o" for n in calls], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr


def test_circles_of_three_are_seen() -> None:
    status, said = circle({"a": "b", "b": "c", "c": "a", "d": "a"})
    assert status != 0 and "a circle of 3 files" in said and "f_a" in said and "d.o" not in said, said


def test_two_may_call_each_other() -> None:
    assert circle({"a": "b", "b": "a", "c": "ab"})[0] == 0


sys.exit(rules.run("layers", globals()))
