"""Prediction and integration from files to files: what the commands of that name do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.frames.masks import read_mask
from crystint.io.frames.sequence import open_frames
from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.mtz_out import write_unmerged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.mask import combine_masks
from crystint.model.observations import Observations
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.inputs import read_experiment
from crystint.stills.integration.fit_check import typical_offset
from crystint.stills.integration.integrate import edge_resolution, integrate
from crystint.stills.integration.pair_frames import pair_frames
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.prediction.partiality import RockingWidth
from crystint.stills.prediction.predict import Prediction, predict
from crystint.stills.prediction.predicted_files import write_predicted_csv, write_predicted_refl
from crystint.stills.work_inputs import read_known
from crystint.stills.work_width import Source, check_images, given_width, measured_width

__all__ = ["Done", "Source", "check_suffixes", "integrate_files", "predict_files"]

_DOMAIN = 1e-3
"""1/angstrom: width of the rocking curve where there are no frames to measure it on"""
_HELD = 0.1
"""of the reflections, that a reference should hold"""


@dataclass(frozen=True, eq=False)
class Done:
    """How a step ended."""

    run: StillsRun
    text: str
    """what to tell at the end"""
    notes: Mapping[int, str] = field(default_factory=dict)
    """images that gave nothing, and why"""
    warnings: tuple[str, ...] = ()


def predict_files(
    experiment: Source,
    outputs: Sequence[Source],
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    domain: float | None = None,
    mosaicity: float | None = None,
    bandwidth: float | None = None,
    band: float = 1.7,
    geometry: Source | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Done:
    """Predict reflections and write them: .refl for DIALS, .csv, or .h5.

    Parameters
    ----------
    d_min
        angstrom; None = to the farthest corner of the detector.
    domain, mosaicity, bandwidth
        Of the rocking curve, as `RockingWidth`; None = those of an .h5, else 1e-3 1/angstrom, 0 and the beam's.
    Others as `crystint.stills.prediction.predict.predict`.

    Raises
    ------
    FileError, GeometryError, SettingError
        When something is missing or impossible; before anything is computed.
    """
    check_suffixes(outputs, (".refl", ".csv", ".h5"))
    said: list[str] = []
    images = read_experiment(Path(experiment), geometry=None if geometry is None else Path(geometry), notes=said)
    width = given_width(experiment, images, domain, mosaicity, bandwidth)
    if width is None:
        said.append(f"the width of the rocking curve is a guess, {_DOMAIN:g} 1/angstrom; --domain gives another")
        width = RockingWidth(_DOMAIN, mosaicity or 0.0, images.bandwidth if bandwidth is None else bandwidth)
    limit = edge_resolution(images) if d_min is None else d_min
    found = predict(images, limit, width, d_max=np.inf if d_max is None else d_max, band=band)
    if not len(found) and found.notes:
        raise FileError(f"{experiment}: nothing is predicted on any image: {next(iter(found.notes.values()))}")
    symmetric_cell(images.cell, images.space_group)
    settings = {"d_min": limit, "d_max": d_max, "band": band, "width": vars(width)}
    record = provenance(settings, [str(experiment)], list(command))
    table = observations_of(found)
    for path in map(Path, outputs):
        if path.suffix.lower() == ".refl":
            write_predicted_refl(path, found, images, overwrite=overwrite)
        elif path.suffix.lower() == ".csv":
            write_predicted_csv(path, found, images, overwrite=overwrite)
        else:
            write_stills(
                path, experiment=images, observations=table, width=width, notes=found.notes, provenance=record,
                overwrite=overwrite,
            )  # fmt: skip
    text = (
        f"{len(found)} reflections on {len(np.unique(found.image))} of {len(images)} images to {limit:.2f} angstrom, "
        f"{found.outside} more beside the panels"
    )
    return Done(StillsRun(experiment=images, observations=table, width=width), text, found.notes, tuple(said))


def observations_of(found: Prediction) -> Observations:
    """Predicted reflections as a table without intensities (NaN)."""
    nothing = np.full(len(found), np.nan)
    return Observations(
        image=found.image,
        hkl=found.hkl,
        intensity=nothing,
        sigma=nothing,
        d=found.d,
        partiality=found.partiality,
        correction=found.polarization * found.efficiency,
        excitation=found.excitation,
        slow=found.slow.astype(np.float32),
        fast=found.fast.astype(np.float32),
    )


def integrate_files(
    experiment: Source,
    frames: Sequence[Source],
    outputs: Sequence[Source],
    *,
    d_min: float | None = None,
    domain: float | None = None,
    mosaicity: float | None = None,
    bandwidth: float | None = None,
    band: float = 1.7,
    method: str = "combined",
    recenter: bool = True,
    reference: Source | None = None,
    mask: Source | None = None,
    dataset: str | None = None,
    noise: float = 0.0,
    geometry: Source | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    command: Sequence[str] = (),
) -> Done:
    """Integrate frames and write the observations: .h5 with everything, or .mtz, not scaled.

    Parameters
    ----------
    domain, mosaicity, bandwidth
        Of the rocking curve, as `RockingWidth`; None = those of an .h5, else measured on the frames.
    Others as `crystint.stills.integration.integrate.integrate`.

    Raises
    ------
    FileError, GeometryError, SettingError, ShapeError
        When something is missing or impossible; a frame or an image that fails is in the notes instead.
    """
    check_suffixes(outputs, (".h5", ".mtz"))
    said: list[str] = []
    images = read_experiment(Path(experiment), geometry=None if geometry is None else Path(geometry), notes=said)
    known = read_known(reference, images, said)
    with open_frames(*frames, dataset=dataset) as opened:
        if not len(opened):
            raise FileError(f"{', '.join(map(str, frames))}: no frames in it")
        pairing = pair_frames(images, opened)
        check_images(experiment, images, pairing)
        symmetric_cell(images.cell, images.space_group)
        total = len(np.unique(pairing.frame[pairing.frame >= 0]))
        options: dict[str, Any] = {
            "d_min": edge_resolution(images) if d_min is None else d_min,
            "mask": combine_masks(opened.mask, *([read_mask(Path(mask))] if mask else []), shape=opened.shape),
            "noise": noise,
            "threads": threads or 2,
            "pairing": pairing,
        }
        width = given_width(experiment, images, domain, mosaicity, bandwidth)
        how = "given"
        if width is None:
            spectrum = images.bandwidth if bandwidth is None else bandwidth
            width, doubts, how = measured_width(experiment, opened, images, spectrum, options)
            said += doubts
        found = integrate(
            opened,
            images,
            width=width,
            band=band,
            method=method,
            recenter=recenter,
            reference=known,
            progress=None if progress is None else lambda done: progress(done, total),
            **options,
        )
        settings = {
            "d_min": options["d_min"], "band": band, "method": method, "recenter": recenter, "noise": noise,
            "width": vars(width), "reference": None if reference is None else str(reference),
            "mask": None if mask is None else str(mask),
        }  # fmt: skip
        record = provenance(settings, [str(experiment), *opened.files], list(command))
    if not len(found.observations) and found.notes:
        raise FileError(f"{experiment}: no image can be integrated: {next(iter(found.notes.values()))}")
    if known is not None:
        held = int(np.isfinite(known.match(found.observations.hkl, images.space_group)).sum())
        if held < _HELD * len(found.observations):
            said.append(
                f"the reference {reference} holds {held or 'none'} of the {len(found.observations)} reflections: it is "
                "hardly of use; is it of this crystal, and to this resolution?"
            )
    run = StillsRun(
        experiment=images,
        observations=found.observations,
        profile=found.profile,
        moments=found.moments,
        width=width,
        notes=found.notes,
        provenance=record,
    )
    for path in map(Path, outputs):
        if path.suffix.lower() == ".mtz":
            write_unmerged_mtz(path, found.observations, images, overwrite=overwrite)
        else:
            write_stills(
                path, experiment=images, observations=found.observations, profile=found.profile,
                moments=found.moments, width=width, notes=found.notes, provenance=record, overwrite=overwrite,
            )  # fmt: skip
    usable = found.observations.usable
    strong = usable & (found.observations.intensity > 5.0 * found.observations.sigma)
    text = (
        f"{usable.sum()} of {len(usable)} reflections integrated on {len(np.unique(found.observations.image))} of "
        f"{len(images)} images, {strong.sum()} above 5 sigma; rocking width {width.domain:.3g} 1/angstrom"
        f"{f' and {1e3 * width.mosaicity:.3g} mrad' if width.mosaicity else ''} ({how}){_offsets(found.profile)}"
    )
    return Done(run, text, found.notes, (*said, *found.warnings))


def _offsets(profile: ProfileWidths) -> str:
    before, after = typical_offset(profile)
    if not np.isfinite(before):
        return ""
    return f"; spots {before:.2f} px from predicted places, {after:.2f} px from their profiles"


def check_suffixes(outputs: Iterable[Source], known: Sequence[str]) -> None:
    """Raise unless the suffix of each output is one that is known.

    Raises
    ------
    SettingError
        With the suffixes there are.
    """
    for output in outputs:
        if Path(output).suffix.lower() not in known:
            raise SettingError(f"{output}: the suffix is the format; expected one of {', '.join(known)}")
