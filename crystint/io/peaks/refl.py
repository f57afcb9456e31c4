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
from crystint.model.spots import SpotList, unknown_spots

__all__ = ["read_refl", "refl_spots", "write_refl"]

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


def write_refl(
    path: Path,
    peaks: PeakList,
    spots: SpotList | None = None,
    *,
    shape: tuple[int, int],
    images: NDArray[np.int64],
    one_scan: bool,
    overwrite: bool,
) -> None:
    """x = fast and y = slow in px from the outer corner; flags strong, as dials.find_spots sets.

    A row for each joined spot, where there are any; for each peak of each frame where not. A spot of unknown box gets
    one of three pixels about its centroid. Columns that DIALS does not know keep the rest.

    Parameters
    ----------
    images : int64 [frames]
        Of `image_numbers`.
    one_scan : bool
        All frames are one experiment: ``id`` is 0, and z in images of the scan. Otherwise ``id`` is the frame, as
        dials.import numbers stills, and z the frame + 0.5.
    """
    if spots is None:
        frames = images if one_scan else np.arange(len(images))
        first = frames[peaks["frame"]]
        columns = _columns(peaks, shape, first + 0.5, np.full(len(peaks), _PIXEL), first, first + 1)
        own = {"crystint.frame": peaks["frame"]}
    else:
        first = images[spots["frame0"]]
        moved = first - spots["frame0"]
        columns = _columns(spots, shape, spots["z"] + moved, spots["z_sigma"] ** 2, first, spots["frame1"] + moved)
        own = {"crystint.frame": spots["frame0"], "crystint.n_frames": spots["n_frames"]}
        columns["crystint.z_sigma"] = "double", spots["z_sigma"]
    columns |= {name: ("int", values) for name, values in own.items()}
    columns["id"] = "int", np.zeros(len(first)) if one_scan else peaks["frame"]
    write_table(path, columns, overwrite=overwrite)


def _columns(
    rows: PeakList | SpotList,
    shape: tuple[int, int],
    z: NDArray[np.float64],
    z_variance: NDArray[np.float64],
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
) -> dict[str, tuple[str, NDArray[Any]]]:
    """What peaks and spots have alike."""
    n = len(rows)
    statistical = [np.square(np.nan_to_num(rows[name])) for name in ("fast_sigma", "slow_sigma")]
    variance = np.stack([_PIXEL + statistical[0], _PIXEL + statistical[1], z_variance], axis=-1)
    slow = np.clip(np.floor(rows["slow"]).astype(np.int64), 0, shape[0] - 1)
    fast = np.clip(np.floor(rows["fast"]).astype(np.int64), 0, shape[1] - 1)
    three = [
        np.maximum(fast - 1, 0),
        np.minimum(fast + 2, shape[1]),
        np.maximum(slow - 1, 0),
        np.minimum(slow + 2, shape[0]),
    ]
    boxed = (rows["fast1"] > rows["fast0"]) & (rows["slow1"] > rows["slow0"])
    own = [np.where(boxed, rows[name], other) for name, other in zip(_BOX, three, strict=True)]
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        "panel": ("std::size_t", np.zeros(n)),
        "id": ("int", np.zeros(n)),
        "xyzobs.px.value": ("vec3<double>", np.stack([rows["fast"], rows["slow"], z], axis=-1)),
        "xyzobs.px.variance": ("vec3<double>", variance),
        "intensity.sum.value": ("double", rows["intensity"]),
        "intensity.sum.variance": ("double", rows["sigma"] ** 2),
        "bbox": ("int6", np.stack([*own, first, stop], axis=-1)),
        "flags": ("std::size_t", np.full(n, _STRONG)),
        "n_signal": ("int", rows["npix"]),
        "crystint.flags": ("std::size_t", rows["flags"]),
    }
    return columns | {name: ("double", rows[column]) for column, name in _OWN.items()}


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
    peaks["frame"] = np.floor(position[:, 2]) - _ahead(columns, rows)
    _fill(peaks, columns)
    return peaks[np.argsort(peaks["frame"], kind="stable")]


def _fill(rows: PeakList | SpotList, columns: Mapping[str, NDArray[Any]]) -> None:
    """What peaks and spots have alike."""
    names = {"intensity": "intensity.sum.value", "npix": "n_signal", "flags": "crystint.flags", **_OWN}
    if "crystint.snr" in columns:
        names["snr"] = "crystint.snr"  # its name in the first crystint
    for column, values in zip(_BOX, columns["bbox"].T[:4] if "bbox" in columns else (), strict=False):
        rows[column] = values
    for column, name in names.items():
        if name in columns:
            rows[column] = columns[name]
    if "intensity.sum.variance" in columns:
        rows["sigma"] = np.sqrt(np.maximum(columns["intensity.sum.variance"], 0.0))


def _ahead(columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.int64]:
    """By how much the images of DIALS are ahead of the frames of crystint's sequence."""
    if "crystint.frame" not in columns or "bbox" not in columns:
        return np.zeros(rows, np.int64)
    ahead: NDArray[np.int64] = columns["bbox"][:, 4].astype(np.int64) - columns["crystint.frame"]
    return ahead


def refl_spots(path: Path) -> SpotList | None:
    """The spots of a .refl file, crystint's or DIALS's; None = those of frames that are not joined.

    Raises
    ------
    FileError
        As `read_refl`.
    """
    table = read_table(path)
    columns = table.columns
    if not {"xyzobs.px.value", "bbox"} <= set(columns):
        return None
    box = columns["bbox"].astype(np.int64)
    if "crystint.n_frames" not in columns and (
        any(name.startswith("crystint.") for name in columns) or not (box[:, 5] - box[:, 4] > 1).any()
    ):
        return None
    spots, position = unknown_spots(table.rows), columns["xyzobs.px.value"]
    ahead = _ahead(columns, table.rows)
    spots["fast"], spots["slow"], spots["z"] = position[:, 0], position[:, 1], position[:, 2] - ahead
    spots["frame0"], spots["frame1"] = box[:, 4] - ahead, box[:, 5] - ahead
    spots["n_frames"] = columns.get("crystint.n_frames", box[:, 5] - box[:, 4])
    _fill(spots, columns)
    if "crystint.z_sigma" in columns:
        spots["z_sigma"] = columns["crystint.z_sigma"]
    return spots
