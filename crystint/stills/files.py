"""Everything of a run on stills in one HDF5 file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np

from crystint.html import html_table
from crystint.io.guard import reads_file
from crystint.io.opened_file import OpenedFile
from crystint.io.reflections.stills_file import StillsFile, StillsWriter
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.prediction.partiality import RockingWidth
from crystint.stills.integration.misfit import ImageFit
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.integration.spot_moments import SpotMoments
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.moments import PairMoments
from crystint.stills.merging.shell_sums import ShellSums
from crystint.stills.merging.statistics import Shell, Statistics
from crystint.stills.merging.sums import MergeSums
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.image_widths import ImageWidths
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.wavelength_curve import WavelengthCurve

__all__ = ["StillsRun", "open_stills", "read_stills", "write_stills"]

_PARTS = (
    "experiment",
    "scales",
    "error_model",
    "merged",
    "profile",
    "fit",
    "moments",
    "width",
    "image_widths",
    "reference",
    "notes",
    "extra",
)
_CLASSES = (
    ErrorModel,
    ImageFit,
    ImageWidths,
    MergeSums,
    Merged,
    PairMoments,
    ProfileWidths,
    Reference,
    RockingWidth,
    Scales,
    ShellSums,
    SpotMoments,
    Statistics,
    WavelengthCurve,
)
_NOTHING: dict[Any, Any] = {}
"""Notes that nobody made: not written, unlike those of a step that has nothing to note."""
_SHELL_UNITS = {"d_max": "angstrom", "d_min": "angstrom"}


@dataclass(frozen=True, eq=False)
class StillsRun:
    """What a file holds. Each part is None where the file has none.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> run = stills.StillsRun(experiment=data.experiment, observations=data.observations())
    >>> run.merged is None
    True
    """

    experiment: Experiment | None = None
    """images with their orientations"""
    observations: Observations | None = None
    """integrated reflections"""
    scales: Scales | None = None
    """of the images"""
    error_model: ErrorModel | None = None
    """of the merging"""
    merged: Merged | None = None
    """merged intensities"""
    profile: ProfileWidths | None = None
    """profile widths R1"""
    fit: ImageFit | None = None
    """how strong spots fit their profiles, image by image"""
    moments: SpotMoments | None = None
    """centroids and widths of the spots"""
    width: RockingWidth | None = None
    """rocking width R0"""
    image_widths: ImageWidths | None = None
    """rocking widths where they differ between images"""
    reference: Reference | None = None
    """intensities that others were compared with"""
    notes: Mapping[int, str] = field(default_factory=lambda: _NOTHING)
    """image -> what went wrong with it"""
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """whatever else: numbers, texts and arrays by name"""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """settings, inputs and version"""

    def __repr__(self) -> str:
        return f"<StillsRun: {', '.join(self._parts) or 'nothing'}>"

    def _repr_html_(self) -> str:
        facts = {name: part if isinstance(part, str) else repr(part) for name, part in self._parts.items()}
        return html_table("StillsRun", facts)

    @property
    def _parts(self) -> dict[str, Any]:
        """What there is, by name; of notes and the rest the number or the names."""
        names = ("experiment", "observations", *_PARTS[1:-2])
        parts = {name: part for name in names if (part := getattr(self, name)) is not None}
        if self.notes:
            parts["notes"] = f"of {counted(len(self.notes), 'image')}"
        if self.extra:
            parts["extra"] = ", ".join(self.extra)
        return parts

    @property
    def images(self) -> Experiment:
        """The experiment of a run that has one."""
        assert self.experiment is not None
        return self.experiment


def write_stills(
    path: str | PathLike[str], run: StillsRun | None = None, *, overwrite: bool = False, **parts: Any
) -> None:
    """Write what there is; `read_stills` gives it back exactly.

    Parameters
    ----------
    path : path
    run : StillsRun, optional
    **parts
        Fields of a `StillsRun`, in place of those of `run`. Observations may be an iterable of them as well, which is
        written as it comes, so that memory need not hold all.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    SettingError
        When a part holds something that cannot be stored.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> stills.write_stills("run.h5", experiment=data.experiment, observations=data.observations(), provenance={})
    >>> bool((stills.read_stills("run.h5").observations.hkl == data.observations().hkl).all())
    True
    """
    run = replace(run or StillsRun(), **parts)
    observations: Any = run.observations
    with StillsWriter(path, provenance=run.provenance, overwrite=overwrite) as writer:
        for part in (observations,) if isinstance(observations, Observations) else observations or ():
            writer.append(part)
        for name in _PARTS:
            part = getattr(run, name)
            if part is not None and part is not _NOTHING:
                writer.put(name, part)
        merged = run.merged
        if merged is not None and merged.statistics.shells:
            names = Shell.__dataclass_fields__
            columns = {name: merged.statistics.column(name) for name in names}
            columns["s2"] = 0.5 * (columns["d_max"] ** -2 + columns["d_min"] ** -2)
            writer.put_table("shells", columns, "cc_half", "s2", {**_SHELL_UNITS, "s2": "1/angstrom^2"})
            writer.put_table(
                "merged_intensities",
                {
                    "intensity": merged.intensity,
                    "intensity_errors": merged.sigma,
                    "multiplicity": merged.multiplicity,
                    "d": merged.d,
                    **{name: np.ascontiguousarray(merged.hkl[:, i]) for i, name in enumerate("hkl")},
                },
                "intensity",
                "d",
                {"d": "angstrom"},
            )


@reads_file
def open_stills(path: str | PathLike[str] | OpenedFile) -> StillsFile:
    """The file, open, to read parts of it or its observations block by block; see `StillsFile`.

    Parameters
    ----------
    path : path or OpenedFile
        One that is open already is taken over.

    Returns
    -------
    StillsFile

    Raises
    ------
    FileError
        When it is missing, damaged, something else, or of a newer version.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> stills.write_stills("run.h5", experiment=data.experiment, observations=data.observations(), provenance={})
    >>> with stills.open_stills("run.h5") as file:
    ...     file.rows == len(data.observations()), sum(len(block) for block in file.blocks(1000)) == file.rows
    (True, True)
    """
    return StillsFile(path, {made.__name__: made for made in _CLASSES})


@reads_file
def read_stills(path: str | PathLike[str] | OpenedFile) -> StillsRun:
    """All parts of a file that `write_stills` or `StillsWriter` made.

    Parameters
    ----------
    path : path or OpenedFile
        One that is open already is taken over.

    Returns
    -------
    StillsRun

    Raises
    ------
    FileError
        When it is missing, damaged, something else, or of a newer version.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> stills.write_stills("run.h5", experiment=data.experiment, provenance={})
    >>> len(stills.read_stills("run.h5").experiment)
    6
    """
    with open_stills(path) as file:
        parts = {name: file.get(name) for name in _PARTS if name in file}
        if "observations" in file:
            parts["observations"] = file.observations()
        return StillsRun(**parts, provenance=file.provenance)
