"""|q|^2 and sigma of reflections as MTZ, SHELX HKLF 4 or text.

`write_sfac` chooses by the suffix. All files are whole or not there. Reflections without |q|^2 (NaN) are missing values
in MTZ and text, and are left out of HKLF 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import ArrayLike

from crystint import __version__
from crystint.arrays import FileName
from crystint.cbc.merging.export_mtz import checked_columns, write_mtz
from crystint.cbc.merging.families import symmetry_group
from crystint.errors import SettingError
from crystint.io.outputs import atomic_path

__all__ = ["write_hklf4", "write_mtz", "write_sfac", "write_text"]

_LARGEST = 99999.99
"""in a field F8.2; with a minus sign a tenth of it"""
_BATCH_LARGEST = 9999


def write_sfac(path: FileName, merged: Mapping[str, ArrayLike], **options: Any) -> None:
    """Write merged or unmerged |q|^2 to .mtz, .hkl (SHELX HKLF 4) or .txt (also .dat, .asc).

    Parameters
    ----------
    path : path
    merged : mapping
        hkl int [n, 3]; sfac float [n], |q|^2; serr float [n], sigma; cnts int [n], streaks; optional batch int [n],
        which makes files unmerged.
    **options
        symmetry, cell, wavelength, history, overwrite: see `write_mtz`; those that a format does not hold are ignored.

    Raises
    ------
    SettingError
        For another suffix, or as the formats do.
    ShapeError, FileError
        As the formats do.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler, x = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm").train(bandwidth=2e-3)
    >>> cbc.write_sfac("merged.mtz", scaler.merge_sfac(x), symmetry="mmm", cell=data.setup.cell)
    """
    formats: dict[str, Callable[..., Any]] = {
        ".mtz": write_mtz, ".hkl": write_hklf4, ".txt": write_text, ".dat": write_text, ".asc": write_text,
    }  # fmt: skip
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise SettingError(
            f"{path}: |q|^2 are written to .mtz, .hkl (SHELX HKLF 4) or .txt, not to {suffix or 'no suffix'}"
        )
    if suffix == ".hkl":
        options = {name: value for name, value in options.items() if name in ("overwrite", "scale")}
    formats[suffix](
        path, merged["hkl"], merged["sfac"], merged["serr"], merged["cnts"], batch=merged.get("batch"), **options
    )


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

    Indices are written as they are given. Rows without |q|^2 or sigma, and 0 0 0, are left out; a sigma that would read
    0.00 becomes 0.01. `count` is not in the format.

    Parameters
    ----------
    batch : int [n], optional
        0 to 9998; written as batch + 1.
    scale : float, optional
        Multiply |q|^2 and sigma by it. None: the power of 10 with which the largest value just fits; for values that
        fit and lose nothing worth telling (the smallest sigma is 1 or more) it is 1.

    Returns
    -------
    float
        The scale used.

    Raises
    ------
    SettingError
        When an index, a batch or, with a given scale, a value does not fit its field, or nothing is left to write.
    ShapeError, FileError
        As `write_mtz`.
    """
    rows, columns = checked_columns(hkl, intensity=intensity, sigma=sigma, batch=batch)
    keep = np.isfinite(columns["intensity"]) & (columns["sigma"] >= 0.0) & np.isfinite(columns["sigma"])
    keep &= rows.any(axis=1)
    if not keep.any():
        raise SettingError(f"{path}: no reflection has |q|^2 and sigma, so there is nothing to write")
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
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text("\n".join([*lines.tolist(), end]) + "\n", encoding="ascii")
    return float(scale)


def write_text(
    path: FileName,
    hkl: ArrayLike,
    intensity: ArrayLike,
    sigma: ArrayLike,
    count: ArrayLike,
    *,
    batch: ArrayLike | None = None,
    symmetry: gemmi.SpaceGroup | str | int | None = None,
    cell: Sequence[float] | gemmi.UnitCell | None = None,
    wavelength: float = 0.0,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write columns h k l I sigma N (and batch) with a header of lines that begin with #. Parameters as `write_mtz`."""
    rows, columns = checked_columns(hkl, intensity=intensity, sigma=sigma, count=count, batch=batch)
    group = symmetry_group(symmetry)
    head = [f"crystint {__version__}: |q|^2 from convergent-beam diffraction, {len(rows)} reflections"]
    head.append("symmetry: " + ("equal indices only" if group is None else f"that of {group.xhm()}"))
    if cell is not None:
        unit = cell.parameters if isinstance(cell, gemmi.UnitCell) else tuple(cell)
        head.append("cell: " + " ".join(f"{value:g}" for value in unit) + " angstrom, degrees")
    if wavelength:
        head.append(f"wavelength: {wavelength:g} angstrom")
    head += [*history, "I: |q|^2, counts where chi is 1; sigma: of it, the common scale taken as known; N: streaks"]
    names = f"{'h':>3}{'k':>5}{'l':>5}{'I':>15}{'sigma':>15}{'N':>7}" + (f"{'batch':>8}" if batch is not None else "")
    last = columns.get("batch")
    with atomic_path(path, overwrite) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.writelines(f"# {line}\n" for line in head)
        out.write(f"# {names}\n")
        for row, (h, k, l) in enumerate(rows.tolist()):  # noqa: E741
            tail = "" if last is None else f"{int(last[row]):8d}"
            value, error, n = (columns[name][row] for name in ("intensity", "sigma", "count"))
            out.write(f"{h:5d}{k:5d}{l:5d}{value:15.7g}{error:15.7g}{int(n):7d}{tail}\n")
