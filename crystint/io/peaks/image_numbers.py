"""How other programs count the frames of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.frames.frame_sources import FrameSources

__all__ = ["image_numbers"]

_LAST_DIGITS = re.compile(r"(.*?)(\d+)(\D*)$")


def image_numbers(
    n_frames: int, sources: Sequence[Any] | None, numbers: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Where each frame begins on the axis z of DIALS and XDS: image 1 reaches from 0 to 1.

    Both take the number of an image from its name where each is a file of one series (``run_00101.cbf`` reaches from
    100 to 101), and count from 1 in HDF5 files.

    Parameters
    ----------
    n_frames : int
    sources : sequence of FrameSource, optional
        Of each frame.
    numbers : int64 [n_frames], optional
        Of each frame in the whole sequence that it was selected from; None = all of it is here.

    Returns
    -------
    int64 [n_frames]
    """
    told = FrameSources.of(() if sources is None else sources)
    if n_frames and len(told.places) == n_frames == len(told) and not told.number.any():
        names = [_LAST_DIGITS.match(_stem(file)) for file, dataset in told.places if dataset is None]
        series = {(match[1], match[3], str(Path(file).parent)) if match else None
                  for match, (file, _) in zip(names, told.places, strict=False)}  # fmt: skip
        if len(names) == n_frames and len(series) == 1 and None not in series:
            named = np.array([int(match[2]) for match in names if match], np.int64)
            if len(np.unique(named)) == n_frames:
                return named[told.place] - 1
    return np.arange(n_frames) if numbers is None else np.asarray(numbers, np.int64)[:n_frames]


def _stem(file: str) -> str:
    """The name without suffixes: what is packed has two."""
    path = Path(file)
    if path.suffix.lower() in (".gz", ".bz2"):
        path = path.with_suffix("")
    return path.stem
