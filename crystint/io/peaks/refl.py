"""Peak lists as DIALS reflection tables (.refl)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.reflections.dials_table import read_table
from crystint.io.reflections.dials_table_out import MadeRows, write_table
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
    rows = peaks if spots is None else spots
    frames = images if one_scan or spots is not None else np.arange(len(images))
    reach = partial(_reach, frames, joined=spots is not None)

    def column(name: str, kind: str = "double") -> tuple[str, MadeRows]:
        return kind, lambda some: rows[name][some]

    def constant(value: int, kind: str = "std::size_t") -> tuple[str, MadeRows]:
        return kind, lambda some: np.full(some.stop - some.start, value)

    columns: dict[str, tuple[str, MadeRows]] = {
        "panel": constant(0),
        "id": constant(0, "int") if one_scan else column("frame", "int"),
        "xyzobs.px.value": ("vec3<double>", lambda some: _centroid(rows[some], reach)),
        "xyzobs.px.variance": ("vec3<double>", lambda some: _variance(rows[some], joined=spots is not None)),
        "intensity.sum.value": column("intensity"),
        "intensity.sum.variance": ("double", lambda some: rows["sigma"][some] ** 2),
        "bbox": ("int6", lambda some: _box(rows[some], shape, reach)),
        "flags": constant(_STRONG),
        "n_signal": column("npix", "int"),
        "crystint.flags": column("flags", "std::size_t"),
    }
    columns |= {name: column(own) for own, name in _OWN.items()}
    if spots is None:
        columns["crystint.frame"] = column("frame", "int")
    else:
        columns["crystint.z_sigma"] = column("z_sigma")
        columns["crystint.frame"], columns["crystint.n_frames"] = column("frame0", "int"), column("n_frames", "int")
    write_table(path, columns, rows=len(rows), overwrite=overwrite)


_Reach: TypeAlias = Callable[[PeakList | SpotList], tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]]


def _reach(
    images: NDArray[np.int64], rows: PeakList | SpotList, *, joined: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Centroid along z of some rows, and where they begin and end there, in images."""
    if not joined:
        first = images[rows["frame"]]
        return first + 0.5, first, first + 1
    first = images[rows["frame0"]]
    moved = first - rows["frame0"]
    return rows["z"] + moved, first, rows["frame1"] + moved


def _centroid(rows: PeakList | SpotList, reach: _Reach) -> NDArray[np.float64]:
    return np.stack([rows["fast"], rows["slow"], reach(rows)[0]], axis=-1)


def _variance(rows: PeakList | SpotList, *, joined: bool) -> NDArray[np.float64]:
    statistical = [np.square(np.nan_to_num(rows[name])) for name in ("fast_sigma", "slow_sigma")]
    along = rows["z_sigma"] ** 2 if joined else np.full(len(rows), _PIXEL)
    return np.stack([_PIXEL + statistical[0], _PIXEL + statistical[1], along], axis=-1)


def _box(rows: PeakList | SpotList, shape: tuple[int, int], reach: _Reach) -> NDArray[np.int64]:
    """Of three pixels about the centroid where it is not known."""
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
    return np.stack([*own, *reach(rows)[1:]], axis=-1)


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
