#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""circles.py - circles of files that call one another, of more than two: what cannot be read one by one.

Given objects (one archive or folder per part), each of which `nm` says what it defines and what it lacks; prints each
circle larger than two, and who calls what in it. Fails if there is one.

    tests/lint/circles.py NAME OBJECT...
"""
import subprocess
import sys


def symbols(path):
    """(defined, undefined) global names of an object."""
    sets = set(), set()
    for line in subprocess.run(["nm", "-g", path], capture_output=True, text=True, check=True).stdout.splitlines():
        kind, name = line.split()[-2:]
        sets[kind in "Uw"].add(name)
    return sets


def calls(objects):
    """Per object: which others it calls, and what there."""
    seen = {o: symbols(o) for o in objects}
    home = {name: o for o, (defined, _) in seen.items() for name in defined}
    graph = {}
    for o, (_, undefined) in seen.items():
        graph[o] = {}
        for name in sorted(undefined):
            if home.get(name, o) != o:
                graph[o].setdefault(home[name], []).append(name)
    return graph


def circles(graph):
    """Strongly connected sets (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            at = stack.index(v)
            found.append(stack[at:])
            del stack[at:]

    for v in graph:
        if v not in index:
            visit(v)
    return found


def main():
    graph = calls(sys.argv[2:])
    bad = [c for c in circles(graph) if len(c) > 2]
    for c in bad:
        print(f"{sys.argv[1]}: a circle of {len(c)} files", file=sys.stderr)
        for o in sorted(c):
            for other in sorted(set(graph[o]) & set(c)):
                print(f"  {o} -> {other}: {', '.join(graph[o][other])}", file=sys.stderr)
    return 1 if bad else 0


sys.exit(main())
