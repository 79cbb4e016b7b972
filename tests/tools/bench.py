#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py - the page of `conker bench` as a browser draws it (under node), and what --compare says, of results made here."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(TOP, "tools", "bench")
EVIL = "</script><script>x</script> <!-- & \"<b>\""
TEMPLATE = open(os.path.join(BENCH, "report.html"), encoding="utf-8").read()

# As much of a document as the page uses: the first argument is the script, the second the data; the page is printed as XML.
DOM = r"""
"use strict";
const escape = s => String(s).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");
class Element {
	constructor(tag) { Object.assign(this, {tag, attributes: {}, children: [], style: {}}); }
	setAttribute(name, v) {
		if (/NaN|Infinity|undefined/.test(v))
			throw new Error(`${this.tag} ${name}="${v}"`);
		this.attributes[name] = v;
	}
	append(...inside) {
		for (const e of inside)
			if (!(e instanceof Element) && /NaN|Infinity|undefined|\[object/.test(e))
				throw new Error(`${this.tag} has ${e}`);
		this.children.push(...inside);
	}
	set innerHTML(_) { throw new Error("markup"); }
	toString() {
		const attributes = Object.entries({...this.attributes, ...(this.title && {title: this.title})});
		return `<${this.tag}${attributes.map(([name, v]) => ` ${name}="${escape(v)}"`).join("")}>` +
			this.children.map(e => e instanceof Element ? e : escape(e)).join("") + `</${this.tag}>`;
	}
}
const main = new Element("main");
const data = {textContent: require("fs").readFileSync(process.argv[3], "utf8")};
new Function("document", require("fs").readFileSync(process.argv[2], "utf8"))({
	createElement: tag => new Element(tag),
	createElementNS: (_, tag) => new Element(tag),
	getElementById: id => ({data, svg: {namespaceURI: "svg"}})[id],
	querySelector: tag => ({main})[tag],
});
console.log(String(main));
"""


