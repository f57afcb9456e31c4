"""Axes and kinds of scans that models and frames do not have in common."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.dials_detector import detector_of
from crystint.io.reflections.dials_rotation import rotation_of
from crystint.io.reflections.dials_sweeps import Sweep
from crystint.prediction.model_fit import check_angles, tell_stills
from tests.io.scan_files import experiments, mini_cbfs


def warned(action: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(each.message) for each in caught if issubclass(each.category, CrystintWarning)]


def turning(folder: Path, **values: Any) -> Frames:
    frames = crystint.open_frames(*mini_cbfs(folder, **values))
    warned(lambda: frames.scan)  # once: the direction is a guess
    return frames


def a_sweep(path: Path, axis: list[float], angles: tuple[float, float]) -> Sweep:
    """The model of a scan about an axis, in the frame of DIALS."""
    content = json.loads(experiments(path, gonio={"rotation_axis": axis}, angles=angles).read_text())
    rotation = rotation_of(content["scan"][0], content["goniometer"][0])
    assert rotation is not None
    return Sweep(
        0, rotation, np.zeros((6, 3, 3)), np.full((6, 3), [0.0, 0.0, -1.0]), detector_of(content["detector"][0]),
        None, None, 3.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("axis", "angles", "words"),
    [
        ([1.0, 0.0, 0.0], (12.5, 0.25), ""),
        ([0.9998, 0.02, 0.0], (12.5, 0.25), ""),  # refined
        ([-1.0, 0.0, 0.0], (-12.5, -0.25), ""),  # the same turn
        ([-1.0, 0.0, 0.0], (12.5, 0.25), "about (-1.000, 0.000, 0.000)"),
        ([0.0, 1.0, 0.0], (12.5, 0.25), "about (0.000, -1.000, 0.000)"),
    ],
)
def test_another_axis_is_told(tmp_path: Path, axis: list[float], angles: tuple[float, float], words: str) -> None:
    frames = turning(tmp_path)
    sweep = a_sweep(tmp_path / "e.expt", axis, angles)
    told = warned(lambda: check_angles(tmp_path / "e.expt", sweep, np.arange(5), frames))
    assert len(told) == bool(words)
    assert not words or (words in told[0] and "the frames say (1.000, 0.000, 0.000)" in told[0])


def test_angles_that_go_the_other_way_are_refused(tmp_path: Path) -> None:
    frames = turning(tmp_path)
    sweep = a_sweep(tmp_path / "e.expt", [1.0, 0.0, 0.0], (12.5, -0.25))
    with pytest.raises(FileError, match="give the model that was made from these frames"):
        check_angles(tmp_path / "e.expt", sweep, np.arange(5), frames)


def test_stills_on_frames_that_turn_are_told(tmp_path: Path) -> None:
    scan = turning(tmp_path).scan
    told = warned(lambda: tell_stills(tmp_path / "e.expt", np.arange(1, 5), scan))
    assert len(told) == 1
    assert "e.expt has stills" in told[0]
    assert "where 4 frames turn, frame 1 by 0.25 degrees" in told[0]
    (tmp_path / "still").mkdir()
    scan = turning(tmp_path / "still", width=0.0).scan
    assert not warned(lambda: tell_stills(tmp_path / "e.expt", np.arange(5), scan))
