"""What type checkers see of the public operations."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

CODE = """
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import crystint
from crystint import Background, PeakList, Separator, SparseFrame


def operations(separator: Separator, loaded: NDArray[np.uint16], any_array: NDArray[Any]) -> None:
    frame = np.zeros((100, 110), np.uint16)
    frames = np.zeros((5, 100, 110), np.uint16)
    assert_type(separator.background(frame), Background)
    assert_type(separator.background(frames), list[Background])
    assert_type(separator.sparsify(frame, 4.0, number=3), SparseFrame)
    assert_type(separator.sparsify(frames, noise=0.5), list[SparseFrame])
    assert_type(separator.peaks(frame, patch=5), PeakList)
    assert_type(separator.peaks(frames, 6.0, strict_mask=True), list[PeakList])
    assert_type(separator.separate(frame), tuple[SparseFrame, PeakList])
    assert_type(separator.separate(frames, d_min=2.0), list[tuple[SparseFrame, PeakList]])
    # An unknown number of axes is taken for one frame; nothing known at all makes the result Any, as typing has it.
    assert_type(separator.peaks(loaded), PeakList)
    assert_type(separator.separate(loaded), tuple[SparseFrame, PeakList])
    peaks: PeakList = separator.peaks(any_array)
    several: list[PeakList] = separator.peaks(any_array)
    del peaks, several


def files(separator: Separator, frames: crystint.Frames) -> None:
    assert_type(separator.peaks(frames[0]), PeakList)
    assert_type(separator.peaks(frames[1:3]), list[PeakList])
    assert_type([separator.background(frame) for frame in frames], list[Background])
"""
WRONG = """
import numpy as np
from crystint import PeakList, Separator


def wrong(separator: Separator) -> None:
    peaks: list[PeakList] = separator.peaks(np.zeros((100, 110), np.uint16))
    background: int = separator.background(np.zeros((3, 100, 110), np.uint16))
    separator.sparsify(np.zeros((100, 110), np.uint16), "three")
    del peaks, background
"""


def checked(code, path):
    pytest.importorskip("mypy")
    path.write_text(code)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_one_frame_gives_one_result_and_several_a_list(tmp_path):
    done = checked(CODE, tmp_path / "operations.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_wrong_is_seen(tmp_path):
    done = checked(WRONG, tmp_path / "wrong.py")
    assert done.stdout.count("error:") == 3, done.stdout + done.stderr
