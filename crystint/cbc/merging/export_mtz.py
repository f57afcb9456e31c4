"""|q|^2 and sigma of reflections as MTZ files, merged or with a batch per frame."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint import __version__
from crystint.arrays import Floats
from crystint.cbc.merging.families import families, symmetry_group
from crystint.errors import SettingError
from crystint.io.outputs import atomic_path
from crystint.io.reflections.shelx import checked_columns
from crystint.model import symmetry as reciprocal

__all__ = ["write_mtz"]

_HISTORY = (80, 30)
"""Characters of a line and lines of history that an MTZ file may have."""


def write_mtz(
    path: str | PathLike[str],
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
    """Write an MTZ file, indices in CCP4's asymmetric unit.

    Merged: H K L IMEAN SIGIMEAN N; where Friedel mates come apart also I(+) SIGI(+) I(-) SIGI(-) N(+) N(-), and IMEAN
    is their mean with weights 1 / sigma^2 (both sigmas missing: the plain mean). Unmerged (`batch` given): H K L M/ISYM
    BATCH I SIGI N, a batch per frame.

    Parameters
    ----------
    path : path
    hkl : int [n, 3]
    intensity, sigma : float [n]
        |q|^2 and its sigma, on any scale; NaN = missing.
    count : int [n]
        Streaks that it is from.
    batch : int [n], optional
        Number of the batch of each row, 0 or more; written as batch + 1.
    symmetry : gemmi.SpaceGroup, str, int or None
        As for `families`; None = P 1.
    cell : six floats or gemmi.UnitCell
        angstrom and degrees. MTZ cannot do without.
    wavelength : float
        angstrom.
    history : sequence of str
        What was done; lines are cut after 80 characters, the first 29 are kept.
    overwrite : bool

    Raises
    ------
    SettingError
        Without a cell, for an unknown symmetry, or for two rows of one reflection in a merged file.
    ShapeError
        When columns differ in length.
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    rows, columns = checked_columns(hkl, intensity=intensity, sigma=sigma, count=count, batch=batch)
    if cell is None:
        raise SettingError(f"{path}: an MTZ file needs the unit cell: give cell, six numbers in angstrom and degrees")
    unit = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    group = symmetry_group(symmetry) or gemmi.SpaceGroup("P 1")
    mtz = gemmi.Mtz(with_base=True)
    kind = "merged" if batch is None else "unmerged"
    mtz.title = f"{kind} convergent-beam diffraction"
    lines = [f"crystint {__version__}: {kind} |q|^2", *history][: _HISTORY[1]]
    mtz.history = [line[: _HISTORY[0]] for line in lines]
    mtz.spacegroup = group
    dataset = mtz.add_dataset("convergent-beam")
    dataset.project_name, dataset.crystal_name = "crystint", "crystal"
    mtz.set_cell_for_all(unit)
    for entry in mtz.datasets:
        entry.wavelength = wavelength
    if batch is None:
        unit_hkl, table = _merged(rows, columns, group)
    else:
        unit_hkl, isym = reciprocal.reduce(rows, group)
        table = [
            ("M/ISYM", "Y", isym.astype(np.float64)), ("BATCH", "B", columns["batch"] + 1),
            ("I", "J", columns["intensity"]), ("SIGI", "Q", columns["sigma"]), ("N", "I", columns["count"]),
        ]  # fmt: skip
        for number in np.unique(columns["batch"]).astype(int).tolist():
            header = gemmi.Mtz.Batch()
            header.number, header.dataset_id, header.wavelength, header.cell = number + 1, 1, wavelength, unit
            header.title = f"frame {number}"
            mtz.batches.append(header)
    for name, letter, _ in table:
        mtz.add_column(name, letter, dataset_id=1)
    mtz.set_data(np.column_stack([unit_hkl, *(values for _, _, values in table)]).astype(np.float32))
    mtz.sort(5)
    with atomic_path(path, overwrite) as temporary:
        mtz.write_to_file(str(temporary))


def _merged(
    rows: NDArray[np.int32], columns: dict[str, Floats], group: gemmi.SpaceGroup
) -> tuple[NDArray[np.int32], list[tuple[str, str, Floats]]]:
    """Indices of the asymmetric unit, and the columns of a merged file."""
    merged = families(rows, group)
    mates = [np.flatnonzero(merged.sign == sign) for sign in (1, -1)]
    side = np.full((2, 3, len(merged)), np.nan)
    side[:, 2] = 0.0
    for values, which in zip(side, mates):
        at = merged.number[which]
        if len(np.unique(at)) < len(at):
            twice = rows[which[np.argmax(np.bincount(at)[at] > 1)]].tolist()
            raise SettingError(
                f"{twice} is there more than once, or with an equivalent, in {group.xhm()}: merge in that symmetry, or"
                " give batch for an unmerged file"
            )
        for row, name in enumerate(("intensity", "sigma", "count")):
            values[row, at] = columns[name][which]
    value, error, count = side[:, 0], side[:, 1], side[:, 2]
    there = np.isfinite(value)
    weight = np.where(there, 1.0, 0.0)
    weighed = (there <= (error > 0.0)).all(axis=0)
    weight[:, weighed] = np.where(there, 1.0 / np.where(error > 0.0, error, 1.0) ** 2, 0.0)[:, weighed]
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(there, weight / total, 0.0)
        mean = np.where(total > 0.0, (share * np.where(there, value, 0.0)).sum(axis=0), np.nan)
        spread = np.sqrt((share**2 * np.where(share > 0.0, error, 0.0) ** 2).sum(axis=0))
    spread[~(total > 0.0)] = np.nan
    table = [("IMEAN", "J", mean), ("SIGIMEAN", "Q", spread), ("N", "I", count.sum(axis=0))]
    if len(mates[1]):
        for label, row in (("+", 0), ("-", 1)):
            table += [(f"I({label})", "K", value[row]), (f"SIGI({label})", "M", error[row])]
        table += [(f"N({label})", "I", count[row]) for label, row in (("+", 0), ("-", 1))]
    return merged.hkl, table
