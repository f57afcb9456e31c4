"""Experiments, observations and references from files of any kind that is known, by suffix and content."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, SettingError
from crystint.html import html_table
from crystint.io.guard import reads_file
from crystint.io.kinds import kind_by_suffix, opened_kind, unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.recognise import is_reflection_table
from crystint.io.reflections import reference_in
from crystint.io.reflections.crystfel_stream import read_stream
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_observations import read_refl_observations
from crystint.io.reflections.mtz_in import read_mtz_observations
from crystint.io.reflections.stills_file import StillsFile
from crystint.model.batches import batches
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.model.symmetry import as_space_group
from crystint.prediction.factors import factors_of
from crystint.stills.files import StillsRun, open_stills, read_stills

__all__ = [
    "StillsInput",
    "kind_of",
    "read_data",
    "read_experiment",
    "read_indexed",
    "read_observations",
    "read_opened",
    "read_reference",
]

_KINDS = {
    "experiments": "expt",
    "reflections": "refl",
    "peak list": "refl",
    "stream of indexed images": "stream",
    "MTZ file": "mtz",
    "structure factors": "cif",
    "list of reflections": "hkl",
    "stills file": "h5",
}
"""Kinds of `crystint.io.kinds`, by name, and what they are called here."""
_EXPERIMENTS = "a DIALS .expt, a CrystFEL .stream or an .h5 of crystint stills"
_OBSERVATIONS = "a DIALS .refl, a CrystFEL .stream, an unmerged .mtz or an .h5 of crystint stills"
_REFERENCES = "a merged .mtz, an mmCIF file, a CrystFEL .hkl or an .h5 of crystint stills"


@dataclass(frozen=True, eq=False)
class StillsInput:
    """Observations with the experiment that their `image` counts rows of. Made by `read_data`."""

    observations: Observations
    """integrated reflections"""
    experiment: Experiment
    """without orientations, where the file has none (MTZ): enough to scale and merge"""
    profile_radius: NDArray[np.float64] | None = None
    """float64 [images], 1/angstrom: of CrystFEL's crystals"""
    run: StillsRun = field(default_factory=StillsRun)
    """what else an .h5 of an earlier step holds"""
    files: tuple[Path, ...] = ()
    """that were read"""
    batched: bool = False
    """runs of rotation images are taken together as one image each"""

    def __repr__(self) -> str:
        images = counted(len(self.experiment), "image")
        more = f", {counted(len(self.files), 'file')}" if self.files else ""
        return f"<StillsInput: {counted(len(self.observations), 'observation')}, {images}{more}>"

    def _repr_html_(self) -> str:
        facts = {
            "observations": repr(self.observations),
            "experiment": repr(self.experiment),
            "earlier steps": repr(self.run),
            "profile radii": self.profile_radius is not None,
            "files": len(self.files),
        }
        return html_table("StillsInput", facts)


@reads_file
def kind_of(source: str | Path | OpenedFile) -> str:
    """What a file is: expt, refl, stream, mtz, cif, hkl or h5. Its content counts, then its suffix.

    Raises
    ------
    FileError
        When it is missing, or of no such kind; the message says what it is instead.
    """
    with nullcontext(source) if isinstance(source, OpenedFile) else OpenedFile(source) as file:
        recognised = opened_kind(file)
        name = kind_by_suffix(file.suffix, tuple(_KINDS)) if recognised is None else recognised.name
        if name not in _KINDS or (name == "peak list" and not is_reflection_table(file)):
            wanted = f"{_EXPERIMENTS}, or {_OBSERVATIONS}"
            raise unexpected(file, wanted, f"{file.path} is of no kind that crystint knows; expected {wanted}")
    return _KINDS[name]


