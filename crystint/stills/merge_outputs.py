"""The files that ``crystint stills merge`` writes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import warn
from crystint.io.outputs import atomic_path
from crystint.io.reflections.free_in import FreeFlags
from crystint.io.reflections.mtz_out import history_of, write_merged_mtz
from crystint.io.reflections.shelx import write_hklf4
from crystint.model.free_set import free_numbers
from crystint.run.step import HDF5, Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.merging.amplitudes import french_wilson
from crystint.stills.merging.merged import Merged
from crystint.stills.report import stills_report
from crystint.stills.settings import MergeSettings

__all__ = ["write_merged"]

_LINE = 80
"""characters of a line of an MTZ file's history"""


def write_merged(
    job: Job[MergeSettings], run: StillsRun, merged: Merged, messages: Sequence[str], copied: FreeFlags | None
) -> list[str]:
    """Write all of the outputs, or none; what there is to say of them.

    Parameters
    ----------
    copied : FreeFlags, optional
        Flags of another file.
    """
    told: list[str] = []
    flags, words = _free_flags(merged, job.settings.free, copied)
    if words and not any(path.suffix.lower() == ".mtz" for path in job.outputs):
        warn("free flags are for .mtz files, and none is written")
    elif words:
        told.append(words)
    writers: dict[str, Callable[[Path], None]] = {
        ".mtz": partial(_write_mtz, run=run, merged=merged, flags=flags, words=words, overwrite=job.overwrite),
        ".hkl": partial(_write_hkl, merged=merged, told=told, overwrite=job.overwrite),
        ".txt": partial(_write_report, run=run, job=job, messages=messages),
        **dict.fromkeys(HDF5, partial(write_stills, run=run, overwrite=job.overwrite)),
    }
    job.write(run, writers)
    return told


def _free_flags(
    merged: Merged, share: float | None, copied: FreeFlags | None
) -> tuple[tuple[str, NDArray[Any]] | None, str]:
    """Label and flags of the merged reflections, and what to say of them; None and nothing where none are wanted."""
    if copied is not None:
        flag, count = copied.of(merged.hkl, merged.space_group)
        rest = len(flag) - count
        words = f"free flags of {copied.path.name}: {copied.convention} for {count} of {len(flag)} reflections"
        words += f"; {rest} that it lacks by a hash of hkl" if rest else ""
        return (copied.label, flag), words
    if share is None:
        return None, ""
    classes = round(1.0 / share)
    numbers = free_numbers(merged.hkl, merged.space_group, classes)
    part = f"0 ({np.mean(numbers == 0):.1%}) is the test set"
    words = f"free flags by a hash of hkl: FreeR_flag 0 to {classes - 1}, {part}"
    return ("FreeR_flag", numbers), words


def _write_mtz(
    path: Path, *, run: StillsRun, merged: Merged, flags: tuple[str, NDArray[Any]] | None, words: str, overwrite: bool
) -> None:
    f = french_wilson(merged.hkl, merged.intensity, merged.sigma, cell=merged.cell, space_group=merged.space_group)
    write_merged_mtz(
        path,
        merged,
        amplitudes=(f.amplitude, f.sigma_amplitude),
        flags=flags,
        wavelength=run.images.mean_wavelength,
        history=[*textwrap.wrap(words, _LINE), *history_of(run.provenance["inputs"])],
        overwrite=overwrite,
    )


def _write_hkl(path: Path, *, merged: Merged, told: list[str], overwrite: bool) -> None:
    """SHELX HKLF 4; Friedel mates that were kept apart are rows of hkl and -h -k -l."""
    hkl, value, sigma = merged.hkl, merged.intensity, merged.sigma
    if merged.plus is not None and merged.minus is not None:
        mates = ~merged.centric & np.isfinite(merged.minus[:, 0])
        hkl = np.concatenate([hkl, -hkl[mates]])
        value, sigma = np.concatenate([merged.plus, merged.minus[mates]]).T
    scale = write_hklf4(path, hkl, value, sigma, overwrite=overwrite)
    if scale != 1.0:
        told.append(f"{path}: intensities and sigmas are multiplied by {scale:g}, to fit HKLF 4")


def _write_report(path: Path, *, run: StillsRun, job: Job[MergeSettings], messages: Sequence[str]) -> None:
    with atomic_path(path, job.overwrite) as temporary:
        report = stills_report(run, inputs=job.inputs["source"], warnings=messages)
        temporary.write_text(report, encoding="utf-8")
