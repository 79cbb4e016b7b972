#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""runner.py - what tests/run promises: nothing that went wrong is counted as passed, and nothing is forgotten."""
from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
run = rules.load("runner", os.path.join(os.path.dirname(HERE), "run"))


def said_by(job: object) -> list[tuple[str, str]]:
    of = run.Run([])
    of.show = of.progress = lambda *_: None
    of.guarded(job)
    return [(c.verdict, c.name) for c in of.cases]


def shell(script: str, parse: object = run.verdicts, timeout_s: float = 20) -> list[tuple[str, str]]:
    return said_by(run.Job("s", "j", ["sh", "-c", script], parse, timeout_s))


def test_verdicts_are_read_with_what_belongs_to_them() -> None:
    cases = list(run.verdicts("s", ["noise", "ok a.b (1.5 s)", "    ok not at its beginning", "not ok c (status 1, 2 s)", "    why",
                                    "skip d: no such thing", "ok s::t"]))
    assert [(c.verdict, c.name, c.rest) for c in cases] == [
        ("ok", "a.b", "(1.5 s)"), ("not ok", "c", "(status 1, 2 s)"), ("skip", "d", "no such thing"), ("ok", "s.t", "")], cases
    assert cases[0].seconds == 1.5 and cases[1].text == ["    why"]


def test_criterions_lines_are_verdicts() -> None:
    lines = ["# Running", "ok - m::a  (0.12s)", "not ok - m::b  (0.01s)", "  x.c:3: wrong", "ok - m::c # SKIP no root", "not ok - m::d crashed"]
    assert [(c.verdict, c.name, c.rest) for c in run.tap("s", lines)] == [
        ("ok", "m.a", "(0.12 s)"), ("not ok", "m.b", "(0.01 s)"), ("skip", "m.c", "no root"), ("not ok", "m.d", "(crashed)")]


def test_a_job_that_breaks_is_a_failure_whatever_it_said() -> None:
    assert shell("true") == [("not ok", "s.j")], "said nothing"
    assert shell("echo ok a; exit 3") == [("ok", "a"), ("not ok", "s.j")]
    assert shell("echo not ok a; exit 3") == [("not ok", "a")]
    assert shell("echo ok a; kill -9 $$") == [("ok", "a"), ("not ok", "s.j")]
    assert shell("echo ok a; sleep 60", timeout_s=1) == [("ok", "a"), ("not ok", "s.j")]
    assert said_by(run.Job("s", "j", ["/no/such/program"])) == [("not ok", "s.j")]


def test_a_plain_program_is_judged_by_its_status() -> None:
    assert shell("exit 0", None) == [("ok", "j")]
    assert shell("echo why; exit 77", None) == [("skip", "j")]
    assert shell("exit 1", None) == [("not ok", "j")]
    assert shell("echo ok x; sleep 60", None, 1) == [("not ok", "j")]


def guests(script: str, files: list[str], timeout_s: float = 20) -> list[tuple[str, str]]:
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for f in files:
        todo.put(f)
    return said_by(run.Guests("vm", "g", ["sh", "-c", script], todo, timeout_s))


def test_files_are_taken_one_after_another() -> None:
    script = 'while read -r f; do echo "ok ${f%.sh}.x (1 s)"; echo "done $f"; done'
    assert guests(script, ["a.sh", "b.sh"]) == [("ok", "a.x"), ("ok", "b.x")]


def test_a_machine_that_dies_fails_its_file_and_another_one_goes_on() -> None:
    script = 'while read -r f; do echo "ok ${f%.sh}.x"; [ $f != b.sh ] || exit 1; echo "done $f"; done'
    assert guests(script, ["a.sh", "b.sh", "c.sh"]) == [("ok", "a.x"), ("ok", "b.x"), ("not ok", "vm.b.sh"), ("ok", "c.x")]


def test_a_machine_that_hangs_fails_its_file_and_those_left() -> None:
    script = 'while read -r f; do [ $f != a.sh ] || sleep 60; echo "ok ${f%.sh}.x"; echo "done $f"; done'
    said = guests(script, ["a.sh", "b.sh"], 1)
    assert ("not ok", "vm.a.sh") in said and ("ok", "b.x") not in said, said
    assert ("not ok", "vm.b.sh") in said, said


def test_an_interrupted_run_leaves_nothing_behind() -> None:
    sleep = "sleep 31415.92"
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, run.interrupted)
        threading.Thread(target=shell, args=(f"setsid true; {sleep} & {sleep}", None, 100)).start()
        signal.pause()
    for _ in range(100):
        time.sleep(0.1)
        if subprocess.run(["pgrep", "-fc", f"^{sleep}"], capture_output=True, check=False).stdout == b"2\n":
            break
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGTERM
    assert subprocess.run(["pgrep", "-f", f"^{sleep}"], capture_output=True, check=False).stdout == b""


def test_one_clone_that_the_emulator_failed_is_a_skip_and_a_second_is_not() -> None:
    line = f"echo 'skip t.a: {run.EMULATOR}: trace'"
    assert shell(line) == [("skip", "t.a")]
    assert shell(f"{line}; {line}") == [("skip", "t.a"), ("not ok", "t.a")]


def test_every_test_of_a_real_guest_is_in_each_ring_or_has_a_tag_that_says_why_not() -> None:
    tests = run.vm_tests()
    assert len(tests) > 300
    for t in tests:
        assert not t.tags - {"slow", "clones", "kvm", "all", "two-cpus", "alone"}, (t.name, t.tags)
        here = [stage for stage in ("vm", "lab", "alone") if run.in_ring(t, "test", stage)]
        assert len(here) == (0 if "all" in t.tags else 1), t
        assert run.in_ring(t, "all", "vm") != run.in_ring(t, "all", "alone"), t
        assert run.in_ring(t, "all", "lab") or t.tags & {"alone", "two-cpus"}, t


@contextlib.contextmanager
def one_log_folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as logs:
        setattr(run, "LOGS", logs)
        yield


sys.exit(rules.run("runner", globals(), one_log_folder))
