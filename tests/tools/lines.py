#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lines.py - what tools/lines takes for code, and that a revision and a tree are counted alike."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
import rules  # noqa: E402

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/lines")
lines = rules.load("lines", SCRIPT)


def test_a_comment_in_c_is_no_code_and_a_string_is_no_comment() -> None:
    assert lines.c("/* one\n * two */\n\nint x; /* behind */\n// three \\\n   still three\n") == 1
    assert lines.c('char *s = "/*";\nint y;\nchar *t = "*/";\n') == 3
    assert lines.c("char c = '\"'; /* a\n b */ int z;\n") == 2


def test_a_line_of_sh_that_begins_with_a_mark_is_a_comment_but_in_a_here_document() -> None:
    assert lines.sh("#!/bin/sh\n# no\necho yes # and why\n\n") == 1
    assert lines.sh("cat <<'EOF'\n# text\n\nEOF\n# no\n") == 3
    assert lines.sh("cat <<-EOF\n\t# text\n\tEOF\n# no\n") == 3
    assert lines.sh("read x <<<EOF\n# no\n") == 1


def test_a_docstring_of_python_is_a_comment_and_a_text_is_not() -> None:
    assert lines.python('#!/x\n"""a\n\nb"""\nx = """\n# text\n"""\n# no\ndef f():\n    "why"\n    return 1  # here\n') == 5


def test_script_and_style_in_a_page_have_comments_of_their_own() -> None:
    page = "<p>\n<!-- a\n b -->\n<style>\n/* c */\np { }\n</style>\n<script>\n// d\nf('<!--');\ng('-->');\n</script>\n"
    assert lines.html(page) == 8
    assert lines.css("/* a\n*/ p { content: '/*'; }\n") == 1
    assert lines.js("// a\nlet s = `\n// text`;\nlet r = /\\/\\*/;\nlet q = a / b; // c\n/* d */\n") == 4
    assert lines.js('let u = "http://x";\n') == 1


def test_a_source_is_known_by_its_end_or_its_first_line() -> None:
    known = {("a.c", b""): "C", ("a.h", b""): "C", ("x/run", b"#!/usr/bin/env python3\n"): "Python", ("init", b"#!/bin/busybox sh\n"): "sh",
             ("a.json", b"#!/bin/sh\n"): None, ("README", b"text\n"): None, (".ci", b"#!/bin/bash\n"): "sh", ("p.js", b""): "JS"}
    for (path, text), language in known.items():
        assert lines.language(path, text) == language, path


def sources(top: str) -> None:
    os.makedirs(os.path.join(top, "tests/fuzz/corpus/x"))
    os.makedirs(os.path.join(top, "lib/box"))
    for path, text in {"lib/a.c": "int a;\n", "lib/box/b.h": "int b;\n", "tests/t.sh": "true\n", "tests/fuzz/corpus/x/d.c": "int d;\n",
                       "data.json": "{}\n"}.items():
        with open(os.path.join(top, path), "w") as f:
            f.write(text)
    for args in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"]):
        subprocess.run(["git", "-C", top, *args], check=True)
    with open(os.path.join(top, "untracked.c"), "w") as f:
        f.write("int u;\n")


def test_a_tree_and_its_revision_are_counted_alike_without_data_and_what_is_not_tracked() -> None:
    with tempfile.TemporaryDirectory() as top:
        sources(top)
        setattr(lines, "TOP", top)
        expected = {("product", "lib", "C"): 1, ("product", "lib/box", "C"): 1, ("tests", "tests", "sh"): 1}
        assert lines.counted(lines.of_tree(top)) == expected
        assert lines.counted(lines.of_revision("HEAD")) == expected


def test_the_script_says_what_it_cannot_read() -> None:
    r = subprocess.run([SCRIPT, "no-such-revision"], capture_output=True, text=True)
    assert r.returncode == 1 and "neither a tracked folder nor a revision" in r.stderr, r


sys.exit(rules.run("lines", globals()))
