"""Standard streams that are full, closed, or read by nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import LONG, ROOT

PROGRAM = [sys.executable, "-m", "crystint"]


def ended(words, *, redirected="", **pipes):
    """A process that has ended; `redirected` is what a shell does with its streams."""
    line = ["sh", "-c", f'exec "$@" {redirected}', "sh", *PROGRAM, *words]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        line,
        capture_output=not pipes,
        text=True,
        env=variables,
        timeout=LONG,
        check=False,
        stdin=subprocess.DEVNULL,
        **pipes,
    )


@pytest.fixture
def frames(tmp_path):
    """A file of one frame that needs no device to be described."""
    import numpy as np

    np.save(tmp_path / "frames.npy", np.zeros((20, 30), np.uint16))
    return tmp_path / "frames.npy"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["stills"], ["info"], ["info", "--json"]])
def test_a_full_standard_output_is_one_line_and_exit_1(words, unbuffered, frames, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    result = ended([*words, *([str(frames)] if words[0] == "info" else [])], redirected="> /dev/full")
    assert result.returncode == 1
    assert result.stderr == "crystint: error: standard output cannot be written: No space left on device\n"


def test_closed_streams_are_not_given_to_files(frames, tmp_path):
    result = ended(["plot", str(frames), "-o", str(tmp_path / "a.png")], redirected=">&- 2>&- <&-")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert ended(["info", str(frames)], redirected=">&-").stderr == ""
    assert ended(["info", str(tmp_path / "absent")], redirected="2>&-").returncode == 1


def test_a_reader_that_leaves_is_no_error(frames):
    read, write = os.pipe()
    os.close(read)
    try:
        for words in (["--help"], ["info", str(frames)]):
            result = ended(words, stdout=write, stderr=subprocess.PIPE)
            assert (result.returncode, result.stderr) == (1, "")
    finally:
        os.close(write)


def test_text_is_printed_whatever_the_terminal_can_show(frames, tmp_path):
    name = tmp_path / os.fsdecode(b"\xff\xc3\xa9.npy")
    frames.rename(name)
    for encoding in ("ascii:strict", "utf-8:strict", "latin-1:strict"):
        line = [*PROGRAM, "info", os.fspath(name)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        result = subprocess.run(line, capture_output=True, env=variables, timeout=LONG, check=False)
        assert (result.returncode, result.stderr) == (0, b""), encoding
        assert b"frames" in result.stdout
