"""``crystint cbc merge``: |q|^2 and sigma of a scaled file for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.merging.export import write_sfac
from crystint.cbc.merging.files import read_run, setup_in
from crystint.cbc.merging.result import CBCRun
from crystint.cbc.settings import MergeSettings
from crystint.cbc.table.table import CBCTable
from crystint.errors import SettingError
from crystint.io.outputs import utf8
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["merge", "scaler_of"]


def scaler_of(run: CBCRun) -> tuple[IntensityScaler[CBCTable], NDArray[np.float64]]:
    """The scaler and x that a run was made with: to merge otherwise, or to go on."""
    scaler = IntensityScaler.of(run.table, grid=(run.maps.y, run.maps.x))
    merged = scaler.merge_hkl(run.settings.get("symmetry"), bool(run.settings.get("friedel", True)))
    again = merged.replace(xtal=run.maps, bandwidth=run.settings.get("bandwidth"), trace=tuple(run.trace.tolist()))
    return again, run.x


def merge(job: Job[MergeSettings]) -> Outcome:
    """Merge a scaled file, and write the reflections in the formats of the suffixes."""
    settings, source = job.settings, job.input("scaled")
    run = read_run(source)
    cell: Any = settings.cell
    setup = setup_in(source) if cell is None else None
    if setup is not None:
        cell = setup.cell
    if cell is None and any(path.suffix.lower() == ".mtz" for path in job.outputs):
        raise SettingError(f"{source} has no geometry, so the unit cell is not known: give cell, or no .mtz output")
    symmetry = run.settings.get("symmetry") if settings.symmetry is None else settings.symmetry
    same = settings.symmetry is None and settings.friedel is None
    merged = _as_scaled(run) if same and np.isfinite(run.sigma).any() else _again(run, symmetry, settings.friedel)
    options: dict[str, Any] = {"symmetry": symmetry, "cell": cell, "overwrite": job.overwrite}
    if setup is not None:
        options["wavelength"] = setup.wavelength_angstrom
    width = run.settings["bandwidth"]
    options["history"] = [
        f"crystint cbc merge: {utf8(source.name)}, symmetry {symmetry or 'none'}, bandwidth {width:g}"
    ]
    mates = run.settings.get("friedel", True) if settings.friedel is None else settings.friedel
    record = job.provenance(symmetry=symmetry, friedel=bool(mates), cell=cell, bandwidth=width)

    def write(path: Path) -> None:
        more = [json.dumps(record)] if path.suffix.lower() == ".txt" else []
        write_sfac(path, merged, **options | {"history": options["history"] + more})

    job.write(merged, write)
    finite = np.isfinite(merged["sfac"])
    text = f"{int(finite.sum())} reflections from {int(merged['cnts'].sum())} streaks"
    certain = finite & (merged["serr"] > 0.0)
    if certain.any():
        text += f", median |q|^2 / sigma {np.median(merged['sfac'][certain] / merged['serr'][certain]):.1f}"
    return Outcome(text, run)


def _as_scaled(run: CBCRun) -> dict[str, NDArray[Any]]:
    """Reflections as they were scaled, the same that merging by the same symmetry gives."""
    layout = scaler_of(run)[0].layout
    streaks = np.bincount(layout.streak_reflection, minlength=layout.n_reflections)
    return {"hkl": run.hkl, "sfac": run.q2, "serr": run.sigma, "cnts": streaks}


def _again(run: CBCRun, symmetry: str | None, friedel: bool | None) -> dict[str, NDArray[Any]]:
    scaler, x = scaler_of(run)
    return scaler.merge_sfac(x, symmetry, bool(run.settings.get("friedel", True)) if friedel is None else friedel)