def series(name: str, samples: list[int], system: str = "conker", unit: str = "ns", boxes: int = 1, steps: int = 2,
           failure: str = "", ended: str = "confident", interval: bool = True) -> dict[str, Any]:
    ordered = sorted(samples)
    names = [f"step-{i}" for i in range(steps)]
    parts = [{"name": p, "samples": [v // steps * (900 if i == 3 and steps > 8 else 1) for v in samples]} for i, p in enumerate(names)]
    return {"id": name, "system": system, "title": f"title of {name}", "measures": f"what {name} of {system} is", "unit": unit,
            "boxes": boxes, "ended": ended, "failures": 2 if failure else 0, "failure": failure, "samples": samples,
            "interval": [ordered[len(samples) // 4], ordered[-1]] if len(samples) > 5 and interval else [], "steps": parts}


def result(*all_series: dict[str, Any], **facts: str) -> dict[str, Any]:
    return {"format": "conker bench", "version": 1, "started": "2026-11-21T11:00:00Z", "seconds": 75,
            "facts": {"conker": "1", "kind": "pvm", **facts}, "skipped": {"firecracker": "not on PATH"}, "series": list(all_series)}


def full(samples: list[int]) -> dict[str, Any]:
    """One of each kind that the page draws in a way of its own."""
    made = [series(name, samples) for name in ("cold", "restore", "exec", "odd", "setup")]
    made += [series("setup-steps", samples, steps=28), series("memory", samples, "conker clone", "bytes"),
             series("stream-out", samples, unit="bytes/s", steps=0), series("blk-read", samples, unit="bytes/s", steps=0),
             series("boot-console", samples, "conker-vmm"), series("boot-console", [], "qemu microvm", failure="no"),
             series("boot-end", samples, "conker-vmm"), series("boot-end", samples, "kvmtool")]
    made += [series(name, samples, system, boxes=2 ** i, steps=0)
             for name in ("rate", "rate-restore") for system in ("conker", "other") for i in range(3)]
    return result(*made)


# --- the page ---------------------------------------------------------------------------------------


def page(of: dict[str, Any]) -> str:
    """What the script draws, with the text of each element as it is."""
    node = shutil.which("node")
    if not node:
        raise rules.Skip("there is no node")
    with tempfile.TemporaryDirectory() as tmp:
        names = [os.path.join(tmp, name) for name in ("dom.js", "script.js", "data.json")]
        script = re.search(r"<script>(.*)</script>", TEMPLATE, re.S)
        assert script
        for name, text in zip(names, (DOM, script.group(1), json.dumps(of))):
            with open(name, "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([node, *names], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_template_needs_nothing_from_outside() -> None:
    assert not re.search(r"://|src=|<link|<img|@import|url\(|innerHTML|outerHTML|insertAdjacent|document\.write", TEMPLATE)
    assert TEMPLATE.count("@DATA@") == TEMPLATE.count("@TABLE@") == TEMPLATE.count("<script>") == 1
    assert "default-src 'none'" in TEMPLATE and re.search(r"<noscript>.*@TABLE@.*</noscript>", TEMPLATE, re.S)


def test_every_section_is_drawn() -> None:
    drawn = page(full([1000 + i * 7919 % 977 for i in range(200)]))  # of which the 51st is 1.23 us
    titles = re.findall("<h2>(.*?)</h2>", drawn)
    assert titles == ["Where it went", "Beside other machines", "Boxes per second", "Throughput", "Distributions", "All series",
                      "Not measured", "What was measured", "This host"], titles
    for text in ("in 1 min 15 s", "<b>KVM</b>pvm", "95 % sure: 1.23 us to 1.96 us, n=200", "title of cold", "failed 2 times",
                 "median of n=200, 4 at once", "smaller steps (27)", "what boot-console of kvmtool is".replace("console", "end"),
                 "boxes at once", "rate, other, 4 at once", ">p90<", ">p99<", "<td>firecracker</td><td>not on PATH</td>",
                 "2 runs failed.", "<td>1.23 us \u2013 1.96 us</td>"):
        assert text in drawn, text
    assert drawn.count("<svg") > 40 and "interrupted" not in drawn


def test_samples_of_any_shape_are_drawn() -> None:
    for start in (0, 10 ** 6, 2 ** 64 - 100):
        for count, spread in ((1, 1), (2, 91), (6, 1), (300, 91)):
            assert "<svg" in page(full([start + i * 7919 % spread for i in range(count)]))
    assert "All series" in page(result())


def test_far_outliers_are_told_in_words() -> None:
    assert "1 beyond, up to 100 us \u2192" in page(result(series("exec", [1000 + i for i in range(50)] + [10 ** 5])))


def test_a_failed_and_an_interrupted_run_are_told_first() -> None:
    drawn = page(result(series("cold", [10, 11, 12], failure="no box", ended="interrupted")))
    assert drawn.index("2 runs failed.") < drawn.index("The run was interrupted:") < drawn.index("title of cold")
    assert "1 series is not complete." in drawn and '<td class="bad why">no box</td>' in drawn


def test_what_a_result_says_is_text() -> None:
    made = full([5, 6])
    made["facts"]["cpu"] = made["skipped"][EVIL] = EVIL
    for s in made["series"]:
        s.update(title=EVIL, measures=EVIL, failure=EVIL, failures=1)
        for p in s["steps"]:
            p["name"] = EVIL
    assert not re.search("<script|<!--|<b>\"", page(made))


# --- comparing --------------------------------------------------------------------------------------


def compare(*results: object, stdout: int = subprocess.PIPE) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as tmp:
        paths = []
        for i, r in enumerate(results):
            paths.append(os.path.join(tmp, str(i)))
            with open(paths[-1], "wb") as f:
                f.write(r if isinstance(r, bytes) else json.dumps(r).encode())
        done = subprocess.run([os.path.join(BENCH, "compare.py"), *paths], stdout=stdout, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
    return done.returncode, done.stdout or "", done.stderr


def test_a_difference_is_told_where_the_intervals_are_apart() -> None:
    for first, second, count, unit, expected in ((1000, 2000, 20, "ns", "+99.1%  worse"), (2000, 1000, 20, "ns", "-49.8%  better"),
                                                 (2000, 1000, 20, "bytes/s", "worse"), (1000, 2000, 20, "bytes/s", "better"),
                                                 (1000, 1005, 20, "ns", "no difference shown"),
                                                 (1000, 2000, 5, "ns", "too few samples to tell"), (1000, 2000, 0, "ns", "no samples")):
        files = [result(series("x", [start + i for i in range(count)], unit=unit, interval=False)) for start in (first, second)]
        status, out, err = compare(*files)
        assert (status, err) == (0, "") and expected in out, out


def test_what_only_one_has_and_failures_are_told() -> None:
    a = result(series("x", [1]), series("rate", [1], boxes=2), series("rate", [7], boxes=2))
    b = result(series("x", [2], failure="no"), series("y", [1]))
    status, out, _ = compare(a, b)
    assert status == 1, out
    assert re.search(r"^first:  conker 1, 2026-.*\nsecond: conker 1, 2026-.*\n\nmedians ", out)
    assert re.search(r"^x conker  .* 1\.00 ns +2\.00 ns +\+100\.0%  too few samples to tell; FAILED runs: 0 and 2$", out, re.M)
    assert re.search(r"^rate +only in the first$", out, re.M) and re.search(r"^y +only in the second$", out, re.M)
    assert re.search(r"^rate conker x2 +1\.00 ns +1\.00 ns +\+0\.0%", compare(a, a)[1], re.M), "the first of two counts"


def test_figures_of_different_hosts_are_refused() -> None:
    status, out, err = compare(result(kernel="6.18"), result(kernel="6.19", jail="OFF"))
    assert (status, out) == (125, "")
    assert err == "conker: figures of different hosts cannot be compared: kernel: '6.18' and '6.19'; jail: '' and 'OFF'\n"


def test_other_files_are_refused() -> None:
    wrongs: list[dict[str, Any]] = [{"unit": "parsec"}, {"failures": 1 << 64}, {"samples": [-1]}, {"samples": [1.5]},
                                    {"samples": {}}, {"id": "\x1b[2J"}, {"system": "\u202e"}, {"id": 1}]
    for bad in (b"", b"[]", b"{}", b"\xff", b"[" * 10 ** 6, b'{"format":"conker bench","version":1}x', {"format": "other", "version": 1},
                *(result({**series("x", [1]), **wrong}) for wrong in wrongs), result(kernel="\n")):
        status, out, err = compare(bad, result())
        assert (status, out) == (125, "") and re.fullmatch("conker: '.*/0': no result of conker bench\n", err), (bad, err)
    status, _, err = compare(result(), {"format": "conker bench", "version": 2})
    assert status == 125 and "/1' is of another version of conker bench" in err, err


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full_device:
        status, _, err = compare(result(), result(), stdout=full_device.fileno())
    assert (status, err) == (125, "conker: write to standard output: No space left on device\n")


sys.exit(rules.run("bench", globals()))
