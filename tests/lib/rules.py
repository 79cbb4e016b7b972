# SPDX-License-Identifier: Apache-2.0
"""rules.py - for the programs of tests/tools: runs their functions test_*, and says of each what tests/run reads."""
from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
import traceback
import types
from collections.abc import Callable, Mapping


class Skip(Exception):
    """Raised by a test that cannot be tried here, with the reason."""


def load(name: str, path: str) -> types.ModuleType:
    """A program without .py as a module."""
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def run(of: str, names: Mapping[str, object],
        around: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext) -> int:
    """The tests among a module's names, in their order, each inside around(): the status to exit with."""
    status = 0
    for name, test in list(names.items()):
        if not name.startswith("test_") or not callable(test):
            continue
        try:
            with around():
                test()
            print(f"ok {of}.{name[5:]}")
        except Skip as e:
            print(f"skip {of}.{name[5:]}: {e}")
        except Exception:  # pylint: disable=broad-except
            status = 1
            print(f"not ok {of}.{name[5:]}")
            print("    " + traceback.format_exc().replace("\n", "\n    "))
    return status
