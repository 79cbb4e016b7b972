#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ceilings.py - how large a file or a function may grow, and which calls do not compile for us.

Code lines: neither blank nor comment. Ceilings: file 600, function 80 lines. An exception is listed in
EXCEPTIONS with its reason; there should be none. What ships reads numbers by util/num.h only. Functions of a file of the
product and columns of a line are counted only: what is above is said in one line, and is no failure.
"""
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

FILE_MAX, FUNCTION_MAX = 600, 80
FUNCTIONS_MAX, COLUMNS_MAX = 45, 100
BANNED = ("strcpy", "strcat", "sprintf", "strtok", "atoi", "atol", "strtol", "system", "popen", "alloca", "dup", "gets")
NUMBERS = re.compile(r"strto(u?l|u?ll|[iu]max|d|f|ld)|atof|atoll|v?[fs]?scanf")
OTHERS = ("tests/", "tools/bench/guest/", "tools/bench/count.c")  # built without util/
EXCEPTIONS: dict[str, str] = {}


def strip(text: str) -> str:
    """The text without comments and string contents, line structure kept."""
    def blank(m: re.Match[str]) -> str:
        s = m.group(0)
        return "".join(c if c == "\n" else " " for c in s) if s.startswith("/") else s[0] + s[0]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """(name, code lines) of each function: a line that is just '{', up to the line that is just '}'."""
    start = None
    for i, line in enumerate(lines):
        if line.rstrip() == "{":
            start = i
        elif line.rstrip() == "}" and start is not None:
            head = " ".join(lines[max(0, start - 6):start])
            names = re.findall(r"(\w+)\s*\(", head.split("}")[-1].split(";")[-1])
            yield (names[0] if names else "?", sum(1 for l in lines[start + 1:i] if l.strip()), start + 1)
            start = None


def main() -> int:
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], capture_output=True, text=True, check=True).stdout.split()
    offences: list[str] = []
    crowded, wide = 0, 0
    for path in files:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        lines = strip(text).split("\n")
        count = sum(1 for l in lines if l.strip())
        if count > FILE_MAX and path not in EXCEPTIONS:
            offences.append(f"{path}: {count} code lines, at most {FILE_MAX}")
        wide += sum(1 for l in text.split("\n") if len(l.expandtabs(8)) > COLUMNS_MAX)
        crowded += not path.startswith("tests/") and len(list(functions(lines))) > FUNCTIONS_MAX
        for name, n, line in functions(lines):
            if n > FUNCTION_MAX:
                offences.append(f"{path}:{line}: {name}() has {n} code lines, at most {FUNCTION_MAX}")
        for i, row in enumerate(lines, 1):
            for word in re.findall(r"(?<![\w.>])(\w+)\s*\(", row):
                if word in BANNED:
                    offences.append(f"{path}:{i}: {word}() is banned")
                elif NUMBERS.fullmatch(word) and not path.startswith(OTHERS):
                    offences.append(f"{path}:{i}: {word}() is banned: util/num.h")
    print(f"{crowded} files with more than {FUNCTIONS_MAX} functions, {wide} lines of more than {COLUMNS_MAX} columns (tests/lint/ceilings.py)")
    print("\n".join(offences), file=sys.stderr, end="\n" if offences else "")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
