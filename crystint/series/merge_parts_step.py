"""``crystint merge-parts``: the result of a whole run from its parts.

The step that made them runs once more, with the records of the parts in place of its workers: what it adds up, joins
through frames or judges at the end is the same code on the same bytes, and so the same result.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from crystint.errors import FileError, SettingError
from crystint.io.names import expand
from crystint.references import resolve
from crystint.run.execution import PLAIN
from crystint.run.outcome import Outcome
from crystint.run.parts import Parts, resolved
from crystint.run.step import Job, Step, carry_out
from crystint.series.settings import MergePartsSettings

__all__ = ["STEPS", "merge_parts"]

STEPS = {
    "peaks": "crystint.separation.steps:PEAKS",
    "sparsify": "crystint.separation.steps:SPARSIFY",
    "densify": "crystint.separation.steps:DENSIFY",
    "mask": "crystint.separation.steps:MASK",
    "roi": "crystint.separation.steps:ROI",
    "sum": "crystint.series.steps:SUM",
    "compare": "crystint.compare.steps:COMPARE",
    "stills integrate": "crystint.stills.steps:INTEGRATE",
    "correlate center": "crystint.correlate.steps:CENTER",
    "correlate polar": "crystint.correlate.steps:POLAR",
    "correlate correlate": "crystint.correlate.steps:CORRELATE",
}
"""Those that go frame by frame, by the names in the files of parts."""


def merge_parts(job: Job[MergePartsSettings]) -> Outcome:
    """The result of a run, of all of its parts."""
    paths = [path for name in job.inputs["parts"] for path in expand(name)]
    parts = Parts.of(paths)
    header = parts.header
    if header["step"] not in STEPS:
        raise FileError(f"{paths[0]} is a part of {header['step']!r}, which this version of crystint has no parts of")
    step: Step[Any] = resolve(STEPS[header["step"]])  # type: ignore[assignment]
    if job.settings.virtual and not step.joins:
        raise SettingError(f"--virtual is for parts of sparse files; these are of {step.name}")
    folder = header["folder"]
    names = {name: tuple(resolved(each, folder) for each in typed) for name, typed in header["inputs"].items()}
    settings = step.settings.of(header["settings"])
    whole = settings.absolute(folder)
    if whole != settings.absolute():
        settings = whole
    config = None if header["config"] is None else Path(resolved(header["config"], folder))
    return carry_out(
        Job(
            step, settings, names, job.outputs,
            replace(job.execution, parts=parts, virtual=job.settings.virtual, until=PLAIN.until),
            overwrite=job.overwrite, progress=job.progress, command=job.command, config=config, more_read=tuple(paths),
        )
    )  # fmt: skip
