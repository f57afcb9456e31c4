"""``crystint stills predict``: where reflections are, and how much of each is excited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from crystint.errors import FileError, warn
from crystint.model.cells import symmetric_cell
from crystint.model.observations import Observations
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import Prediction, predict
from crystint.prediction.resolution import edge_resolution
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.inputs import read_indexed
from crystint.stills.prediction.predicted_files import write_predicted_csv, write_predicted_refl
from crystint.stills.settings import PredictSettings
from crystint.stills.start_width import bandwidth_of, given_width

__all__ = ["predict_reflections"]

_DOMAIN = 1e-3
"""1/angstrom: width of the rocking curve where there are no frames to measure it on"""


def predict_reflections(job: Job[PredictSettings]) -> Outcome:
    """Predict reflections and write them: .refl for DIALS, .csv, or .h5. The result is a `StillsRun`."""
    source, settings = job.input("experiment"), job.settings
    indexed = read_indexed(source, geometry=settings.geometry)
    images = indexed.images
    width = given_width(indexed, settings)
    if width is None:
        warn(f"the width of the rocking curve is a guess, {_DOMAIN:g} 1/angstrom; --domain gives another")
        width = RockingWidth(_DOMAIN, settings.mosaicity or 0.0, bandwidth_of(images, settings))
    limit = edge_resolution(images) if settings.d_min is None else settings.d_min
    d_max = np.inf if settings.d_max is None else settings.d_max
    prediction = predict(images, limit, width, d_max=d_max, band=settings.band)
    if not len(prediction) and prediction.notes:
        raise FileError(f"{source}: nothing is predicted on any image: {next(iter(prediction.notes.values()))}")
    symmetric_cell(images.cell, images.space_group)
    run = StillsRun(
        experiment=images,
        observations=observations_of(prediction),
        width=width,
        notes=prediction.notes,
        provenance=job.provenance(d_min=limit, width=vars(width)),
    )
    writers: dict[str, Callable[[Path], None]] = {
        ".refl": partial(write_predicted_refl, prediction=prediction, images=images, overwrite=job.overwrite),
        ".csv": partial(write_predicted_csv, prediction=prediction, images=images, overwrite=job.overwrite),
        **dict.fromkeys(HDF5, partial(write_stills, run=run, overwrite=job.overwrite)),
    }
    job.write(run, writers)
    text = (
        f"{len(prediction)} reflections on {len(np.unique(prediction.image))} of {len(images)} images to {limit:.2f} "
        f"angstrom, {prediction.outside} more beside the panels"
    )
    return Outcome(text, run, notes=prediction.notes)


def observations_of(prediction: Prediction) -> Observations:
    """Predicted reflections as a table without intensities (NaN)."""
    nothing = np.full(len(prediction), np.nan)
    return Observations(
        image=prediction.image,
        hkl=prediction.hkl,
        intensity=nothing,
        sigma=nothing,
        d=prediction.d,
        partiality=prediction.partiality,
        correction=prediction.polarization * prediction.efficiency,
        excitation=prediction.excitation,
        slow=prediction.slow.astype(np.float32),
        fast=prediction.fast.astype(np.float32),
    )
