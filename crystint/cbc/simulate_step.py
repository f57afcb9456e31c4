"""``crystint cbc simulate``: a convergent-beam table of known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from crystint.cbc.merging.files import write_simulation
from crystint.cbc.merging.result import ReferenceIntensities
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.settings import CRYSTAL, RANDOM, SimulateSettings, SimulationSettings
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_cbc, simulate_streaks
from crystint.errors import SettingError
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["simulate", "truth_of"]


def truth_of(simulation: CBCSimulation) -> ReferenceIntensities:
    """The truth of a simulation, to be stored with its table and to be compared with.

    Parameters
    ----------
    simulation : CBCSimulation

    Returns
    -------
    ReferenceIntensities

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> cbc.truth_of(data).hkl.shape[1]
    3
    """
    truth, settings = simulation.truth, simulation.settings
    frames = np.arange(settings.frames)
    return ReferenceIntensities(
        hkl=truth.hkl,
        q2=truth.q2,
        symmetry=settings.symmetry,
        friedel=settings.friedel,
        maps=ProjectionMap(truth.maps, truth.x, truth.y, frames),
        intercept=truth.intercept,
    )


def simulate(job: Job[SimulateSettings]) -> Outcome:
    """Write a table, its geometry and its truth."""
    settings = job.settings
    values = {name: getattr(settings, name) for name in SimulationSettings.model_fields}
    if settings.rows is None:
        _check_unset(settings, RANDOM, "is for random streaks, which rows asks for; overlap here follows crowding")
        data = simulate_cbc(**values)
        truth, setup = truth_of(data), data.setup
    else:
        _check_unset(settings, CRYSTAL, "is of a crystal, but rows asks for random streaks, which have none")
        options = {name: getattr(settings, name) for name in RANDOM}
        data = simulate_streaks(settings.rows, **values, **options)
        truth, setup = replace(truth_of(data), symmetry=None), None
    record = job.provenance()

    def write(path: Path) -> None:
        write_simulation(path, data.table, truth, setup=setup, provenance=record, overwrite=job.overwrite)

    job.write(data, write)
    frames = f"{settings.frames} frame{'' if settings.frames == 1 else 's'}"
    text = (
        f"{len(data.table)} rows, {len(data.truth.family)} streaks on {frames}, {len(data.truth.q2)} families, "
        f"{100 * data.overlap:.1f} % of rows on overlaps, criterion at the truth {data.fitness():.2f}"
    )
    return Outcome(text, data)


def _check_unset(settings: SimulateSettings, names: frozenset[str], why: str) -> None:
    for name in sorted(names & settings.model_fields_set):
        raise SettingError(f"{name} {why}")
