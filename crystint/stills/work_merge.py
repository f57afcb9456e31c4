"""Merging from files to files: what the command of that name does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.mtz_out import write_merged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.model.symmetry import as_space_group, groups, spacing
from crystint.stills.files import StillsRun, read_stills, write_stills
from crystint.stills.inputs import kind_of
from crystint.stills.merging.amplitudes import french_wilson
from crystint.stills.merging.image_rejection import delta_cc_half, image_cc, reject_images
from crystint.stills.merging.merge import merge
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.prediction.partiality import RockingWidth
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.work import Done, Source, check_suffixes
from crystint.stills.work_inputs import read_known, read_together

__all__ = ["merge_files"]


def merge_files(
    source: Source,
    outputs: Sequence[Source],
    *,
    experiment: Source | None = None,
    space_group: str | None = None,
    reference: Source | None = None,
    anomalous: bool = False,
    d_min: float | None = None,
    d_max: float | None = None,
    min_partiality: float = 0.3,
    outliers: float | None = 6.0,
    error_model: str = "fit",
    sigma: str = "internal",
    shells: int = 10,
    reject: float | None = None,
    min_cc: float | None = None,
    free: float | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Done:
    """Merge one scaled file and write .mtz (merged), .h5 with everything, and .txt, the report.

    Parameters
    ----------
    error_model
        "fit", "none", or "A,B" (sigma'^2 = A sigma^2 + (B <I>)^2).
    reject
        Leave out images whose delta-CC1/2 is so many standard deviations below the mean.
    min_cc
        Leave out images that correlate less with the reference.
    free
        Share of the reflections to flag as FreeR in an .mtz.
    Others as `crystint.stills.merging.merge.merge`.

    Raises
    ------
    FileError, GeometryError, SettingError
        When something is missing or impossible.
    """
    check_suffixes(outputs, (".mtz", ".h5", ".txt"))
    if d_min is not None and d_max is not None and d_min >= d_max:
        raise SettingError(f"d_min is {d_min} and d_max {d_max} angstrom, expected d_min below d_max")
    model = _model(error_model)
    scales: Scales | None = None
    width: RockingWidth | None = None
    before = StillsRun()
    if kind_of(Path(source)) == "h5":
        before = read_stills(source)
        scales, width = before.scales, before.width
    table, images, _, said, notes = read_together([source], experiment, None, space_group, None, None)
    symmetric_cell(images.cell, images.space_group)
    if scales is None:
        said.append(f"{source} is not scaled: its intensities are merged as they are")
    said += list(before.extra.get("warnings", ()))
    known = read_known(reference, images, said) if reference is not None else before.reference
    options: dict[str, Any] = {
        "space_group": images.space_group, "cell": images.cell, "anomalous": anomalous, "error_model": model,
        "outliers": outliers, "min_partiality": min_partiality, "d_min": d_min, "d_max": d_max, "sigma": sigma,
        "reference": known, "shells": shells, "names": images.name,
    }  # fmt: skip
    rejected = {}
    if reject is not None or min_cc is not None:
        if min_cc is not None and known is None:
            raise SettingError("--min-cc needs a reference to correlate with: --reference FILE")
        rejected = _rejected(table, images, scales, known, reject, min_cc)
    found = merge(table, scales, rejected_images=rejected, **options)
    if not len(found):
        raise FileError(f"{source}: nothing can be merged: {'; '.join(found.notes) or 'it has no observations'}")
    unscaled = {} if scales is None else scales.failed  # says more than that nothing of them was merged
    notes = {**notes, **found.failed, **unscaled, **rejected}
    settings = {
        **{name: value for name, value in options.items() if name not in ("reference", "names", "space_group")},
        "space_group": images.space_group.xhm(), "error_model": error_model, "reject": reject, "min_cc": min_cc,
        "reference": None if reference is None else str(reference),
    }  # fmt: skip
    record = provenance(settings, [str(source)], list(command))
    table = table.replace(flags=found.flags)
    run = replace(
        before, experiment=images, observations=table, scales=scales, merged=found, width=width, notes=notes,
        error_model=found.error_model, reference=known, provenance=record,
    )  # fmt: skip
    for path in map(Path, outputs):
        _write_merged(path, run, said, free, overwrite)
    text = f"{int(found.multiplicity.sum())} observations merged into {len(found)} reflections"
    text += f"\n\n{found.statistics.table()}"
    return Done(run, text, notes, (*said, *found.notes))


def _write_merged(path: Path, run: StillsRun, said: Sequence[str], free: float | None, overwrite: bool) -> None:
    """One output of merging, in the format of its suffix."""
    found = run.merged
    assert found is not None
    if path.suffix.lower() == ".mtz":
        f = french_wilson(found.hkl, found.intensity, found.sigma, cell=found.cell, space_group=found.space_group)
        wavelength = 0.0 if run.experiment is None else float(np.nanmean(run.experiment.wavelength))
        write_merged_mtz(
            path,
            found,
            amplitudes=(f.amplitude, f.sigma_amplitude),
            free=free,
            wavelength=wavelength,
            overwrite=overwrite,
        )
    elif path.suffix.lower() == ".txt":
        from crystint.io.outputs import atomic_path
        from crystint.stills.report import stills_report

        with atomic_path(path, overwrite) as temporary:
            temporary.write_text(stills_report(run, warnings=said), encoding="utf-8")
    else:
        write_stills(
            path, experiment=run.experiment, observations=run.observations, scales=run.scales, merged=found,
            error_model=found.error_model, profile=run.profile, width=run.width, reference=run.reference,
            notes=dict(run.notes), extra={"warnings": list(said)}, provenance=run.provenance, overwrite=overwrite,
        )  # fmt: skip


def _rejected(
    table: Observations,
    images: Experiment,
    scales: Scales | None,
    known: Reference | None,
    deviations: float | None,
    min_cc: float | None,
) -> dict[int, str]:
    """Images to leave out, and why."""
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
    if min_cc is not None and known is not None:
        target = known.match(use.hkl, as_space_group(images.space_group))
        cc = image_cc(use.image, intensity, target, len(images))
    return reject_images(
        delta=delta, deviations=deviations or 4.0, scales=scales, cc=cc, min_cc=min_cc, names=images.name
    )


def _model(text: str) -> Any:
    """The error model that was asked for."""
    if text in ("fit", "none"):
        return None if text == "none" else "fit"
    try:
        a, b = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"the error model is {text!r}, expected fit, none, or two numbers A,B") from None
    return ErrorModel(a, b)
