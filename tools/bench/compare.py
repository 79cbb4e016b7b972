#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py - what `conker bench --compare FIRST SECOND` runs: two results of one host beside each other.

It is a part of the command, which has it inside and hands it to python3. The files may be a stranger's: one is not
made as result_write() makes them (names of printable ASCII, whole numbers) is refused, so that all that is printed is fit for a
terminal. A difference is told only where the intervals of both medians are apart. Exit status: 0; 1 when one of the files has
failed runs; 125 when there is nothing to compare.
"""
import json
import os
import re
import signal
import stat
import sys

BYTES_MAX = 64 << 20
SAMPLES_MAX = 10000
HOST = "kind cpu cpus kernel jail box".split()  # what makes a host another one
# Names of a value's scales, the step between them, and what the first of them is in units.
SCALES = {"ns": ("ns us ms s".split(), 1000, 1), "bytes": ("KiB MiB GiB".split(), 1024, 1024),
          "bytes/s": ("B/s kB/s MB/s GB/s".split(), 1000, 1)}


def fail(why):
    print(f"conker: {why}", file=sys.stderr)
    sys.exit(125)


def is_count(v):
    return type(v) is int and 0 <= v < 1 << 64


def check(result):
    """Raises unless all that is used below has the right type."""
    if result["format"] != "conker bench":
        raise ValueError
    if result["version"] != 1:
        return
    texts = [result.setdefault("started", ""), *result.setdefault("facts", {}).values()]
    for s in result.setdefault("series", []):
        texts += [s["id"], s["system"]]
        if s["unit"] not in SCALES or len(s["samples"]) > SAMPLES_MAX:
            raise ValueError
        if not all(map(is_count, [s["boxes"], s["failures"], *s["samples"]])):
            raise ValueError
        s["samples"].sort()
    if not all(t.isascii() and t.isprintable() for t in texts):
        raise ValueError


def load(path):
    shown = re.sub("[^ -~]", "?", path)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MAX:
            fail(f"'{shown}' is no file of conker bench")
        with open(path, "rb") as f:
            data = f.read(BYTES_MAX)
    except OSError as e:
        fail(f"'{shown}': {e.strerror}")
    try:
        result = json.loads(data)
        check(result)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fail(f"'{shown}': no result of conker bench")
    if result["version"] != 1:
        fail(f"'{shown}' is of another version of conker bench")
    return result


def value(unit, v):
    names, base, first = SCALES[unit]
    v, i = v / first, 0
    while v >= base and i + 1 < len(names):
        v, i = v / base, i + 1
    return f"{v:.{2 if v < 10 else 1 if v < 100 else 0}f} {names[i]}"


def interval(v):
    """That of the median at 95 % (see stats.h), or None: as many are left out at each end as have 2.5 % at most."""
    ways = tail = 1
    n, k = len(v), 0
    while tail * 40 <= 1 << n:
        ways = ways * (n - k) // (k + 1)
        tail += ways
        k += 1
    return (v[k - 1], v[n - k]) if k else None


def verdict(a, b):
    x, y = interval(a["samples"]), interval(b["samples"])
    if not x or not y:
        return "too few samples to tell"
    if x[0] <= y[1] and y[0] <= x[1]:
        return "no difference shown"
    if a["unit"] != b["unit"]:
        return "different units"
    return "worse" if (y[1] < x[0]) == (a["unit"] == "bytes/s") else "better"


def compare(a, b):
    name = f"{a['id']} {a['system']}" + (f" x{a['boxes']}" if a["boxes"] > 1 else "")
    if not a["samples"] or not b["samples"]:
        return f"{name:34} {'-':>12} {'-':>12} {'-':>8}  no samples"
    x, y = (s["samples"][(len(s["samples"]) - 1) // 2] for s in (a, b))
    change = 100 * (y - x) / x if x else 0
    line = f"{name:34} {value(a['unit'], x):>12} {value(b['unit'], y):>12} {change:+7.1f}%  {verdict(a, b)}"
    if a["failures"] or b["failures"]:
        line += f"; FAILED runs: {a['failures']} and {b['failures']}"
    return line


def by_name(result):
    """Of two of one name the first counts."""
    return {(s["id"], s["system"], s["boxes"]): s for s in reversed(result["series"])}


def lines(a, b):
    for title, r in ("first: ", a), ("second:", b):
        yield f"{title} conker {r['facts'].get('conker', '')}, {r['started']}"
    yield f"\n{'medians':34} {'first':>12} {'second':>12} {'change':>8}"
    in_a, in_b = by_name(a), by_name(b)
    for s in a["series"]:
        other = in_b.get((s["id"], s["system"], s["boxes"]))
        yield compare(s, other) if other else f"{s['id']:34} only in the first"
    for s in b["series"]:
        if (s["id"], s["system"], s["boxes"]) not in in_a:
            yield f"{s['id']:34} only in the second"


def main(first, second):
    a, b = load(first), load(second)
    facts = [(key, a["facts"].get(key, ""), b["facts"].get(key, "")) for key in HOST]
    differ = [f"{key}: '{x}' and '{y}'" for key, x, y in facts if x != y]
    if differ:
        fail("figures of different hosts cannot be compared: " + "; ".join(differ))
    try:
        with open(1, "w", encoding="ascii", closefd=False) as out:
            out.writelines(line + "\n" for line in lines(a, b))
    except OSError as e:
        fail(f"write to standard output: {e.strerror}")
    return int(any(s["failures"] for r in (a, b) for s in r["series"]))


signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.exit(main(*sys.argv[1:]))
