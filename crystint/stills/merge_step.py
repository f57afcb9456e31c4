"""``crystint stills merge``: one intensity per unique reflection, with statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError, recorded_warnings, warn
from crystint.io.reflections.free_in import read_free_flags
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.facts import counts_text
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.model.symmetry import as_space_group, groups, spacing
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.stills.merge_outputs import write_merged
from crystint.stills.merging.agreement import Agreement
from crystint.stills.merging.image_rejection import delta_cc_half, image_cc, reject_images
from crystint.stills.merging.merge import merge
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.settings import MergeSettings
from crystint.stills.step_inputs import read_known, read_together, warn_of_another_crystal

__all__ = ["merge_observations"]


def merge_observations(job: Job[MergeSettings]) -> Outcome:
    """Merge one scaled file and write .mtz (merged), .hkl (SHELX HKLF 4), .h5 with everything, .txt, or plots.

    The result is a `StillsRun`.
    """
    source, settings = job.input("source"), job.settings
    model = settings.error_model
    error_model: Any = ErrorModel(*model) if isinstance(model, tuple) else None if model == "none" else model
    with recorded_warnings() as messages:
        inputs = read_together([source], settings.experiment, space_group=settings.space_group)
        job.reads(inputs.files)
        images, scales = inputs.experiment, None if settings.unscaled else inputs.run.scales
        symmetric_cell(images.cell, images.space_group)
        if scales is None and not settings.unscaled:
            warn(f"{source} is not scaled: its intensities are merged as they are, as --unscaled asks for")
        for text in inputs.run.extra.get("warnings", ()):
            warn(text)
        reference = read_known(settings.reference, images, settings.reference_column) or inputs.run.reference
        copied = None if settings.free_from is None else read_free_flags(settings.free_from)
        if copied is not None:
            warn_of_another_crystal(f"file of the free flags {settings.free_from}", copied.crystal, images)
    rejected = _rejected(inputs.observations, images, scales, reference, settings)
    options: dict[str, Any] = {
        "cell": images.cell, "anomalous": settings.anomalous, "error_model": error_model,
        "outliers": settings.outliers, "min_partiality": settings.min_partiality, "d_min": settings.d_min,
        "d_max": settings.d_max, "sigma": settings.sigma, "shells": settings.shells,
    }  # fmt: skip
    merged = merge(
        inputs.observations, scales, rejected_images=rejected, space_group=images.space_group, reference=reference,
        names=images.name, **options,
    )  # fmt: skip
    if not len(merged):
        raise FileError(f"{source}: nothing can be merged: {'; '.join(merged.notes) or 'it has no observations'}")
    for text in merged.notes:
        warn(text)
    agreement = None if reference is None else Agreement.of(merged, reference, settings.reference)
    if agreement is not None and agreement.doubt:
        warn(agreement.doubt)
        messages.append(agreement.doubt)
    unscaled = {} if scales is None else scales.failed  # says more than that nothing of them was merged
    files = dict.fromkeys(map(str, (*job.sources, *inputs.files)))
    run = replace(
        inputs.run,
        experiment=images,
        scales=scales,
        observations=inputs.observations.replace(flags=merged.flags),
        merged=merged,
        error_model=merged.error_model,
        moments=None,
        reference=reference,
        notes={**inputs.notes, **merged.failed, **unscaled, **rejected},
        extra={"warnings": messages},
        provenance=job.provenance(files, cell=images.cell, space_group=images.space_group.xhm()),
    )
    told = write_merged(job, run, merged, messages, copied)
    text = f"{int(merged.multiplicity.sum())} observations merged into {len(merged)} reflections"
    unused = _unused(inputs.observations, merged)
    text += unused and f"\nnot used, of {len(inputs.observations)} observations: {unused}"
    text += f"\n\n{merged.statistics.table()}" + "".join(f"\n{line}" for line in (agreement, *told) if line)
    return Outcome(text, run, notes={image: note for image, note in run.notes.items() if image not in inputs.repeats})


def _unused(table: Observations, merged: Merged) -> str:
    """How many observations were not merged, and why."""
    counts = table.replace(flags=merged.flags).left_out
    outside = len(table) - int(merged.multiplicity.sum()) - sum(counts.values())
    return counts_text({**counts, "outside the resolution limits": outside})


def _rejected(
    table: Observations,
    images: Experiment,
    scales: Scales | None,
    reference: Reference | None,
    settings: MergeSettings,
) -> dict[int, str]:
    """Images to leave out, and why."""
    deviations, min_cc = settings.reject, settings.min_cc
    if deviations is None and min_cc is None:
        return {}
    if min_cc is not None and reference is None:
        raise SettingError("--min-cc needs a reference to correlate with: --reference FILE")
    use = table.select(table.usable)
    factor = use.correction * use.partiality if scales is None else scales.factor(use)
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = use.intensity / factor
    good = np.isfinite(intensity)
    use, intensity, factor = use.select(good), intensity[good], factor[good]
    delta = cc = None
    if deviations is not None:
        hkl, number = groups(use.hkl, images.space_group)
        d = spacing(hkl, images.cell)
        shell = ResolutionShells.of(d, 10).number(d)
        weight = factor**2 / np.median(use.sigma**2)
        delta = delta_cc_half(use.image, number, intensity, shell, weight=weight, images=len(images))
    if min_cc is not None and reference is not None:
        target = reference.match(use.hkl, as_space_group(images.space_group))
        cc = image_cc(use.image, intensity, target, len(images))
    return reject_images(
        delta=delta, deviations=deviations or 4.0, scales=scales, cc=cc, min_cc=min_cc, names=images.name
    )
