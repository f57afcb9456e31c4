"""``crystint stills scale``: a scale and a temperature factor for each image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError, recorded_warnings, warn
from crystint.io.reflections.mtz_out import write_unmerged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.merging.ambiguity import find_ambiguity
from crystint.stills.merging.merge import merge
from crystint.stills.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.rocking import excitation_sweep, fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.shared_means import JOINT
from crystint.stills.settings import ScaleSettings
from crystint.stills.step_inputs import StepInputs, read_known, read_together

__all__ = ["scale_images"]

_TURNS = 3
"""times that the rocking width and merged intensities are fitted to one another"""
_SETTLED = 0.02
_IMAGES = 200
"""enough for the rocking width, with a reference"""


def scale_images(job: Job[ScaleSettings]) -> Outcome:
    """Scale the images of one or more files together and write .h5 with everything, or .mtz, scaled and unmerged.

    The rocking width of the data set is fitted, and partialities are renewed, where that is asked for, or where the
    observations come with a rocking width of crystint's integration and images are stills. An indexing ambiguity is
    warned of, and resolved where that is asked for. The result is a `StillsRun`.
    """
    sources, settings = job.inputs["sources"], job.settings
    with recorded_warnings() as messages:
        inputs = read_together(
            sources, settings.experiment, geometry=settings.geometry, space_group=settings.space_group,
            intensity=settings.intensity, batch=settings.batch,
        )  # fmt: skip
        job.reads(inputs.files)
        images, group = inputs.experiment, inputs.experiment.space_group
        symmetric_cell(images.cell, group)  # before the images are told to be indexed in several ways
        reference = read_known(settings.reference, images)
        table = _indexed_alike(inputs.observations, images, reference, reindex=settings.reindex)
        options: dict[str, Any] = {
            "space_group": group, "reference": reference, "refine_b": settings.refine_b,
            "wavelength_nodes": settings.wavelength_nodes, "min_partiality": settings.min_partiality,
        }  # fmt: skip
        table, width, fit = _with_width(table, inputs, settings, options)
    scales = scale(table, images, **options)
    good = np.isfinite(scales.ln_g)
    if not good.any():
        first = next(iter(scales.failed.values()), "it has no images")
        raise FileError(f"{', '.join(map(str, sources))}: none of {len(images)} images can be scaled: {first}")
    files = dict.fromkeys(map(str, (*job.sources, *inputs.files)))
    run = StillsRun(
        experiment=images,
        observations=table,
        scales=scales,
        width=width,
        profile=inputs.run.profile,
        reference=reference,
        notes={**inputs.notes, **scales.failed},
        extra={"warnings": messages},
        provenance=job.provenance(files, space_group=group.xhm(), fit_width=fit is not None),
    )
    _write(job, run, scales, table)
    how = "to the reference" if reference is not None else "to one another"
    text = f"{good.sum()} of {len(images)} images scaled {how} in {scales.iterations} steps"
    text += f"; ln G {scales.ln_g[good].std():.3f} and B {scales.b[good].std():.2f} angstrom^2 rms between images"
    if fit:
        text += f"\n{fit}"
    return Outcome(text, run, notes=run.notes)


def _write(job: Job[ScaleSettings], run: StillsRun, scales: Scales, table: Observations) -> None:
    write_mtz = partial(
        write_unmerged_mtz, observations=table, experiment=run.images, factor=scales.factor(table),
        overwrite=job.overwrite,
    )  # fmt: skip
    write_h5 = partial(write_stills, run=run, overwrite=job.overwrite)
    writers: dict[str, Callable[[Path], None]] = {".mtz": write_mtz, **dict.fromkeys(HDF5, write_h5)}
    job.write(run, writers)


def _indexed_alike(
    table: Observations, images: Experiment, reference: Reference | None, *, reindex: bool
) -> Observations:
    """The observations, images indexed in one way where that is asked for; warns of an ambiguity."""
    ambiguity = find_ambiguity(
        table, cell=images.cell, space_group=images.space_group, reference=reference, names=images.name
    )
    if ambiguity.message:
        end = ("; resolved" if reindex else "; --reindex resolves it") if ambiguity.found else ""
        warn(ambiguity.message + end)
    return ambiguity.resolve(table) if reindex and ambiguity.found else table


def _with_width(
    table: Observations, inputs: StepInputs, settings: ScaleSettings, options: dict[str, Any]
) -> tuple[Observations, RockingWidth | None, str | None]:
    """Observations with the partialities of the width that fits them, that width, and what to say of it.

    None is said where the width stays as it is.
    """
    images, width, wanted = inputs.experiment, inputs.width, settings.fit_width
    if wanted is None:
        wanted = width is not None and images.sweep is None and settings.batch is None
    if not wanted:
        return table, width, None
    try:
        return _fitted(table, images, width, options)
    except SettingError as error:
        if settings.fit_width:
            raise
        warn(f"the rocking width is not fitted to the data set: {error}")
        return table, width, ""


def _fitted(
    table: Observations, images: Experiment, width: RockingWidth | None, options: dict[str, Any]
) -> tuple[Observations, RockingWidth, str]:
    """Observations with the partialities of the width that fits the data set best, that width, and what to say.

    Without a reference the fit begins with merged intensities; width, scales and merging take turns.
    """
    if width is None:
        width = RockingWidth(1e-3, 0.0, images.bandwidth)
    words = ""
    sweep = None if images.sweep is None else excitation_sweep(images, table.image, table.hkl)
    for _ in range(_TURNS):
        reference, rows = options["reference"], table
        merged = reference is None
        if merged:
            scales = scale(table, images, **options)
            reference = merge(
                table, scales, space_group=images.space_group, cell=images.cell, error_model=None, shells=1
            ).reference()
            rows = table.select(np.isfinite(scales.ln_g)[table.image])
        fit = fit_rocking(
            rows, images, reference=reference, space_group=images.space_group, start=width, merged=merged,
            max_images=JOINT if merged else _IMAGES,
        )  # fmt: skip
        change = abs(fit.width.at(2.0, 1.0) / width.at(2.0, 1.0) - 1.0)
        width = fit.width
        wavelength = images.wavelength[table.image]
        table = table.replace(partiality=partiality(table.excitation, width.at(table.d, wavelength), sweep))
        words = (
            f"rocking width {width.domain:.3g} +- {fit.sigma_domain:.1g} 1/angstrom"
            + (f", mosaicity {1e3 * width.mosaicity:.3g} mrad" if width.mosaicity else "")
            + f" from {fit.used} observations of {fit.images} images"
            + (f" ({fit.note})" if fit.note else "")
        )
        if change < _SETTLED or not merged:
            break
    return table, width, words
