"""How other programs count the frames of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    if sources is not None and n_frames and all(source.dataset is None and source.index == 0 for source in sources):
        names = [_LAST_DIGITS.match(_stem(source.file)) for source in sources]
        series = {(match[1], match[3], str(Path(source.file).parent)) if match else None
                  for match, source in zip(names, sources, strict=True)}  # fmt: skip
        if len(series) == 1 and None not in series:
            named = np.array([int(match[2]) for match in names if match], np.int64)
            if len(np.unique(named)) == n_frames:
                return named - 1
    return np.arange(n_frames) if numbers is None else np.asarray(numbers, np.int64)[:n_frames]


def _stem(file: str) -> str:
    """The name without suffixes: what is packed has two."""
    path = Path(file)
    if path.suffix.lower() in (".gz", ".bz2"):
        path = path.with_suffix("")
    return path.stem
