"""From tables to files in Python: the steps of convergent-beam scaling as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystint.arrays import FileName
from crystint.cbc.merge_step import scaler_of
from crystint.cbc.plot_step import run_with
from crystint.cbc.simulate_step import truth_of
from crystint.cbc.steps import MERGE, SCALE, SIMULATE
from crystint.run.outcome import Outcome
from crystint.run.step import Progress, silent

__all__ = ["known_of", "merge_file", "run_with", "scale_file", "scaler_of", "simulate_file", "truth_of"]

known_of = truth_of
"""the name that the documentation once had"""


def simulate_file(
    output: FileName,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Write a simulated table, its geometry and its truth.

    Parameters
    ----------
    output
        HDF5.
    progress : callable
        ``(items, how many, what) -> items``.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.
    **settings
        Of `SimulateSettings`: frames, symmetry, rows, seed...; None = its default.

    Returns
    -------
    Outcome
        Its `result` is a `CBCSimulation`.

    Raises
    ------
    FileError, SettingError
        When the file exists or is no HDF5 by its suffix, or a setting is impossible.
    """
    return SIMULATE(outputs=output, settings=settings, overwrite=overwrite, progress=progress, command=command)


def scale_file(
    source: FileName,
    output: FileName,
    *,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Scale a table: |q|^2 of reflections and maps of the crystal, with everything in one file.

    Parameters
    ----------
    source
        HDF5 or CSV table.
    output
        HDF5.
    device
        OpenCL device; None = NumPy.
    progress : callable
        ``(items, how many, what) -> items``.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.
    **settings
        Of `ScaleSettings`: setup, key, symmetry, friedel, bandwidth...; None = its default.

    Returns
    -------
    Outcome
        Its `result` is a `CBCRun`.

    Raises
    ------
    CrystintError
        When a file is missing or impossible, or a setting is; nothing is written then.
    """
    return SCALE(
        source, outputs=output, settings=settings, device=device, overwrite=overwrite, progress=progress,
        command=command,
    )  # fmt: skip


def merge_file(
    source: FileName,
    outputs: Sequence[FileName],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Merge a scaled file and write |q|^2 and sigma: .mtz, .hkl (SHELX HKLF 4) or .txt.

    Parameters
    ----------
    source
        What `scale_file` wrote.
    outputs
        The suffix is the format.
    progress : callable
        ``(items, how many, what) -> items``.
    command : sequence of str, optional
        None = ``sys.argv``.
    **settings
        Of `MergeSettings`: symmetry, friedel, cell; None = its default.

    Returns
    -------
    Outcome
        Its `result` is the `CBCRun` that was merged.

    Raises
    ------
    CrystintError
        When the file is no scaling, or the merging is impossible; nothing is written then.
    """
    return MERGE(source, outputs=outputs, settings=settings, overwrite=overwrite, progress=progress, command=command)
