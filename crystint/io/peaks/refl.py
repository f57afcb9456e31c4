"""Peak lists as DIALS reflection tables (.refl)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.reflections.dials_table import read_table
from crystint.io.reflections.dials_table_out import write_table
from crystint.model.peaks import PeakList, unknown_peaks

__all__ = ["read_refl", "write_refl"]

_STRONG = 1 << 5
_OWN = {
    "maximum": "crystint.maximum",
    "background": "crystint.background",
    "snr": "crystint.i_over_sigma",
    "significance": "crystint.significance",
    "slow_sigma": "crystint.slow_sigma",
    "fast_sigma": "crystint.fast_sigma",
    "d": "d",
}
_BOX = ("fast0", "fast1", "slow0", "slow1")
_PIXEL = 1 / 12
"""variance of a place somewhere in a pixel, px^2; dials.find_spots adds it to that of every centroid, too"""


def write_refl(path: Path, peaks: PeakList, *, shape: tuple[int, int], overwrite: bool) -> None:
    """x = fast and y = slow in px from the outer corner, z = frame + 0.5; flags strong, as dials.find_spots
    sets.

    ``id`` is the frame, as dials.import numbers stills. A spot of unknown box gets one of three pixels about its
    centroid. Columns that DIALS does not know keep the rest.
    """
    write_table(path, _columns(peaks, shape), overwrite=overwrite)


def _columns(peaks: PeakList, shape: tuple[int, int]) -> dict[str, tuple[str, NDArray[Any]]]:
    n = len(peaks)
    position = np.stack([peaks["fast"], peaks["slow"], peaks["frame"] + 0.5], axis=-1)
    statistical = [np.square(np.nan_to_num(peaks[name])) for name in ("fast_sigma", "slow_sigma")]
    variance = np.stack([_PIXEL + statistical[0], _PIXEL + statistical[1], np.full(n, _PIXEL)], axis=-1)
    slow = np.clip(np.floor(peaks["slow"]).astype(np.int64), 0, shape[0] - 1)
    fast = np.clip(np.floor(peaks["fast"]).astype(np.int64), 0, shape[1] - 1)
    three = [
        np.maximum(fast - 1, 0),
        np.minimum(fast + 2, shape[1]),
        np.maximum(slow - 1, 0),
        np.minimum(slow + 2, shape[0]),
    ]
    known = (peaks["fast1"] > peaks["fast0"]) & (peaks["slow1"] > peaks["slow0"])
    own = [np.where(known, peaks[name], other) for name, other in zip(_BOX, three, strict=True)]
    box = np.stack([*own, peaks["frame"], peaks["frame"] + 1], axis=-1)
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        "panel": ("std::size_t", np.zeros(n)),
        "id": ("int", peaks["frame"]),
        "xyzobs.px.value": ("vec3<double>", position),
        "xyzobs.px.variance": ("vec3<double>", variance),
        "intensity.sum.value": ("double", peaks["intensity"]),
        "intensity.sum.variance": ("double", peaks["sigma"] ** 2),
        "bbox": ("int6", box),
        "flags": ("std::size_t", np.full(n, _STRONG)),
        "n_signal": ("int", peaks["npix"]),
        "crystint.flags": ("std::size_t", peaks["flags"]),
    }
    return columns | {name: ("double", peaks[column]) for column, name in _OWN.items()}


def read_refl(path: Path) -> PeakList:
    """The peaks of a .refl file, crystint's or DIALS's; columns it lacks are 0, or NaN for ``d``.

    Raises
    ------
    FileError
        When it is missing, damaged, or no reflection table with ``xyzobs.px.value``.
    """
    table = read_table(path)
    if "xyzobs.px.value" not in table:
        raise FileError(f"{path} is a reflection table, but has no xyzobs.px.value: it holds no spots that were found")
    return _peaks(table.columns, table["xyzobs.px.value"], table.rows)


def _peaks(columns: Mapping[str, NDArray[Any]], position: NDArray[np.float64], rows: int) -> PeakList:
    peaks = unknown_peaks(rows)
    peaks["fast"], peaks["slow"] = position[:, 0], position[:, 1]
    peaks["frame"] = np.floor(position[:, 2])
    names = {"intensity": "intensity.sum.value", "npix": "n_signal", "flags": "crystint.flags", **_OWN}
    if "crystint.snr" in columns:
        names["snr"] = "crystint.snr"  # its name in the first crystint
    for column, values in zip(_BOX, columns["bbox"].T[:4] if "bbox" in columns else (), strict=False):
        peaks[column] = values
    for column, name in names.items():
        if name in columns:
            peaks[column] = columns[name]
    if "intensity.sum.variance" in columns:
        peaks["sigma"] = np.sqrt(np.maximum(columns["intensity.sum.variance"], 0.0))
    return peaks[np.argsort(peaks["frame"], kind="stable")]
