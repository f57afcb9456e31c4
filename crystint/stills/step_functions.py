"""From files to files in Python: the steps of stills as functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from crystint.arrays import FileName
from crystint.run.execution import PLAIN, Execution
from crystint.run.outcome import Outcome
from crystint.run.step import Progress, silent
from crystint.stills.settings import MergeSettings
from crystint.stills.steps import INTEGRATE, MERGE, PREDICT, REFINE, SCALE, SIMULATE

__all__ = ["integrate_files", "merge_files", "predict_files", "refine_files", "scale_files", "simulate_files"]


def predict_files(
    experiment: FileName,
    outputs: Sequence[FileName],
    *,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Predict reflections and write them: .refl for DIALS, .csv, or .h5.

    Parameters
    ----------
    experiment : path
    outputs : paths
        The suffix is the format.
    overwrite : bool
        Replace files that are there.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.
    **settings
        Fields of `crystint.stills.settings.PredictSettings`.

    Returns
    -------
    Outcome
        Its `result` is a `StillsRun`.

    Raises
    ------
    FileError, GeometryError, SettingError
        When something is missing or impossible; before anything is computed where that can be seen.
    """
    return PREDICT(experiment, outputs=outputs, settings=settings, overwrite=overwrite, command=command)


def integrate_files(
    experiment: FileName,
    frames: Sequence[FileName],
    outputs: Sequence[FileName],
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
    mask: FileName | Sequence[FileName] | None = None,
    **settings: Any,
) -> Outcome:
    """Integrate frames and write the observations: .h5 with everything, or .mtz, not scaled.

    As `predict_files`; `settings` are those of `crystint.stills.settings.IntegrateSettings`. A frame that cannot be
    read is in ``Outcome.missing``, an image that fails in ``Outcome.notes``.

    Parameters
    ----------
    threads : int, optional
        In place of those of `execution`.
    progress : callable
        ``(items, how many, what) -> items``.
    execution : Execution
        Threads, strictness, resumption, cluster.
    """
    if threads is not None:
        execution = replace(execution, threads=threads)
    if mask is not None:
        settings["mask"] = (mask,) if isinstance(mask, str | PathLike) else tuple(mask)
    return INTEGRATE(
        experiment, frames, outputs=outputs, settings=settings, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip


def refine_files(
    source: FileName,
    outputs: Sequence[FileName],
    *,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Refine the orientations of an integrated file and write .h5 with images to be integrated again.

    As `predict_files`; `settings` are those of `crystint.stills.settings.RefineSettings`.
    """
    return REFINE(source, outputs=outputs, settings=settings, overwrite=overwrite, command=command)


def scale_files(
    sources: Sequence[FileName],
    outputs: Sequence[FileName],
    *,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Scale the images of one or more files together and write .h5 with everything, or .mtz, scaled and unmerged.

    As `predict_files`; `settings` are those of `crystint.stills.settings.ScaleSettings`.
    """
    return SCALE(sources, outputs=outputs, settings=settings, overwrite=overwrite, command=command)


def merge_files(
    source: FileName,
    outputs: Sequence[FileName],
    *,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Merge one scaled file and write .mtz (merged), .hkl (SHELX HKLF 4), .h5 with everything, .txt, or plots.

    As `predict_files`; `settings` are those of `crystint.stills.settings.MergeSettings`.
    """
    model = MergeSettings.of(settings)
    if settings.get("outliers", model.outliers) is None:  # which is not the same as nothing being said of them
        model = model.model_copy(update={"outliers": None})
    return MERGE(source, outputs=outputs, settings=model, overwrite=overwrite, command=command)


def simulate_files(
    folder: FileName,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Write frames.h5 and frames.expt, truth.h5 and reference.mtz into a folder.

    As `predict_files`; `settings` are those of `crystint.stills.settings.SimulateSettings`, the result is the
    `SimulatedStills`.
    """
    return SIMULATE(outputs=folder, settings=settings, overwrite=overwrite, progress=progress, command=command)
