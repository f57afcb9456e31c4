"""Scaling of convergent-beam tables from file to file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.merging.files import read_known, setup_in, write_run
from crystint.cbc.merging.result import CBCRun, agreement
from crystint.cbc.scaling.bandwidth import choose_bandwidth
from crystint.cbc.scaling.half_sets import HalfSets, half_sets
from crystint.cbc.scaling.scaler import IntensityScaler
from crystint.cbc.scaling.scales import scale_groups, scales_text
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import read_table
from crystint.cbc.work_common import HDF5, Done, Source
from crystint.engine import Engine
from crystint.errors import CrystintError, SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.outputs import check_output
from crystint.io.text_numbers import numbers

__all__ = ["scale_file"]

_ROUGH = 6
"""Iterations of a fit for cross-validation."""
_ENOUGH = 300_000
"""Rows for cross-validation, about: of larger tables only some frames take part, evenly over all."""


def scale_file(
    source: Source,
    output: Source,
    *,
    setup: Source | None = None,
    key: str | None = None,
    symmetry: str | None = None,
    friedel: bool = True,
    bandwidth: str = "auto",
    grid: str = "40,40",
    iterations: int = 30,
    steps: int = 10,
    kind: str = "poisson",
    loss: str = "l2",
    intercept: bool = False,
    method: str = "auto",
    errors: bool = True,
    device: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
    command: Sequence[str] = (),
) -> Done:
    """Scale a table: |q|^2 of reflections and maps of the crystal, with everything in one file.

    Parameters
    ----------
    source
        HDF5 or CSV table; of an HDF5 file `key` is the group.
    setup
        File with the geometry, from which u follows; None = the column u of the table, else the geometry in `source`.
    symmetry, friedel
        As `IntensityScaler.merge_hkl`.
    bandwidth
        Number in units of the incident unit vector, or "auto": by cross-validation.
    grid
        Nodes of chi: y,x.
    iterations, steps, kind, loss, intercept, method
        `IntensityScaler.train`'s n_iter, max_iter, kind, loss, fit_intercept and method.
    errors
        Also sigma and half sets.
    device
        OpenCL device; None = NumPy.

    Raises
    ------
    CrystintError
        When a file is missing or impossible, or a setting is; nothing is written then.
    """
    check_output(output, HDF5, overwrite)
    nodes = numbers("grid", grid, 2, int)
    assert nodes is not None
    width = _bandwidth(bandwidth)
    table, geometry = _table(source, key, setup)
    path: Any = "numpy" if device is None else Engine(device)
    scaler = IntensityScaler.of(table, grid=nodes, path=path).merge_hkl(symmetry, friedel)
    options: dict[str, Any] = {"n_iter": iterations, "max_iter": steps, "fit_intercept": intercept, "method": method}
    options |= {"kind": kind, "loss": loss}
    said: list[str] = []
    if width is None:
        width = _chosen(scaler, options, said)
    trained, x = scaler.train(width, progress=progress, **options)
    settings = {
        "symmetry": symmetry, "friedel": friedel, "bandwidth": width, "grid": list(nodes), "device": device or "numpy",
        "source": str(source), "setup": None if setup is None else str(setup), "errors": errors, **options,
    }  # fmt: skip
    run = _run(trained, x, settings, options, errors, said)
    run = replace(run, known=read_known(source), provenance=provenance(settings, [str(source)], list(command)))
    write_run(output, run, setup=geometry, overwrite=overwrite)
    return Done(run, _text(run), tuple(said))


def _run(
    scaler: IntensityScaler,
    x: NDArray[np.float64],
    settings: dict[str, Any],
    train: dict[str, Any],
    errors: bool,
    said: list[str],
) -> CBCRun:
    layout = scaler.layout
    sigma = np.full(layout.n_reflections, np.nan)
    halves = np.zeros((2, 0))
    text = scales_text(scale_groups(layout, scaler.xtal, scaler.q2(x), scaler.bandwidth), np.isfinite(scaler.q2(x)))
    if text is not None:
        said.append(text)
    if errors and settings["kind"] != "poisson":
        said.append("sigma is known for the Poisson criterion only; there is none in the output")
    elif errors:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # told above
                sigma = np.asarray(scaler.merge_sfac(x)["serr"], dtype=np.float64)
        except CrystintError as error:
            said.append(f"no sigma: {error}")
    if errors:
        try:
            halves = half_sets(scaler, **train).q2
        except CrystintError as error:
            said.append(f"no half sets: {error}")
    return CBCRun(
        table=scaler.update_table(x),
        maps=scaler.xtal,
        hkl=layout.reflection_hkl,
        q2=scaler.q2(x),
        sigma=sigma,
        intercept=np.asarray(x[: layout.n_streaks], dtype=np.float64),
        trace=np.asarray(scaler.trace, dtype=np.float64),
        halves=halves,
        rows=np.bincount(layout.reflection, minlength=layout.n_reflections).astype(np.int64),
        settings=settings,
    )


def _frames(count: int) -> str:
    return f"{count} frame{'' if count == 1 else 's'}"


def _text(run: CBCRun) -> str:
    parts = [
        f"{len(run.table)} rows, {len(run.intercept)} streaks, {_frames(len(run.maps.frames))}",
        f"{int(np.isfinite(run.q2).sum())} reflections",
        f"bandwidth {run.settings['bandwidth']:.3g}",
        f"{max(len(run.trace) - 1, 0)} iterations, criterion {run.trace[-1]:.2f}",
    ]
    if run.halves.shape[-1]:
        parts.append(f"CC1/2 of half sets {HalfSets(run.halves, 'streaks').cc_half:.5f}")
    if run.known is not None:
        both = agreement(run.hkl, run.q2, run.known)
        parts.append(f"against the truth CC {both.cc:.5f}, R {both.r:.4f}")
    return "; ".join(parts)


def _table(source: Source, key: str | None, setup: Source | None) -> tuple[CBCTable, CBCSetup | None]:
    """The table with u, and the geometry if there is one."""
    table = read_table(source, key)
    geometry = setup_in(source) if setup is None else CBCSetup.read(setup)
    if geometry is not None and (setup is not None or table.u is None):
        return geometry.with_u(table), geometry
    if table.u is None:
        raise SettingError(f"{source} has neither a column u nor a geometry: give a file that has one (--setup)")
    return table, geometry


def _chosen(scaler: IntensityScaler, options: dict[str, Any], said: list[str]) -> float:
    """The bandwidth by cross-validation, which needs no more than rough fits."""
    frames, rows = scaler.layout.frames, np.diff(scaler.layout.frame_start)
    count = int(np.clip(_ENOUGH // max(int(rows.mean()), 1), 1, len(frames)))
    if count < len(frames):
        chosen = frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(np.intp))]
        part = scaler.table.select(frames=chosen)
        whole = IntensityScaler.of(part, grid=(scaler.xtal.y, scaler.xtal.x), path=scaler.path)
        scaler = whole.merge_hkl(scaler.symmetry, scaler.friedel)
    rough = {**options, "n_iter": min(options["n_iter"], _ROUGH), "f_tol": 1e-6}
    choice = choose_bandwidth(scaler, **rough)
    if choice.at_edge:
        said.append(
            f"bandwidth {choice.optimum:.3g} predicts best, but is the last that was tried ({choice.tried[0]:.3g} to"
            f" {choice.tried[-1]:.3g}); another one may be better: give --bandwidth, or another --grid"
        )
    return choice.bandwidth


def _bandwidth(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"bandwidth is {text!r}, expected a number above 0 or auto") from None
