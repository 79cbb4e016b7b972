#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""names.py - names that grep, ctags and a reader take for each other.

* The name of a static function stands in at most three files of the product. A name says what it acts on: wire_drain().
* No file of guest-init/ is called as one of lib/ is, at whatever depth; README.md apart.

Prints each finding and fails if there is one.
"""
from __future__ import annotations

import collections
import os
import re
import subprocess
import sys

FILES_MAX = 3
ASIDE = ("tests/", "docs/")
SKIPPED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|__attribute__\s*\(\(.*?\)\)(?=[\s;{])', re.S)
# From the word at a line's beginning to the bracket behind the name, as long as nothing else than a type can be meant.
STATIC = re.compile(r"^static\b[\w\s*]*?\b(\w+)\s*\((?!\s*\*)", re.M)


def static_functions(text: str) -> set[str]:
    return set(STATIC.findall(SKIPPED.sub(" ", text)))


def reused(paths: list[str]) -> list[str]:
    files = collections.defaultdict(list)
    for path in paths:
        if path.endswith((".c", ".h")) and not path.startswith(ASIDE):
            with open(path, encoding="utf-8") as f:
                for name in static_functions(f.read()):
                    files[name].append(path)
    return [f"{name}() is static in {len(where)} files, at most {FILES_MAX}: {' '.join(where)}"
            for name, where in sorted(files.items(), key=lambda item: (-len(item[1]), item[0])) if len(where) > FILES_MAX]


def shared(paths: list[str]) -> list[str]:
    below = {top: {os.path.basename(p): p for p in paths if p.startswith(top)} for top in ("lib/", "guest-init/")}
    return [f"{path} and {below['guest-init/'][name]} have one name"
            for name, path in sorted(below["lib/"].items()) if name in below["guest-init/"] and name != "README.md"]


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split("\0")
    paths = [p for p in listed if p and os.path.isfile(p)]
    findings = reused(paths) + shared(paths)
    print("\n".join(findings), file=sys.stderr, end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
