"""``crystint correlate correlate --add``: results of several runs added, without frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crystint.correlate.files import read_correlations, write_correlations
from crystint.correlate.settings import AddSettings
from crystint.errors import SettingError, warn
from crystint.io.hdf5.provenance import read_provenance
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["add_results"]


def add_results(job: Job[AddSettings]) -> Outcome:
    """Add the sums of several files and write what one run over all their frames would have.

    One file is in memory at a time, besides the sums.

    Raises
    ------
    FileError
        When a file is missing, damaged, or no such file.
    SettingError
        When there is none, or they do not add.
    """
    settings, files, (output,) = job.settings, job.settings.add, job.outputs
    if not files:
        raise SettingError("give FRAMES, or results to add with --add")
    if job.execution.device is not None:
        warn(f"results are added without an OpenCL device: --device {job.execution.device} has no effect")
    run = read_correlations(files[0])
    run = replace(
        run,
        norm=settings.norm or run.norm,
        by_intensity=run.by_intensity if settings.by_intensity is None else settings.by_intensity,
    )
    used: dict[str, Any] = {
        "norm": run.norm,
        "by_intensity": run.by_intensity,
        "parts": [read_provenance(path) for path in files],
    }
    if job.finished:
        return job.nothing_to_do(files, **used)
    for path in files[1:]:
        other = read_correlations(path)
        run.check_adds(other, run.sums.n, f"{files[0]} and {path}")
        run += other
    run = replace(run, provenance=job.provenance(files, **used))
    write_correlations(output, run, coefficients=settings.coefficients, overwrite=job.overwrite)
    return Outcome(f"{len(files)} file{'' if len(files) == 1 else 's'}; {run.about}", run)
