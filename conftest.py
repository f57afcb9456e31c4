"""Runs the examples of README.md and docs/: Python blocks, and ``console`` blocks of ``$ crystint`` commands.

The blocks of a document share one namespace and one folder, which is empty at first. Outputs that are shown are
checked; ``...`` stands for anything. A command with & at its end goes on until the page ends; it is ready when it has
printed a line. The pages under docs/online have the ports of the services: they are run with free ones in their place.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.processes import heeding_sigint

try:
    from sybil import Sybil
    from sybil.document import Document
    from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
except ImportError:
    Sybil = None

if TYPE_CHECKING:
    from sybil import Example

_ROOT = Path(__file__).resolve().parent
_FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
_places: dict[int, tuple[TemporaryDirectory[str], str]] = {}
_going_on: list[subprocess.Popen[str]] = []
"""commands of the page that go on; one page is run at a time"""
_PORTS = ("5232", "5600", "5601", "5602", "5603", "5604", "31001")
"""of the pages under docs/online"""


def _enter(namespace: dict[str, Any]) -> None:
    folder = TemporaryDirectory()
    _places[id(namespace)] = folder, os.getcwd()
    os.chdir(folder.name)


def _leave(namespace: dict[str, Any]) -> None:
    folder, before = _places.pop(id(namespace))
    os.chdir(before)
    with folder:
        while _going_on:
            process = _going_on.pop()
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise


def _run(command: str, url: str = "") -> str:
    """What a command of crystint prints on stdout; of one that goes on, the first line."""
    words = shlex.split(command)
    assert words[0] == "crystint", f"only crystint is run, not {words[0]}"
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path} | ({"CRYSTINT_URL": url} if url else {})
    if words[-1] == "&":
        with heeding_sigint():
            process = subprocess.Popen(
                [sys.executable, "-m", *words[:-1]], env=environment, stdout=subprocess.PIPE, text=True,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        _going_on.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{command} ended with {process.wait()}"
        return line
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _free_ports(number: int) -> list[str]:
    """Ports that nobody listens at, below those that the system gives to connections, so that they stay free.

    Processes that share the tests out have ranges of their own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    begin = 20000 + 3000 * (worker % 4)
    ports: list[str] = []
    while len(ports) < number:
        port = random.randrange(begin, begin + 3000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(str(port))
    return ports


def _console(example: Example) -> str | None:
    """Run the commands of a block one after the other; what is wrong with their output, or None."""
    for part in ("\n" + example.parsed).split("\n$ ")[1:]:
        command, _, expected = part.replace("\\\n", " ").partition("\n")
        found = _run(command, getattr(example.document, "url", ""))
        if expected.strip() and not OutputChecker().check_output(expected.strip(), found.strip(), _FLAGS):
            return f"{command}\nexpected:\n{expected}\nfound:\n{found}"
    return None


if Sybil is not None:
    PARSERS = [
        PythonCodeBlockParser(doctest_optionflags=_FLAGS),
        CodeBlockParser(language="console", evaluator=_console),
        SkipParser(),
    ]

    class _PageOfAService(Document):
        """A page with free ports in place of those in its text."""

        def __init__(self, text: str, path: str) -> None:
            ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
            pattern = "|".join(_PORTS)
            super().__init__(re.sub(rf"(?<=:)({pattern})\b", lambda port: ports[port[1]], text), path)
            self.url = f"http://127.0.0.1:{ports['5232']}"

    _common: Any = {"parsers": PARSERS, "setup": _enter, "teardown": _leave}
    _pages = Sybil(patterns=["README.md", "docs/*.md", "docs/*/*.md"], excludes=["docs/online/*.md"], **_common)
    _online = Sybil(patterns=["docs/online/*.md"], document_types={".md": _PageOfAService}, **_common)
    pytest_collect_file = (_pages + _online).pytest()


def pytest_report_header() -> list[str]:
    """Say so when the examples are left out."""
    return [] if Sybil is not None else ["sybil is not installed: the examples of README.md and docs/ are not run"]
