"""Partialities of the observations that are scaled: as they came, or of a rocking width that is fitted to them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crystint.errors import SettingError, warn
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.prediction.partiality import RockingWidth, partiality
from crystint.stills.left_out import divided, left_out_loss, scaled_and_merged
from crystint.stills.scaling.gain import gain_of
from crystint.stills.scaling.image_widths import ImageWidths, fit_image_widths
from crystint.stills.scaling.rocking import RockingFit, excitation_sweep, fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.shared_means import JOINT
from crystint.stills.settings import ScaleSettings
from crystint.stills.step_inputs import StepInputs

__all__ = ["Partialities", "with_width"]

_TURNS = 3
"""times that the rocking width and merged intensities are fitted to one another"""
_SETTLED = 0.02
_LEAST_SPREAD = 0.02
"""of widths between images: less is not worth a look"""
_IMAGES = 200
"""enough for the rocking width, with a reference"""


class Partialities(NamedTuple):
    """What the observations are scaled with."""

    observations: Observations
    """with their partialities"""
    width: RockingWidth | None
    """these are of it; None = they are as they came"""
    of_images: ImageWidths | None
    """where widths differ between images"""
    fit: RockingFit | None
    """of the width; None = it is as it came"""
    words: str
    """what to say of them"""


def with_width(
    table: Observations, inputs: StepInputs, settings: ScaleSettings, options: dict[str, Any]
) -> Partialities:
    """The observations, with the partialities that they are scaled with.

    Unless the settings say which, the width is fitted to stills: always where a step of crystint gave the observations
    one, and for others, where their excitation errors are known, if left-out observations are explained better. Where
    it is fitted, each image of stills gets a width of its own if that explains left-out observations better again, or
    with `prior_r0` always.

    Parameters
    ----------
    table, inputs, settings
    options
        Of `scale`.
    """
    images, width, wanted = inputs.experiment, inputs.width, settings.fit_width
    stills = images.sweep is None and settings.batch is None
    if settings.prior_r0 is not None:
        if not stills:
            raise SettingError("--prior-r0 is for stills; images of a rotation have one rocking width for all")
        return _about_expected(table, _fitted(table, images, width, options), inputs, settings.prior_r0, options)
    try:
        if wanted or (wanted is None and stills and width is not None):
            fitted = _fitted(table, images, width, options)
            return _each_its_own(table, fitted, images, options) if stills else fitted
        if wanted is None and stills and not settings.wavelength_nodes:
            return _fitted_if_better(table, images, options)
    except SettingError as error:
        if wanted or settings.prior_r0 is not None:
            raise
        warn(f"the rocking width is not fitted to the data set: {error}")
        return Partialities(table, width, None, None, "")
    words = _as_they_came(table, images, "--fit-width fits them") if wanted is False and stills else ""
    return Partialities(table, width, None, None, words)


def _fitted_if_better(table: Observations, images: Experiment, options: dict[str, Any]) -> Partialities:
    """As `with_width`, by how well left-out observations are explained."""

    def unfitted(why: str) -> Partialities:
        return Partialities(table, None, None, None, _as_they_came(table, images, why))

    if not np.isfinite(table.excitation[table.usable]).any():
        return unfitted("the input has no excitation errors to fit a width to")
    working, left_out = divided(table, len(images))
    try:
        trial = _fitted(working, images, None, options)
    except SettingError as error:
        return unfitted(f"no rocking width can be fitted: {error}")
    assert trial.width is not None
    before = left_out_loss(working, left_out, images, options)
    after = left_out_loss(trial.observations, with_partialities(left_out, images, trial.width), images, options)
    if not gain_of(before, after, left_out.image).certain:
        return unfitted("a fitted rocking width does not explain left-out observations better")
    fitted = _fitted(table, images, trial.width, options)
    words = f"{fitted.words}; it explains left-out observations better than {_present(table)}"
    return _each_its_own(table, fitted._replace(words=words), images, options)


def _each_its_own(
    table: Observations, fitted: Partialities, images: Experiment, options: dict[str, Any]
) -> Partialities:
    """Widths per image, where left-out observations ask for them; else `fitted`, one for all."""
    assert fitted.width is not None
    working, left_out = divided(fitted.observations, len(images))
    try:
        trial = _own_widths(working, fitted.width, images, options)
    except SettingError:
        return fitted
    if trial.spread < _LEAST_SPREAD:
        return fitted
    before = left_out_loss(working, left_out, images, options)
    after = left_out_loss(
        with_partialities(working, images, trial), with_partialities(left_out, images, trial), images, options
    )
    if not gain_of(before, after, left_out.image).certain:
        return fitted
    own = _own_widths(fitted.observations, fitted.width, images, options)
    words = (
        f"{fitted.words}\nrocking widths of images differ by {own.spread:.0%} (standard deviation): each has its "
        "own, which explains left-out observations better than one for all"
    )
    return Partialities(with_partialities(table, images, own), own.width, own, fitted.fit, words)


def _about_expected(
    table: Observations, fitted: Partialities, inputs: StepInputs, spread: float, options: dict[str, Any]
) -> Partialities:
    """Widths per image, with a prior about those that came with the data."""
    assert fitted.width is not None
    images, expected = inputs.experiment, inputs.expected_widths
    own = _own_widths(fitted.observations, fitted.width, images, options, prior_r0=spread, expected=expected)
    there = int(np.isfinite(expected).all(axis=1).sum())
    if not there:
        warn(
            "no width came with the data (profile radius, mosaicity of a profile model, width of an integration): with "
            "--prior-r0 those of images lie about the middle of all"
        )
    words = (
        f"{fitted.words}\nrocking widths of images differ by {own.spread:.0%} (standard deviation), with a prior of "
        f"{spread:.0%} about those that came with {there} of {counted(len(images), 'image')}"
    )
    return Partialities(with_partialities(table, images, own), own.width, own, fitted.fit, words)


def _own_widths(
    table: Observations, width: RockingWidth, images: Experiment, options: dict[str, Any], **prior: Any
) -> ImageWidths:
    scales = scale(table, images, **options)
    return fit_image_widths(
        table, images, scales, width=width, space_group=images.space_group, reference=options["reference"],
        **_priors(options), **prior,
    )  # fmt: skip


def _priors(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("prior_ln_g", "prior_b")}


def _present(table: Observations) -> str:
    return "partialities of 1" if _all_full(table) else "the partialities of the input"


def _all_full(table: Observations) -> bool:
    return bool((table.partiality[table.usable] == 1.0).all())


def _as_they_came(table: Observations, images: Experiment, why: str) -> str:
    if _all_full(table):
        return f"partialities are 1: {counted(len(images), 'image')} merged by averaging; {why}"
    return f"partialities are those of the input; {why}"


def with_partialities(table: Observations, images: Experiment, width: RockingWidth | ImageWidths) -> Observations:
    """Observations with the partialities of a rocking width; where no excitation error is known they stay."""
    sweep = None if images.sweep is None else excitation_sweep(images, table.image, table.hkl)
    wavelength = images.wavelength[table.image]
    own = (table.image,) if isinstance(width, ImageWidths) else ()
    excited = partiality(table.excitation, width.at(table.d, wavelength, *own), sweep)
    return table.replace(partiality=np.where(np.isfinite(table.excitation), excited, table.partiality))


def _fitted(
    table: Observations, images: Experiment, width: RockingWidth | None, options: dict[str, Any]
) -> Partialities:
    """As `with_width`, with the width that fits the data set best.

    Without a reference the fit begins with merged intensities; width, scales and merging take turns.
    """
    if width is None:
        width = RockingWidth(1e-3, 0.0, images.bandwidth)
    merged = options["reference"] is None
    for turn in range(_TURNS):
        reference, rows = options["reference"], table
        if merged:
            scales, reference = scaled_and_merged(table, images, options)
            rows = table.select(np.isfinite(scales.ln_g)[table.image])
        fit = fit_rocking(
            rows, images, reference=reference, space_group=images.space_group, start=width, merged=merged,
            max_images=JOINT if merged else _IMAGES, **_priors(options),
        )  # fmt: skip
        change = abs(fit.width.at(2.0, 1.0) / width.at(2.0, 1.0) - 1.0)
        width = fit.width
        table = with_partialities(table, images, width)
        if change < _SETTLED or not merged or turn == _TURNS - 1:
            break
    return Partialities(table, width, None, fit, _words(fit))


def _words(fit: RockingFit) -> str:
    width = fit.width
    return (
        f"rocking width {width.domain:.3g} +- {fit.sigma_domain:.1g} 1/angstrom"
        + (f", mosaicity {1e3 * width.mosaicity:.3g} mrad" if width.mosaicity else "")
        + f" from {fit.used} observations of {fit.images} images"
        + (f" ({fit.note})" if fit.note else "")
    )
