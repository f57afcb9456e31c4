"""``crystint stills refine``: orientations, and distances, by where the strong spots of an integration are seen."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from crystint.errors import FileError, recorded_warnings
from crystint.io.guard import reads_file
from crystint.io.opened_file import OpenedFile
from crystint.model.facts import counted
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.stills.files import StillsRun, open_stills, write_stills
from crystint.stills.inputs import kind_of
from crystint.stills.integration.spot_moments import SpotMoments
from crystint.stills.scaling.geometry_refinement import GeometryRefinement, refine_geometry
from crystint.stills.settings import RefineSettings

__all__ = ["refine_images"]

_EXPECTED = "expected an .h5 of crystint stills integrate"


def refine_images(job: Job[RefineSettings]) -> Outcome:
    """Refine the orientations of an integrated file and write .h5 with images alone, to be integrated again.

    Where the refinement does not help, the images are written as they were. The rocking width is not: it was measured
    with the orientations before. The result is a `StillsRun`.
    """
    source, settings = job.input("source"), job.settings
    with recorded_warnings() as messages:
        before = _read(source)
        images, spots, width = before.images, before.moments, before.width
        assert spots is not None
        places = (spots.centroid_slow, spots.centroid_fast, spots.sigma_slow, spots.sigma_fast)
        refinement = refine_geometry(
            images, spots.image, spots.hkl, *places, width=width, prior_rotation=settings.prior_rotation,
            prior_distance=settings.prior_distance, min_spots=settings.min_spots,
        )  # fmt: skip
    if len(refinement.failed) == len(images):
        first = next(iter(refinement.failed.values()))
        raise FileError(f"{source}: none of {counted(len(images), 'image')} can be refined: {first}")
    run = StillsRun(
        experiment=refinement.experiment if refinement.helps else images,
        notes={image: f"{reason}; left as it was" for image, reason in refinement.failed.items()},
        extra={
            "warnings": messages,
            "helps": refinement.helps,
            "rotation": refinement.rotation,
            "distance": refinement.distance,
            "covariance": refinement.covariance,
        },
        provenance=job.provenance(width=None if width is None else vars(width)),
    )
    job.write(run, partial(write_stills, run=run, overwrite=job.overwrite))
    return Outcome(_text(refinement, spots), run, notes=run.notes)


@reads_file
def _read(source: Path) -> StillsRun:
    """Images, centroids, and the rocking width of an integrated file, without its observations."""
    with OpenedFile(source) as file:
        if kind_of(file) != "h5":
            raise FileError(f"{source} holds no centroids of spots; {_EXPECTED}")
        with open_stills(file) as stored:
            parts = {name: stored.get(name) for name in ("experiment", "moments", "width") if name in stored}
    for name, what in (("experiment", "images"), ("moments", "centroids of spots")):
        if name not in parts:
            raise FileError(f"{source} holds no {what}; {_EXPECTED}")
    return StillsRun(**parts)


def _text(refinement: GeometryRefinement, spots: SpotMoments) -> str:
    """How far images were turned, whether that helps, and what was not used."""
    some = np.flatnonzero(np.isfinite(refinement.rotation[:, 0]))
    turned = f"{len(some)} of {counted(len(refinement.rotation), 'image')} turned by "
    turned += f"{np.degrees(refinement.turned):.3f} degrees (rms)"
    if refinement.distance.any():
        percent = 100.0 * refinement.distance[some]
        turned += f", distances changed by {percent.mean():+.3f} % (rms {np.sqrt(np.mean(percent**2)):.3f})"
    columns = (spots.centroid_slow, spots.centroid_fast, spots.sigma_slow, spots.sigma_fast)
    seen = np.isfinite(np.stack(columns)).all(axis=0)
    turned += f", by the centroids of {counted(int(seen.sum()), 'spot')}"
    if not seen.all():
        turned += f"; {counted(int((~seen).sum()), 'spot')} without a centroid not used"
    end = "" if refinement.helps else "; all images are written as they were"
    return f"{turned}\n{refinement.verdict}{end}"