@reads_file
def read_indexed(
    path: str | Path,
    *,
    geometry: str | Path | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
) -> StillsRun:
    """As `read_experiment`: a run with its `experiment`, and the `width` that an .h5 of an earlier step has."""
    group = None if space_group is None else as_space_group(space_group)
    with OpenedFile(path) as file:
        kind = kind_of(file)
        if kind == "stream":
            return StillsRun(experiment=read_stream(path, geometry=geometry, space_group=group).experiment)
        if kind == "expt":
            run = StillsRun(experiment=read_expt(path))
        elif kind == "h5":
            with open_stills(file) as stored:
                run = StillsRun(experiment=_part(stored, "experiment"), width=stored.get("width"))
        else:
            raise FileError(f"{path} has no orientations; expected {_EXPERIMENTS}")
    return run if group is None else replace(run, experiment=replace(run.images, space_group=group))


def read_experiment(
    path: str | Path,
    *,
    geometry: str | Path | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
) -> Experiment:
    """Images with their orientations. Warns of what is left out or assumed.

    Parameters
    ----------
    path
        A DIALS .expt, a CrystFEL stream or an .h5 of an earlier step.
    geometry : path, optional
        .geom of a stream.
    space_group : optional
        In place of the file's.

    Returns
    -------
    Experiment

    Raises
    ------
    FileError, GeometryError
        When the file is missing, damaged, of another kind, or incomplete.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> stills.write_stills("run.h5", experiment=data.experiment, provenance={})
    >>> len(stills.read_experiment("run.h5"))
    6
    """
    return read_indexed(path, geometry=geometry, space_group=space_group).images


def read_data(
    path: str | Path,
    experiment: str | Path | Experiment | None = None,
    *,
    geometry: str | Path | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
    intensity: str | None = None,
    batch_images: int | None = None,
    batch_degrees: float | None = None,
) -> StillsInput:
    """Integrated reflections and their experiment. Warns of what is chosen, left out or assumed.

    Parameters
    ----------
    path
        A DIALS .refl, a CrystFEL stream, an unmerged MTZ or an .h5 of an earlier step.
    experiment : path or Experiment, optional
        Of a .refl; the default is the .expt of the same name beside it.
    geometry, space_group
        As in `read_experiment`.
    intensity : optional
        .refl: "profile" or "sum"; MTZ: a label. None = as these readers choose.
    batch_images, batch_degrees : optional
        Take runs of rotation images together as one image each, see `crystint.model.batches.batches`; of .refl.

    Returns
    -------
    StillsInput
        Its `observations` and `experiment`, and what was left out or assumed.

    Raises
    ------
    FileError, GeometryError, SettingError
        When a file is missing, damaged or of another kind, or an argument is impossible.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> stills.write_stills("run.h5", experiment=data.experiment, observations=observations, provenance={})
    >>> input = stills.read_data("run.h5")
    >>> len(input.observations) == len(observations), len(input.experiment)
    (True, 20)
    """
    with OpenedFile(path) as file:
        if (batch_images is not None or batch_degrees is not None) and kind_of(file) != "refl":
            raise SettingError(f"{path}: images are taken together in batches for DIALS .refl files only")
        return read_opened(
            file, experiment, geometry=geometry, space_group=space_group, intensity=intensity,
            batch_images=batch_images, batch_degrees=batch_degrees,
        )  # fmt: skip


@reads_file
def read_opened(
    file: OpenedFile,
    experiment: str | Path | Experiment | None = None,
    *,
    geometry: str | Path | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
    intensity: str | None = None,
    batch_images: int | None = None,
    batch_degrees: float | None = None,
) -> StillsInput:
    """As `read_data`, of a file that is open already; batches are for .refl alone, and ignored elsewhere."""
    kind, path = kind_of(file), file.path
    group = None if space_group is None else as_space_group(space_group)
    batched = kind == "refl" and (batch_images is not None or batch_degrees is not None)
    radius, run = None, StillsRun()
    files: tuple[Path, ...] = (path,)
    if kind == "stream":
        stream = read_stream(path, geometry=geometry, space_group=group, placed=False)
        observations, images, radius = stream.observations, stream.experiment, stream.profile_radius
    elif kind == "mtz":
        observations, images = read_mtz_observations(path, intensity=intensity)
    elif kind == "h5":
        run = read_stills(file)
        observations, images = _present(path, run, "observations"), _present(path, run, "experiment")
    elif kind == "refl":
        if isinstance(experiment, Experiment):
            images = experiment
        else:
            beside = _experiment_of(path, experiment)
            images, files = read_experiment(beside, geometry=geometry), (path, beside)
        number, runs = (None, images) if not batched else batches(images, images=batch_images, degrees=batch_degrees)
        observations = read_refl_observations(
            path, images, intensity=intensity or "auto", batch=number, factors=partial(factors_of, images)
        )
        images = runs
    else:
        raise FileError(f"{path} has no observations; expected {_OBSERVATIONS}")
    if group is not None:
        images = replace(images, space_group=group)
    return StillsInput(observations, images, radius, run, files, batched)


