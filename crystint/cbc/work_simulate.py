"""Simulated convergent-beam tables as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystint.cbc.merging.files import write_simulation
from crystint.cbc.merging.result import Known
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_cbc, simulate_streaks
from crystint.cbc.work_common import HDF5, Done, Source
from crystint.errors import SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.outputs import check_output
from crystint.io.text_numbers import numbers

__all__ = ["known_of", "simulate_file"]


def known_of(simulation: CBCSimulation) -> Known:
    """The truth of a simulation, to be kept with its table."""
    truth, settings = simulation.truth, simulation.settings
    frames = np.arange(settings.frames)
    return Known(
        hkl=truth.hkl,
        q2=truth.q2,
        symmetry=settings.symmetry,
        friedel=settings.friedel,
        maps=ProjectionMap(truth.maps, truth.x, truth.y, frames),
        intercept=truth.intercept,
    )


def simulate_file(
    output: Source,
    *,
    rows: int | None = None,
    cell: str | None = None,
    shape: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    **settings: Any,
) -> Done:
    """Write a simulated table, its geometry and its truth.

    Parameters
    ----------
    rows
        About so many rows of random streaks; None = frames of a crystal.
    cell, shape
        Numbers with commas between them.
    **settings
        Of `simulate_cbc`, or with `rows` of `simulate_streaks`; None = as it is there.

    Raises
    ------
    FileError, SettingError
        When the file exists or is no .h5, or a setting is impossible.
    """
    check_output(output, HDF5, overwrite)
    settings["cell"], settings["shape"] = numbers("cell", cell, 6, float), numbers("shape", shape, 2, int)
    given = {name: value for name, value in settings.items() if value is not None}
    if rows is None:
        for name in ("overlap", "reflections", "length"):
            if name in given:
                raise SettingError(f"{name} is for random streaks, which rows asks for; overlap here follows crowding")
        data = simulate_cbc(**given)
    else:
        for name in ("cell", "shape", "symmetry", "crowding", "d_min"):
            if name in given:
                raise SettingError(f"{name} is of a crystal, but rows asks for random streaks, which have none")
        data = simulate_streaks(rows, **given)
    record = provenance({"rows": rows, **given}, [], list(command))
    known = known_of(data) if rows is None else replace(known_of(data), symmetry=None)
    write_simulation(
        output, data.table, known, setup=data.setup if rows is None else None, provenance=record, overwrite=overwrite
    )
    frames = f"{data.settings.frames} frame{'' if data.settings.frames == 1 else 's'}"
    text = (
        f"{len(data.table)} rows, {len(data.truth.family)} streaks on {frames}, {len(data.truth.q2)} families, "
        f"{100 * data.overlap:.1f} % of rows on overlaps, criterion at the truth {data.fitness():.2f}"
    )
    return Done(None, text)
