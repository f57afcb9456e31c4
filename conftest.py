"""Runs the examples of README.md and docs/: Python blocks, and ``console`` blocks of ``$ crystint`` commands.

The blocks of a document share one namespace and one folder, which is empty at first. Outputs that are shown are
checked; ``...`` stands for anything.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

try:
    from sybil import Sybil
    from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
except ImportError:
    Sybil = None

if TYPE_CHECKING:
    from sybil import Example

_ROOT = Path(__file__).resolve().parent
_FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
_places: dict[int, tuple[TemporaryDirectory[str], str]] = {}


def _enter(namespace: dict[str, Any]) -> None:
    folder = TemporaryDirectory()
    _places[id(namespace)] = folder, os.getcwd()
    os.chdir(folder.name)


def _leave(namespace: dict[str, Any]) -> None:
    folder, before = _places.pop(id(namespace))
    os.chdir(before)
    folder.cleanup()


def _run(command: str) -> str:
    """What a command of crystint prints on stdout."""
    words = shlex.split(command)
    assert words[0] == "crystint", f"only crystint is run, not {words[0]}"
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _console(example: Example) -> str | None:
    """Run the commands of a block one after the other; what is wrong with their output, or None."""
    for part in ("\n" + example.parsed).split("\n$ ")[1:]:
        command, _, expected = part.replace("\\\n", " ").partition("\n")
        found = _run(command)
        if expected.strip() and not OutputChecker().check_output(expected.strip(), found.strip(), _FLAGS):
            return f"{command}\nexpected:\n{expected}\nfound:\n{found}"
    return None


if Sybil is not None:
    PARSERS = [
        PythonCodeBlockParser(doctest_optionflags=_FLAGS),
        CodeBlockParser(language="console", evaluator=_console),
        SkipParser(),
    ]
    pytest_collect_file = Sybil(
        parsers=PARSERS,
        patterns=["README.md", "docs/*.md", "docs/*/*.md"],
        setup=_enter,
        teardown=_leave,
    ).pytest()


def pytest_report_header() -> list[str]:
    """Say so when the examples are left out."""
    return [] if Sybil is not None else ["sybil is not installed: the examples of README.md and docs/ are not run"]
