"""Scaling from files to files: what the command of that name does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.mtz_out import write_unmerged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.stills.files import StillsRun, read_stills, write_stills
from crystint.stills.inputs import kind_of
from crystint.stills.merging.ambiguity import find_ambiguity
from crystint.stills.merging.merge import merge
from crystint.stills.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.rocking import excitation_sweep, fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.shared_means import JOINT
from crystint.stills.work import Done, Source, check_suffixes
from crystint.stills.work_inputs import read_known, read_together

__all__ = ["scale_files"]

_TURNS = 3
"""times that the rocking width and merged intensities are fitted to one another"""
_SETTLED = 0.02
_IMAGES = 200
"""enough for the rocking width, with a reference"""


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
    if batch is not None and fit_width:
        raise SettingError("the rocking width cannot be fitted to images that are taken together in batches")
    table, images, width, said, notes = read_together(sources, experiment, geometry, space_group, intensity, batch)
    group = images.space_group
    symmetric_cell(images.cell, group)  # before the images are told to be indexed in several ways
    known = read_known(reference, images, said)
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
        fit_width = width is not None and images.sweep is None and batch is None
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
        known, rows = options["reference"], table
        if known is None:
            scales = scale(table, images, **options)
            known = merge(
                table, scales, space_group=images.space_group, cell=images.cell, error_model=None, shells=1
            ).reference()
            rows = table.select(np.isfinite(scales.ln_g)[table.image])
        merged = options["reference"] is None
        fit = fit_rocking(
            rows, images, reference=known, space_group=images.space_group, start=width, merged=merged,
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
        if change < _SETTLED or options["reference"] is not None:
            break
    return table, width, words
