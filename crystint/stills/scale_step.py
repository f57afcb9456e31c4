"""``crystint stills scale``: a scale and a temperature factor for each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, recorded_warnings, warn
from crystint.io.monitor import monitor_file
from crystint.io.reflections.mtz_out import history_of, write_unmerged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.facts import counted, counts_text
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.merging.agreement import Agreement
from crystint.stills.merging.ambiguity import find_ambiguity
from crystint.stills.merging.image_rejection import image_cc
from crystint.stills.merging.merge import merge
from crystint.stills.scale_priors import monitor_of_images
from crystint.stills.scale_width import with_width
from crystint.stills.scaling.image_scatter import scatter_of_images
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.scales import Scales
from crystint.stills.settings import ScaleSettings
from crystint.stills.step_inputs import read_known, read_together

__all__ = ["scale_images"]


def scale_images(job: Job[ScaleSettings]) -> Outcome:
    """Scale the images of one or more files together and write .h5 with everything, or .mtz, scaled and unmerged.

    The rocking width of the data set is fitted, and partialities are renewed, where that is asked for or helps
    (`with_width`). An indexing ambiguity is warned of, and resolved where that is asked for. The result is a
    `StillsRun`.
    """
    sources, settings = job.inputs["sources"], job.settings
    flux_files = () if settings.monitor is None else (monitor_file(settings.monitor)[0],)
    with recorded_warnings() as messages:
        inputs = read_together(
            sources, settings.experiment, geometry=settings.geometry, space_group=settings.space_group,
            intensity=settings.intensity, batch=settings.batch,
        )  # fmt: skip
        job.reads(inputs.files, flux_files)
        images, group = inputs.experiment, inputs.experiment.space_group
        symmetric_cell(images.cell, group)  # before the images are told to be indexed in several ways
        monitor, tied = (None, "") if settings.monitor is None else monitor_of_images(settings.monitor, images)
        reference = read_known(settings.reference, images, settings.reference_column)
        table = _indexed_alike(inputs.observations, images, reference, reindex=settings.reindex)
        options: dict[str, Any] = {
            "space_group": group, "reference": reference, "refine_b": settings.refine_b,
            "wavelength_nodes": settings.wavelength_nodes, "min_partiality": settings.min_partiality,
            "prior_ln_g": settings.prior_ln_g, "prior_b": settings.prior_b, "prior_monitor": settings.prior_monitor,
            "monitor": monitor,
        }  # fmt: skip
        partialities = with_width(table, inputs, settings, options)
        table = partialities.observations
        scales = scale(table, images, **options)
        scatter, doubt = scatter_of_images(scales, images.name)
        if doubt:
            warn(doubt)
    scales = replace(scales, failed={**scales.failed, **inputs.repeats})
    good = np.isfinite(scales.ln_g)
    if not good.any():
        first = next(iter(scales.failed.values()), "it has no images")
        raise FileError(
            f"{', '.join(map(str, sources))}: none of {counted(len(images), 'image')} can be scaled: {first}; "
            "crystint stills merge --unscaled merges a file as it is"
        )
    compared = "" if reference is None else _compared(table, scales, reference, images, settings)
    files = dict.fromkeys(map(str, (*job.sources, *inputs.files, *flux_files)))
    run = StillsRun(
        experiment=images,
        observations=table,
        scales=scales,
        width=partialities.width,
        image_widths=partialities.of_images,
        profile=inputs.run.profile,
        reference=reference,
        notes={**inputs.notes, **scales.failed},
        extra={"warnings": messages},
        provenance=job.provenance(files, space_group=group.xhm(), fit_width=partialities.fit is not None),
    )
    _write(job, run, scales, table)
    how = "to the reference" if reference is not None else "to one another"
    text = f"{good.sum()} of {len(images) - len(inputs.repeats)} images scaled {how} in {scales.iterations} steps"
    text += f"; ln G {scales.ln_g[good].std():.3f} and B {scales.b[good].std():.2f} angstrom^2 rms between images"
    unused = counts_text(table.left_out)
    unused = unused and f"not used, of {len(table)} observations: {unused}"
    text += "".join(f"\n{line}" for line in (unused, partialities.words, tied, scatter, compared) if line)
    return Outcome(text, run, notes={image: note for image, note in run.notes.items() if image not in inputs.repeats})


def _compared(
    table: Observations, scales: Scales, reference: Reference, images: Experiment, settings: ScaleSettings
) -> str:
    """How the scaled data agree with their reference.

    Raises
    ------
    FileError
        When they do not: it is no reference for them.
    """
    group = images.space_group
    merged = merge(table, scales, space_group=group, cell=images.cell, error_model=None, shells=1)
    agreement = Agreement.of(merged, reference, settings.reference)
    if agreement.verdict == "none":
        ask = "is it of this crystal, indexed like it (--reindex), and the right column (--reference-column)?"
        raise FileError(f"{agreement.doubt}: {ask}")
    if agreement.doubt:
        warn(agreement.doubt)
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = np.where(table.usable, table.intensity / scales.factor(table), np.nan)
    cc = image_cc(table.image, intensity, reference.match(table.hkl, group), len(images))
    if not np.isfinite(cc).any():
        return str(agreement)
    worst = int(np.nanargmin(cc))
    return f"{agreement}; CC of images {np.nanmedian(cc):.2f} (median), {cc[worst]:.2f} of {images.name[worst]}"


def _write(job: Job[ScaleSettings], run: StillsRun, scales: Scales, table: Observations) -> None:
    def write_mtz(path: Path) -> None:
        write_unmerged_mtz(
            path, observations=table, experiment=run.images, factor=scales.factor(table),
            history=history_of(run.provenance["inputs"]), overwrite=job.overwrite,
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
