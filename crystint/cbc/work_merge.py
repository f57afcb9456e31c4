"""Merging and comparing of scaled convergent-beam files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.merging.export import write_sfac
from crystint.cbc.merging.files import read_run, setup_in
from crystint.cbc.merging.result import CBCRun, Known
from crystint.cbc.scaling.scaler import IntensityScaler
from crystint.cbc.work_common import Done, Source
from crystint.errors import SettingError
from crystint.io.outputs import check_output
from crystint.io.reflections.reference_in import read_reference_cif, read_reference_mtz
from crystint.io.text_numbers import numbers

__all__ = ["merge_file", "run_with", "scaler_of"]

_MERGED = (".mtz", ".hkl", ".txt")


def scaler_of(run: CBCRun) -> tuple[IntensityScaler, NDArray[np.float64]]:
    """The scaler and x that a run was made with: to merge otherwise, or to go on."""
    scaler = IntensityScaler.of(run.table, grid=(run.maps.y, run.maps.x))
    merged = scaler.merge_hkl(run.settings.get("symmetry"), bool(run.settings.get("friedel", True)))
    again = merged.replace(xtal=run.maps, bandwidth=run.settings.get("bandwidth"), trace=tuple(run.trace.tolist()))
    return again, run.x


def merge_file(
    source: Source,
    outputs: Sequence[Source],
    *,
    symmetry: str | None = None,
    friedel: bool | None = None,
    cell: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Done:
    """Merge a scaled file and write |q|^2 and sigma: .mtz, .hkl (SHELX HKLF 4) or .txt.

    Parameters
    ----------
    symmetry, friedel
        Of the merging; None = those of the scaling.
    cell
        angstrom, degrees, with commas; None = that of the geometry in the file.

    Raises
    ------
    CrystintError
        When the file is no scaling, or the merging is impossible; nothing is written then.
    """
    for path in outputs:
        check_output(path, _MERGED, overwrite)
    run = read_run(source)
    unit: Any = numbers("cell", cell, 6, float)
    geometry = setup_in(source) if unit is None else None
    if geometry is not None:
        unit = geometry.cell
    if unit is None and any(Path(path).suffix.lower() == ".mtz" for path in outputs):
        raise SettingError(f"{source} has no geometry, so the unit cell is not known: give cell, or no .mtz output")
    same = symmetry is None and friedel is None
    name = run.settings.get("symmetry") if symmetry is None else symmetry
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        merged = _as_scaled(run) if same and np.isfinite(run.sigma).any() else _again(run, name, friedel)
    options: dict[str, Any] = {"symmetry": name, "cell": unit, "overwrite": overwrite}
    if geometry is not None:
        options["wavelength"] = 1e10 * geometry.wavelength
    history = [
        f"crystint cbc merge: {Path(source).name}, symmetry {name or 'none'}, bandwidth {run.settings['bandwidth']:g}"
    ]
    for path in outputs:
        write_sfac(path, merged, history=history, **options)
    known = np.isfinite(merged["sfac"])
    text = f"{int(known.sum())} reflections from {int(merged['cnts'].sum())} streaks"
    certain = known & (merged["serr"] > 0.0)
    if certain.any():
        text += f", median |q|^2 / sigma {np.median(merged['sfac'][certain] / merged['serr'][certain]):.1f}"
    return Done(run, text, tuple(str(each.message) for each in caught))


def _as_scaled(run: CBCRun) -> dict[str, NDArray[Any]]:
    """Reflections as they were scaled, the same that merging by the same symmetry gives."""
    layout = scaler_of(run)[0].layout
    streaks = np.bincount(layout.streak_reflection, minlength=layout.n_reflections)
    return {"hkl": run.hkl, "sfac": run.q2, "serr": run.sigma, "cnts": streaks}


def _again(run: CBCRun, symmetry: str | None, friedel: bool | None) -> dict[str, NDArray[Any]]:
    scaler, x = scaler_of(run)
    return scaler.merge_sfac(x, symmetry, bool(run.settings.get("friedel", True)) if friedel is None else friedel)


def run_with(source: Source, reference: Source | None = None) -> CBCRun:
    """A scaled file, with the intensities of a reference file in place of the truth if one is given.

    Raises
    ------
    FileError, SettingError
        When a file is missing, damaged or something else.
    """
    run = read_run(source)
    return run if reference is None else replace(run, known=_reference(Path(reference)))


def _reference(path: Path) -> Known:
    readers = {".mtz": read_reference_mtz, ".cif": read_reference_cif, ".ent": read_reference_cif}
    suffix = path.suffix.lower()
    if suffix == ".hkl":
        raise SettingError(f"reference {path.name!r}: a .hkl file has no cell, expected .mtz or .cif")
    if suffix not in readers:
        raise SettingError(f"reference {path.name!r} has the suffix {suffix!r}, expected {', '.join(readers)}")
    found = readers[suffix](path)
    return Known(found.hkl, found.intensity, found.space_group.xhm(), True, name="reference")
