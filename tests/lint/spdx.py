#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""spdx.py - which tracked source does not say its licence in one of its first lines.

A source is what KINDS knows, and a script without a suffix. What is no source (documentation, corpora, recorded data) and
the kernel's patches, which are the kernel's, have their licence by REUSE.toml. Prints each finding and fails if there is one.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys

LINE = "SPDX-License-Identifier: Apache-2.0"
# It may stand behind a first line that must be the first: #! or a doctype.
WITHIN = 2
BLOCK, SLASHES, HASH, ANGLE = ("/* ", " */"), ("// ", ""), ("# ", ""), ("<!-- ", " -->")
KINDS = {
    "c": BLOCK, "h": BLOCK, "cc": BLOCK, "S": BLOCK, "ld": BLOCK, "map": BLOCK, "css": BLOCK,
    "proto": SLASHES, "js": SLASHES,
    "sh": HASH, "bash": HASH, "py": HASH, "pyi": HASH, "mk": HASH, "config": HASH, "toml": HASH, "pc.in": HASH,
    "html": ANGLE,
}
NAMES = {"Makefile": HASH, ".clang-format": HASH, ".clang-tidy": HASH}


def kind(path: str, text: str) -> tuple[str, str] | None:
    """How a comment begins and ends in this file, or None if it is no source."""
    name = os.path.basename(path)
    if "corpus" in path.split("/")[:-1]:
        return None
    if name in NAMES:
        return NAMES[name]
    for suffix, style in KINDS.items():
        if name.endswith("." + suffix):
            return style
    return HASH if "." not in name and text.startswith("#!") else None


def first_line(text: str) -> int:
    """Where the line belongs: 0, or 1 behind one that must be the first."""
    return 1 if re.match(r"#!|<!doctype", text, re.I) else 0


def tracked() -> list[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split("\0")
    sources = []
    for path in listed:
        if path and os.path.isfile(path) and not os.path.islink(path):
            with open(path, encoding="utf-8", errors="replace") as f:
                sources.append((path, f.read()))
    return sources


def missing(path: str, text: str) -> bool:
    style = kind(path, text)
    return style is not None and style[0] + LINE + style[1] not in text.split("\n")[:WITHIN]


def main() -> int:
    bare = [path for path, text in tracked() if missing(path, text)]
    for path in bare:
        print(f"{path}: no line {LINE} at its beginning", file=sys.stderr)
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main())