def read_observations(
    path: str | Path, experiment: str | Path | Experiment | None = None, **options: Any
) -> Observations:
    """The observations of `read_data`, which has the same arguments.

    Parameters
    ----------
    path : path
    experiment : path or Experiment, optional
    **options
        As `read_data`.

    Returns
    -------
    Observations

    Raises
    ------
    FileError, GeometryError, SettingError
        As `read_data`.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> stills.write_stills("run.h5", experiment=data.experiment, observations=data.observations(), provenance={})
    >>> len(stills.read_observations("run.h5")) == len(data.observations())
    True
    """
    return read_data(path, experiment, **options).observations


def read_reference(
    path: str | Path,
    *,
    column: str | None = None,
    cell: tuple[float, float, float, float, float, float] | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
) -> Reference:
    """Known intensities.

    Parameters
    ----------
    path
        A merged MTZ, an mmCIF file of structure factors, a reflection list of CrystFEL (.hkl), or an .h5 with merged
        data.
    column : optional
        MTZ, mmCIF: label of the intensities or amplitudes; plain .hkl: "I" or "F".
    cell, space_group : optional
        Of a .hkl, which has none: those of the data.

    Returns
    -------
    Reference

    Raises
    ------
    FileError, SettingError
        When the file is missing, damaged or of another kind, or the cell of a .hkl is.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> merged = stills.merge(observations, space_group=group, cell=data.experiment.cell)
    >>> stills.write_stills("merged.h5", experiment=data.experiment, merged=merged, provenance={})
    >>> len(stills.read_reference("merged.h5").hkl) == len(merged)
    True
    """
    with OpenedFile(path) as opened:
        kind = kind_of(opened)
        if kind == "h5":
            with open_stills(opened) as file:
                merged = _part(file, "merged")
    if kind == "h5":
        return Reference(merged.hkl, merged.intensity, merged.sigma, _cell(merged.cell), merged.space_group, "merged")
    if kind in ("mtz", "cif", "hkl"):
        return reference_in.read_reference(path, column=column, cell=cell, space_group=space_group)
    raise FileError(f"{path} has no merged intensities; expected {_REFERENCES}")


def _experiment_of(path: Path, experiment: str | Path | None) -> Path:
    """The file with the experiments of a .refl."""
    if experiment is not None:
        return Path(experiment)
    beside = path.with_suffix(".expt")
    if not beside.exists():
        raise FileError(f"{path} needs the experiments it belongs to: {beside} is not there; give the .expt file")
    return beside


def _present(path: str | Path, run: StillsRun, name: str) -> Any:
    """A part of a run that must be there."""
    part = getattr(run, name)
    if part is None:
        raise _lacking(path, name)
    return part


def _part(file: StillsFile, name: str) -> Any:
    """A part of an open file that must be there."""
    if name not in file:
        raise _lacking(file.path, name)
    return file.get(name)


def _lacking(path: str | PathLike[str], name: str) -> FileError:
    what = {"merged": "merged intensities", "experiment": "images"}.get(name, name)
    return FileError(f"{path} holds no {what}; was it written by another step?")


def _cell(cell: Any) -> Any:
    return tuple(cell.parameters) if isinstance(cell, gemmi.UnitCell) else tuple(cell)
