#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""unused.py RULES TRACE... - the seccomp rules that no traced thread made use of.

RULES are "KIND NAME[:VALUE][?]" lines (vmm/seccomp.sh --list); TRACEs were written by strace -f -Y. Counted is
what a thread calls after its filter was installed. Prints each unused rule that is not marked with a
question mark; fails if there is one, or if a kind of thread was never seen.
"""
import collections
import re
import sys

CALL = re.compile(r"\d+<(?P<comm>[^>]*)> (?P<name>\w+)\((?P<args>.*)")


def kind(comm):
    if comm.startswith("vcpu"):
        return "vcpu"
    return {"conker-disk": "disk", "conker-vmm": "loop"}.get(comm)


def used_by(trace):
    filtered = set()
    for line in open(trace, errors="replace"):
        call = CALL.match(line)
        if not call:
            continue
        thread = line.split(" ", 1)[0].split("<")[0]
        if call["name"] == "seccomp" and "SET_MODE_FILTER" in call["args"]:
            filtered.add(thread)
        elif thread in filtered:
            second = call["args"].split(", ")[1].split(" ")[0].rstrip(",)") if ", " in call["args"] else ""
            yield kind(call["comm"]), call["name"]
            yield kind(call["comm"]), call["name"] + ":" + second


def main():
    used = collections.Counter()
    for trace in sys.argv[2:]:
        used.update(used_by(trace))
    bad = [k for k in ("loop", "vcpu", "disk") if not any(u[0] == k for u in used)]
    for k in bad:
        print("no thread of this kind seen:", k)
    for line in open(sys.argv[1]):
        k, rule = line.split()
        if k != "sanitizer" and not rule.endswith("?") and not used[k, rule]:
            print("unused:", k, rule)
            bad.append(rule)
    sys.exit(bool(bad))


main()
