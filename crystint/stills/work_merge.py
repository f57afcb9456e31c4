"""Scaling and merging from files to files: what the commands of that name do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.mtz_out import write_merged_mtz, write_unmerged_mtz
from crystint.io.provenance import provenance
from crystint.model.batches import batches
from crystint.model.experiment import Experiment, join_experiments
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.model.symmetry import as_space_group, groups, spacing
from crystint.stills.files import StillsRun, read_stills, write_stills
from crystint.stills.inputs import kind_of, read_data, read_reference
from crystint.stills.merging.ambiguity import find_ambiguity
from crystint.stills.merging.amplitudes import french_wilson
from crystint.stills.merging.image_rejection import delta_cc_half, image_cc, reject_images
from crystint.stills.merging.merge import merge
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.rocking import excitation_sweep, fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.scales import Scales
from crystint.stills.work import Done, Source, check_suffixes

__all__ = ["merge_files", "scale_files"]

_TURNS = 3
"""times that the rocking width and merged intensities are fitted to one another"""
_SETTLED = 0.02
_LENGTHS, _ANGLES = 0.03, 2.0
"""by which the cell of a reference may differ: relative, and degrees"""


def scale_files(
    sources: Sequence[Source],
    outputs: Sequence[Source],
    *,
    experiment: Source | None = None,
    geometry: Source | None = None,
    space_group: str | None = None,
    intensity: str | None = None,
    batch: float | None = None,
    reference: Source | None = None,
    refine_b: bool = True,
    fit_width: bool | None = None,
    wavelength_nodes: int = 0,
    reindex: bool = False,
    min_partiality: float = 0.1,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Done:
    """Scale the images of one or more files together and write .h5 with everything, or .mtz, scaled and unmerged.

    Parameters
    ----------
    sources
        As `crystint.stills.inputs.read_data` reads them.
    batch
        Degrees of rotation data that are scaled as one image.
    fit_width
        Fit the rocking width of the data set and renew the partialities; None = where the observations come with a
        rocking width of crystint's integration and images are stills.
    reindex
        Resolve an indexing ambiguity; it is said in any case.
    Others as `crystint.stills.scaling.scale.scale`.

    Raises
    ------
    FileError, GeometryError, SettingError
        When something is missing or impossible. An image that cannot be scaled is in the notes instead.
    """
    check_suffixes(outputs, (".h5", ".mtz"))
    table, images, width, said, notes = _read(sources, experiment, geometry, space_group, intensity, batch)
    group = images.space_group
    known = _reference(reference, images, said)
    ambiguity = find_ambiguity(table, cell=images.cell, space_group=group, reference=known, names=images.name)
    if ambiguity.message:
        end = ("; resolved" if reindex else "; --reindex resolves it") if ambiguity.found else ""
        said.append(ambiguity.message + end)
    if reindex and ambiguity.found:
        table = ambiguity.resolve(table)
    options: dict[str, Any] = {
        "space_group": group, "reference": known, "refine_b": refine_b, "wavelength_nodes": wavelength_nodes,
        "min_partiality": min_partiality,
    }  # fmt: skip
    words = ""
    asked = fit_width is not None
    if fit_width is None:
        fit_width = width is not None and images.sweep is None
    if fit_width:
        try:
            table, width, words = _fitted(table, images, width, options)
        except SettingError as error:
            if asked:
                raise
            said.append(f"the rocking width is not fitted to the data set: {error}")
    found = scale(table, images, **options)
    good = np.isfinite(found.ln_g)
    if not good.any():
        first = next(iter(found.failed.values()), "it has no images")
        raise FileError(f"{', '.join(map(str, sources))}: none of {len(images)} images can be scaled: {first}")
    notes = {**notes, **found.failed}
    settings = {
        "space_group": group.xhm(), "intensity": intensity, "batch": batch, "refine_b": refine_b,
        "reference": None if reference is None else str(reference), "fit_width": fit_width, "reindex": reindex,
        "wavelength_nodes": wavelength_nodes, "min_partiality": min_partiality,
    }  # fmt: skip
    record = provenance(settings, [*map(str, sources)], list(command))
    before = read_stills(sources[0]) if len(sources) == 1 and kind_of(Path(sources[0])) == "h5" else StillsRun()
    run = StillsRun(
        experiment=images, observations=table, scales=found, width=width, profile=before.profile, notes=notes,
        extra={"warnings": said}, provenance=record,
    )  # fmt: skip
    for path in map(Path, outputs):
        if path.suffix.lower() == ".mtz":
            write_unmerged_mtz(path, table, images, factor=found.factor(table), overwrite=overwrite)
        else:
            write_stills(
                path, experiment=images, observations=table, scales=found, width=width, profile=before.profile,
                reference=known, notes=notes, extra={"warnings": said}, provenance=record, overwrite=overwrite,
            )  # fmt: skip
    how = "to the reference" if known is not None else "to one another"
    text = f"{good.sum()} of {len(images)} images scaled {how} in {found.iterations} steps"
    text += f"; ln G {found.ln_g[good].std():.3f} and B {found.b[good].std():.2f} angstrom^2 rms between images"
    if words:
        text += f"\n{words}"
    return Done(run, text, notes, tuple(said))


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
    table, images, _, said, notes = _read([source], experiment, None, space_group, None, None)
    if scales is None:
        said.append(f"{source} is not scaled: its intensities are merged as they are")
    said += list(before.extra.get("warnings", ()))
    known = _reference(reference, images, said) if reference is not None else before.reference
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
    notes = {**notes, **found.failed, **rejected}
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
        from crystint.io.atomic import atomic_path
        from crystint.stills.report import stills_report

        with atomic_path(path, overwrite) as temporary:
            temporary.write_text(stills_report(run, warnings=said), encoding="utf-8")
    else:
        write_stills(
            path, experiment=run.experiment, observations=run.observations, scales=run.scales, merged=found,
            error_model=found.error_model, profile=run.profile, width=run.width, reference=run.reference,
            notes=dict(run.notes), extra={"warnings": list(said)}, provenance=run.provenance, overwrite=overwrite,
        )  # fmt: skip


def _read(
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


def _reference(path: Source | None, images: Experiment, said: list[str]) -> Reference | None:
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


def _fitted(
    table: Observations, images: Experiment, width: RockingWidth | None, options: dict[str, Any]
) -> tuple[Observations, RockingWidth, str]:
    """Observations with the partialities of the width that fits the data set best, that width, and what to say.

    Without a reference the merged intensities stand in for it, and width, scales and merging take turns.
    """
    if width is None:
        width = RockingWidth(1e-3, 0.0, images.bandwidth)
    words = ""
    sweep = None if images.sweep is None else excitation_sweep(images, table.image, table.hkl)
    for _ in range(_TURNS):
        known = options["reference"]
        if known is None:
            scales = scale(table, images, **options)
            known = as_reference(merge(
                table, scales, space_group=images.space_group, cell=images.cell, error_model=None, shells=1
            ))  # fmt: skip
        fit = fit_rocking(table, images, reference=known, space_group=images.space_group, start=width)
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
        if change < _SETTLED or options["reference"] is not None:
            break
    return table, width, words


def as_reference(merged: Any) -> Reference:
    """Merged intensities as known ones."""
    cell = tuple(float(value) for value in merged.cell.parameters)
    return Reference(merged.hkl, merged.intensity, merged.sigma, cell, merged.space_group)  # type: ignore[arg-type]


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
