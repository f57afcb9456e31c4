"""``crystint cbc scale``: |q|^2 of the reflections of a table, and a map of the crystal for each frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.merging.files import setup_in, truth_in, write_run
from crystint.cbc.merging.result import CBCRun, agreement
from crystint.cbc.scaling.bandwidth import choose_bandwidth
from crystint.cbc.scaling.half_sets import HalfSets, half_sets
from crystint.cbc.scaling.scales import scale_groups, scales_text
from crystint.cbc.settings import ScaleSettings
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import read_table
from crystint.engine import Engine
from crystint.errors import CrystintError, SettingError, warn
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["scale"]

_ROUGH = 6
"""Iterations of a fit for cross-validation."""
_ENOUGH = 300_000
"""Rows for cross-validation, about: of larger tables only some frames take part, evenly over all."""


def scale(job: Job[ScaleSettings]) -> Outcome:
    """Scale a table, with everything in one file."""
    settings, source, device = job.settings, job.input("table"), job.execution.device
    table, setup = _table(source, settings)
    path: Any = "numpy" if device is None else Engine(device)
    scaler = IntensityScaler.of(table, grid=settings.grid, path=path).merge_hkl(settings.symmetry, settings.friedel)
    train: dict[str, Any] = {
        "n_iter": settings.iterations, "max_iter": settings.steps, "fit_intercept": settings.intercept,
        "method": settings.method, "kind": settings.kind, "loss": settings.loss,
    }  # fmt: skip
    width = _chosen(job, scaler, train) if settings.bandwidth == "auto" else float(settings.bandwidth)
    training = scaler.training(width, **train)
    for _ in job.progress(training, settings.iterations, "scaling"):
        pass
    trained, x = training.result()
    used = {
        "symmetry": settings.symmetry, "friedel": settings.friedel, "bandwidth": width, "grid": list(settings.grid),
        "device": device or "numpy", "source": str(source),
        "setup": None if settings.setup is None else str(settings.setup), "errors": settings.errors, **train,
    }  # fmt: skip
    run = _run(trained, x, settings, train, used)
    record = job.provenance(bandwidth=width, device=device or "numpy")
    run = replace(run, reference=truth_in(source), provenance=record)

    def write(output: Path) -> None:
        write_run(output, run, setup=setup, overwrite=job.overwrite)

    job.write(run, write)
    return Outcome(_text(run), run)


def _run(
    scaler: IntensityScaler[CBCTable],
    x: NDArray[np.float64],
    settings: ScaleSettings,
    train: dict[str, Any],
    used: dict[str, Any],
) -> CBCRun:
    layout, q2 = scaler.layout, scaler.q2(x)
    sigma = np.full(layout.n_reflections, np.nan)
    halves = np.zeros((2, 0))
    if settings.errors:
        try:
            sigma = np.asarray(scaler.merge_sfac(x)["serr"], dtype=np.float64)
        except CrystintError as error:
            warn(f"no sigma: {error}")
    else:
        text = scales_text(scale_groups(layout, scaler.xtal, q2, scaler.bandwidth), np.isfinite(q2))
        if text is not None:
            warn(text)
    if settings.errors:
        try:
            halves = half_sets(scaler, **train).q2
        except CrystintError as error:
            warn(f"no half sets: {error}")
    return CBCRun(
        table=scaler.update_table(x),
        maps=scaler.xtal,
        hkl=layout.reflection_hkl,
        q2=q2,
        sigma=sigma,
        intercept=np.asarray(x[: layout.n_streaks], dtype=np.float64),
        trace=np.asarray(scaler.trace, dtype=np.float64),
        halves=halves,
        rows=np.bincount(layout.reflection, minlength=layout.n_reflections).astype(np.int64),
        settings=used,
    )


def _text(run: CBCRun) -> str:
    frames = len(run.maps.frames)
    parts = [
        f"{len(run.table)} rows, {len(run.intercept)} streaks, {frames} frame{'' if frames == 1 else 's'}",
        f"{int(np.isfinite(run.q2).sum())} reflections",
        f"bandwidth {run.settings['bandwidth']:.3g}",
        f"{max(len(run.trace) - 1, 0)} iterations, criterion {run.trace[-1]:.2f}",
    ]
    if run.halves.shape[-1]:
        parts.append(f"CC1/2 of half sets {HalfSets(run.halves, 'streaks').cc_half:.5f}")
    if run.reference is not None:
        both = agreement(run.hkl, run.q2, run.reference)
        parts.append(f"against the truth CC {both.cc:.5f}, R {both.r:.4f}")
    return "; ".join(parts)


def _table(source: Path, settings: ScaleSettings) -> tuple[CBCTable, CBCSetup | None]:
    """The table with u, and the geometry if there is one."""
    table = read_table(source, settings.key)
    setup = setup_in(source) if settings.setup is None else CBCSetup.read(settings.setup)
    if setup is not None and (settings.setup is not None or table.u is None):
        return setup.with_u(table), setup
    if table.u is None:
        raise SettingError(f"{source} has neither a column u nor a geometry: give a file that has one (--setup)")
    return table, setup


def _chosen(job: Job[ScaleSettings], scaler: IntensityScaler[CBCTable], train: dict[str, Any]) -> float:
    """The bandwidth by cross-validation, which needs no more than rough fits."""
    frames, rows = scaler.layout.frames, np.diff(scaler.layout.frame_start)
    count = int(np.clip(_ENOUGH // max(int(rows.mean()), 1), 1, len(frames)))
    if count < len(frames):
        chosen = frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(np.intp))]
        part = scaler.table.select(frames=chosen)
        whole = IntensityScaler.of(part, grid=(scaler.xtal.y, scaler.xtal.x), path=scaler.path)
        scaler = whole.merge_hkl(scaler.symmetry, scaler.friedel)
    rough = {**train, "n_iter": min(train["n_iter"], _ROUGH), "f_tol": 1e-6}
    choice = choose_bandwidth(scaler, watch=job.progress, **rough)
    if choice.at_edge:
        warn(
            f"bandwidth {choice.optimum:.3g} predicts best, but is the last that was tried ({choice.tried[0]:.3g} to"
            f" {choice.tried[-1]:.3g}); another one may be better: give --bandwidth, or another --grid"
        )
    return choice.bandwidth
