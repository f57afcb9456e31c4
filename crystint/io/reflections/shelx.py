"""Intensities for SHELX: HKLF 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint import __version__
from crystint.arrays import FileName, Floats
from crystint.errors import SettingError, ShapeError
from crystint.io.outputs import atomic_path
from crystint.model.indices import checked

__all__ = ["checked_columns", "row_words", "write_hklf4"]

_LARGEST = 99999.99
"""in a field F8.2; with a minus sign a tenth of it"""
_BATCH_LARGEST = 9999


def row_words(line: str) -> list[str]:
    """h, k, l, value and sigma of a row as text: by the columns of HKLF 4 where it has them, for fields may touch."""
    if len(line) >= 28 and line[17] == line[25] == ".":
        return [line[0:4], line[4:8], line[8:12], line[12:20], line[20:28]]
    return line.split()


def write_hklf4(
    path: FileName,
    hkl: ArrayLike,
    intensity: ArrayLike,
    sigma: ArrayLike,
    count: ArrayLike | None = None,
    *,
    batch: ArrayLike | None = None,
    scale: float | None = None,
    overwrite: bool = False,
) -> float:
    """Write SHELX's HKLF 4: 3I4, 2F8.2 and, with `batch`, I4; the line 0 0 0 ends it (Sheldrick, SHELX-97 manual, 2).

    Indices are written as they are given. Rows without intensity or sigma, and 0 0 0, are left out; a sigma that would
    read 0.00 becomes 0.01. `count` is not in the format. A scale other than 1 is told in a line below the end, which
    SHELX does not read.

    Parameters
    ----------
    batch : int [n], optional
        0 to 9998; written as batch + 1.
    scale : float, optional
        Multiply intensities and sigmas by it. None: the power of 10 with which the largest value just fits; for values
        that fit and lose nothing worth telling (the smallest sigma is 1 or more) it is 1.

    Returns
    -------
    float
        The scale used.

    Raises
    ------
    SettingError
        When an index, a batch or, with a given scale, a value does not fit its field, or nothing is left to write.
    ShapeError, FileError
        When columns differ in length; when the file exists and `overwrite` is False, or cannot be written.
    """
    rows, columns = checked_columns(hkl, intensity=intensity, sigma=sigma, batch=batch)
    keep = np.isfinite(columns["intensity"]) & (columns["sigma"] >= 0.0) & np.isfinite(columns["sigma"])
    keep &= rows.any(axis=1)
    if not keep.any():
        raise SettingError(f"{path}: no reflection has the intensity and sigma, so there is nothing to write")
    rows, value, error = rows[keep], columns["intensity"][keep], columns["sigma"][keep]
    if rows.min() < -999 or rows.max() > 9999:
        raise SettingError(f"{path}: an index reaches from {rows.min()} to {rows.max()}; HKLF 4 holds -999 to 9999")
    largest = max(float(value.max()), float(error.max()), -10.0 * float(value.min()))
    if scale is None:
        fits, fine = largest <= _LARGEST, bool((error[error > 0.0] >= 1.0).all())
        scale = 1.0 if largest == 0.0 or (fits and fine) else 10.0 ** np.floor(np.log10(_LARGEST / largest))
    if not (np.isfinite(scale) and scale > 0.0 and round(largest * scale, 2) <= _LARGEST):
        raise SettingError(f"{path}: with scale {scale!r} values up to {largest * scale:g} do not fit F8.2 (99999.99)")
    parts = [np.char.mod("%4d", rows[:, column]) for column in range(3)]
    parts += [np.char.mod("%8.2f", value * scale), np.char.mod("%8.2f", np.maximum(error * scale, 0.01))]
    if batch is not None:
        number = columns["batch"][keep].astype(np.int64)
        if number.max() >= _BATCH_LARGEST:
            raise SettingError(f"{path}: batch {number.max()} does not fit; HKLF 4 holds 0 to {_BATCH_LARGEST - 1}")
        parts.append(np.char.mod("%4d", number + 1))
    lines = parts[0]
    for part in parts[1:]:
        lines = np.char.add(lines, part)
    end = 3 * f"{0:4d}" + 2 * f"{0.0:8.2f}" + (f"{0:4d}" if batch is not None else "")
    told = [] if scale == 1.0 else [f"crystint {__version__}: intensities and sigmas are multiplied by {scale:g}"]
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text("\n".join([*lines.tolist(), end, *told]) + "\n", encoding="ascii")
    return float(scale)


def checked_columns(hkl: ArrayLike, **optional: ArrayLike | None) -> tuple[NDArray[np.int32], dict[str, Floats]]:
    """Indices int32 [n, 3] and the columns that are given, float64 [n].

    Raises
    ------
    ShapeError, SettingError
        When a column does not fit, or a batch is no number from 0 on.
    """
    rows = checked(np.asarray(hkl))
    columns = {}
    for name, values in optional.items():
        if values is None:
            continue
        column = np.asarray(values, dtype=np.float64)
        if column.shape != (len(rows),):
            raise ShapeError(f"{name} is {column.shape}, expected {(len(rows),)}, one per reflection")
        if name == "batch" and len(column) and not (np.isfinite(column).all() and column.min() >= 0):
            raise SettingError("a batch has no number, or one below 0")
        columns[name] = column
    return rows, columns
