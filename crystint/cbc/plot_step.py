"""``crystint cbc plot``: a scaled file as a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from crystint.cbc.merging.files import read_run
from crystint.cbc.merging.result import CBCRun, ReferenceIntensities
from crystint.cbc.settings import PlotSettings
from crystint.io.reflections.reference_in import read_reference
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["Drawing", "plot", "run_with"]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What `crystint.plot.cbc.draw` draws."""

    run: CBCRun
    frames: int
    title: str | None


def run_with(source: str | PathLike[str], reference: str | PathLike[str] | None = None) -> CBCRun:
    """A scaled file, with the intensities of a reference file in place of the truth if one is given.

    Raises
    ------
    FileError, SettingError
        When a file is missing, damaged or something else.
    """
    run = read_run(source)
    if reference is None:
        return run
    other = read_reference(Path(reference))
    return replace(
        run,
        reference=ReferenceIntensities(
            other.hkl, other.intensity, other.space_group.xhm(), friedel=True, name="reference"
        ),
    )


def plot(job: Job[PlotSettings]) -> Outcome:
    """Draw a scaled file."""
    settings = job.settings
    run = run_with(job.input("scaled"), settings.reference)
    job.write(Drawing(run, settings.frames, settings.title), {})
    return Outcome("", run)
