"""What scaling and merging begin with: observations of several files, counted through, and known intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import gemmi
import numpy as np

from crystint.arrays import Floats
from crystint.errors import SettingError, warn
from crystint.io.opened_file import OpenedFile
from crystint.model.batches import batches
from crystint.model.experiment import Experiment, join_experiments
from crystint.model.facts import cell_text
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.prediction.partiality import RockingWidth
from crystint.stills.duplicates import flag_duplicates
from crystint.stills.files import StillsRun
from crystint.stills.inputs import read_opened, read_reference
from crystint.stills.scale_priors import expected_widths

__all__ = ["StepInputs", "read_known", "read_together", "warn_of_another_crystal"]

_LENGTHS, _ANGLES = 0.03, 2.0
"""by which the cell of a reference may differ: relative, and degrees"""


@dataclass(frozen=True, eq=False)
class StepInputs:
    """Observations of all sources, and what came with them."""

    observations: Observations
    """images counted through all sources"""
    experiment: Experiment
    expected_widths: Floats
    """float64 [n_images, 2]: domain, 1/angstrom, and mosaicity, rad, that came with the images; NaN = none did"""
    width: RockingWidth | None
    """rocking width, of the first source that has one"""
    notes: dict[int, str]
    """image -> what went wrong with it in an earlier step"""
    repeats: dict[int, str]
    """image -> that all of it is there already"""
    run: StillsRun
    """everything that a single .h5 holds; nothing for other sources"""
    files: tuple[Path, ...]
    """that were read"""


def read_together(
    sources: Sequence[str | PathLike[str]],
    experiment: Path | None = None,
    *,
    geometry: Path | None = None,
    space_group: str | None = None,
    intensity: str | None = None,
    batch: float | None = None,
) -> StepInputs:
    """Read each of the sources once, and flag what is there twice.

    The arguments are those of `read_data`; `batch` in degrees.
    """
    tables, parts, widths, expected = [], [], [], []
    files: list[Path] = []
    notes: dict[int, str] = {}
    run = StillsRun()
    origin: list[str] = []
    read: set[Path] = set()
    first = 0
    for source in map(Path, sources):
        with OpenedFile(source) as file:
            data = read_opened(
                file, experiment, geometry=geometry, space_group=space_group, intensity=intensity, batch_degrees=batch
            )
        table, images = data.observations, data.experiment
        run = data.run
        widths += [run.width] if run.width is not None else []
        notes |= {first + image: text for image, text in run.notes.items()}
        if batch is not None and not data.batched:
            number, images = batches(images, degrees=batch)
            table = table.replace(image=number[table.image])
            notes = {}
        files += data.files
        tables.append(table.replace(image=table.image + np.int32(first)))
        parts.append(images)
        expected.append(expected_widths(data, len(images)))
        again = " (again)" if source in read else ""
        read.add(source)
        origin += [f"{source}{again}"] * len(images)
        first += len(images)
    together = parts[0] if len(parts) == 1 else join_experiments(parts)
    observations, repeats = flag_duplicates(Observations.join(tables), together, origin)
    return StepInputs(
        observations=observations,
        experiment=together,
        expected_widths=np.concatenate(expected),
        width=widths[0] if widths else None,
        notes=notes,
        repeats=repeats,
        run=run if len(parts) == 1 else StillsRun(),
        files=tuple(files),
    )


def read_known(path: Path | None, images: Experiment, column: str | None = None) -> Reference | None:
    """Known intensities, and a warning where they are of another crystal."""
    if path is None:
        if column is not None:
            raise SettingError(f"--reference-column {column} needs a reference to take it from: --reference FILE")
        return None
    reference = read_reference(path, column=column, cell=images.cell, space_group=images.space_group)
    warn_of_another_crystal(f"reference {path}", (reference.cell, reference.space_group), images)
    return reference


def warn_of_another_crystal(what: str, crystal: tuple[tuple[float, ...], gemmi.SpaceGroup], images: Experiment) -> None:
    """A warning where cell or Laue class of a file are others than those of the data."""
    cell, group = crystal
    ratio, turn = np.divide(cell[:3], images.cell[:3]), np.subtract(cell[3:], images.cell[3:])
    if np.abs(ratio - 1.0).max() > _LENGTHS or np.abs(turn).max() > _ANGLES:
        warn(
            f"the cell of the {what} is {cell_text(cell)}, that of the data "
            f"{cell_text(images.cell)}: is it the same crystal?"
        )
    laue = group.laue_str(), images.space_group.laue_str()
    if laue[0] != laue[1]:
        warn(f"the Laue class of the {what} is {laue[0]}, that of the data {laue[1]}")
