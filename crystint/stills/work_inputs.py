"""What scaling and merging begin with: observations of several files, counted through, and known intensities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crystint.model.batches import batches
from crystint.model.experiment import Experiment, join_experiments
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.files import read_stills
from crystint.stills.inputs import kind_of, read_data, read_reference
from crystint.stills.prediction.partiality import RockingWidth
from crystint.stills.work_width import Source

__all__ = ["read_known", "read_together"]

_LENGTHS, _ANGLES = 0.03, 2.0
"""by which the cell of a reference may differ: relative, and degrees"""


def read_together(
    sources: Sequence[Source],
    experiment: Source | None,
    geometry: Source | None,
    space_group: str | None,
    intensity: str | None,
    batch: float | None,
) -> tuple[Observations, Experiment, RockingWidth | None, list[str], dict[int, str]]:
    """Observations of all sources, counted through; their experiment, rocking width, warnings and notes."""
    tables, parts, widths, said = [], [], [], []
    notes: dict[int, str] = {}
    first = 0
    for source in map(Path, sources):
        kind = kind_of(source)
        direct = batch if kind == "refl" else None
        data = read_data(
            source,
            None if experiment is None else Path(experiment),
            geometry=None if geometry is None else Path(geometry),
            space_group=space_group,
            intensity=intensity,
            batch_degrees=direct,
        )
        table, images = data.observations, data.experiment
        if kind == "h5":
            run = read_stills(source)
            widths += [run.width] if run.width is not None else []
            notes |= {first + image: text for image, text in run.notes.items()}
        if batch is not None and direct is None:
            number, images = batches(images, degrees=batch)
            table = table.replace(image=number[table.image])
            notes = {}
        said += data.notes
        tables.append(table.replace(image=table.image + np.int32(first)))
        parts.append(images)
        first += len(images)
    joined = parts[0] if len(parts) == 1 else join_experiments(parts)
    return Observations.join(tables), joined, widths[0] if widths else None, said, notes


def read_known(path: Source | None, images: Experiment, said: list[str]) -> Reference | None:
    """Known intensities, and a warning where they are of another crystal."""
    if path is None:
        return None
    found = read_reference(Path(path), cell=images.cell, space_group=images.space_group)
    ratio = np.divide(found.cell[:3], images.cell[:3])
    turn = np.subtract(found.cell[3:], images.cell[3:])
    if np.abs(ratio - 1.0).max() > _LENGTHS or np.abs(turn).max() > _ANGLES:
        said.append(
            f"the cell of the reference {path} is {_numbers(found.cell)}, that of the data {_numbers(images.cell)}: "
            "is it the same crystal?"
        )
    laue = found.space_group.laue_str(), images.space_group.laue_str()
    if laue[0] != laue[1]:
        said.append(f"the Laue class of the reference {path} is {laue[0]}, that of the data {laue[1]}")
    return found


def _numbers(cell: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in cell)
