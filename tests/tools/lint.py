#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lint.py - the rules of tests/lint that read names and first lines: each finds what it is for, and nothing else."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

LINT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lint")
BLOCK = "/* SPDX-License-Identifier: Apache-2.0 */\n"
HASH = "# SPDX-License-Identifier: Apache-2.0\n"


def said(rule: str, files: dict[str, str]) -> tuple[int, list[str]]:
    """What a rule says of a repository with these files: its status and lines."""
    with tempfile.TemporaryDirectory() as top:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(top, path)) or top, exist_ok=True)
            with open(os.path.join(top, path), "w") as f:
                f.write(text)
        subprocess.run(["git", "init", "-q"], cwd=top, check=True)
        subprocess.run(["git", "add", "."], cwd=top, check=True)
        r = subprocess.run([os.path.join(LINT, rule)], cwd=top, capture_output=True, text=True)
        return r.returncode, (r.stdout + r.stderr).splitlines()


def in_files(n: int, text: str, folder: str = "lib") -> dict[str, str]:
    return {f"{folder}/f{i}.c": text for i in range(n)}


def test_a_static_name_in_four_files_is_found_and_in_three_is_not() -> None:
    assert said("names.py", in_files(3, "static int put(void)\n{\n}\n")) == (0, [])
    status, lines = said("names.py", in_files(4, "static int put(void)\n{\n}\n"))
    assert status == 1 and lines == ["put() is static in 4 files, at most 3: lib/f0.c lib/f1.c lib/f2.c lib/f3.c"], lines


def test_a_static_function_is_known_however_it_is_written() -> None:
    for text in ("static struct a *b_c(int d)\n{\n}\n", "static inline void\nb_c(int d)\n{\n}\n",
                 '__attribute__((noreturn))\nstatic void b_c(void);\n', "static __attribute__((cold)) int b_c(void)\n{\n}\n"):
        assert said("names.py", in_files(4, text))[1][0].startswith("b_c() is static in 4 files"), text


def test_what_is_no_static_function_of_the_product_is_not_found() -> None:
    for text in ("static int a = f(1);\n", "static int (*fn)(void);\n", "int put(void)\n{\n}\n", "/* static int put(void) */\n",
                 'char *s = "\\\nstatic int put(void)";\n', "static const struct a b[] = {\n{f(1)}};\n"):
        assert said("names.py", in_files(4, text)) == (0, []), text
    assert said("names.py", in_files(9, "static int put(void)\n{\n}\n", "tests/unit")) == (0, [])


def test_a_file_name_of_lib_in_guest_init_is_found_at_any_depth() -> None:
    files = {"lib/box/view.c": "", "guest-init/exec/view.c": "", "lib/README.md": "", "guest-init/README.md": "", "vmm/view.c": ""}
    assert said("names.py", files) == (1, ["lib/box/view.c and guest-init/exec/view.c have one name"])


def test_a_source_with_its_line_is_passed_and_without_is_found() -> None:
    good = {"a.c": BLOCK, "b.sh": "#!/bin/sh\n" + HASH, "c.proto": "// SPDX-License-Identifier: Apache-2.0\n", "d.css": BLOCK,
            "e.html": "<!doctype html>\n<!-- SPDX-License-Identifier: Apache-2.0 -->\n", "Makefile": HASH, "tool": "#!/bin/sh\n" + HASH}
    assert said("spdx.py", good) == (0, [])
    for path in good:
        status, lines = said("spdx.py", {path: "#!/bin/sh\n\n\n" + HASH})
        assert status == 1 and lines[0].startswith(path + ": no line"), lines


def test_what_is_no_source_needs_no_line() -> None:
    assert said("spdx.py", {"README.md": "", "data": "", "x.json": "", "tests/fuzz/corpus/x/a.c": "", "p/0001-x.patch": ""}) == (0, [])


def test_the_comment_must_be_one_of_the_language() -> None:
    assert said("spdx.py", {"a.c": "// SPDX-License-Identifier: Apache-2.0\n"})[0] == 1


sys.exit(rules.run("lint", globals()))
