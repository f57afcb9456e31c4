"""Partialities of the observations that are scaled: as they came, or of a rocking width that is fitted to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystint.errors import SettingError, warn
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.stills.left_out import divided, gain_of, left_out_loss, scaled_and_merged
from crystint.stills.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.rocking import RockingFit, excitation_sweep, fit_rocking
from crystint.stills.scaling.shared_means import JOINT
from crystint.stills.settings import ScaleSettings
from crystint.stills.step_inputs import StepInputs

__all__ = ["with_width"]

_TURNS = 3
"""times that the rocking width and merged intensities are fitted to one another"""
_SETTLED = 0.02
_IMAGES = 200
"""enough for the rocking width, with a reference"""


def with_width(
    table: Observations, inputs: StepInputs, settings: ScaleSettings, options: dict[str, Any]
) -> tuple[Observations, RockingWidth | None, RockingFit | None, str]:
    """Observations with the partialities they are scaled with, the width these are of, its fit, and what to say.

    Unless the settings say which, the width is fitted to stills: always where a step of crystint gave the observations
    one, and for others, where their excitation errors are known, if left-out observations are explained better.

    Parameters
    ----------
    table, inputs, settings
    options
        Of `scale`.
    """
    images, width, wanted = inputs.experiment, inputs.width, settings.fit_width
    stills = images.sweep is None and settings.batch is None
    try:
        if wanted or (wanted is None and stills and width is not None):
            return _fitted(table, images, width, options)
        if wanted is None and stills and not settings.wavelength_nodes:
            return _fitted_if_better(table, images, options)
    except SettingError as error:
        if wanted:
            raise
        warn(f"the rocking width is not fitted to the data set: {error}")
        return table, width, None, ""
    words = _as_they_came(table, images, "--fit-width fits them") if wanted is False and stills else ""
    return table, width, None, words


def _fitted_if_better(
    table: Observations, images: Experiment, options: dict[str, Any]
) -> tuple[Observations, RockingWidth | None, RockingFit | None, str]:
    """As `with_width`, by how well left-out observations are explained."""
    if not np.isfinite(table.excitation[table.usable]).any():
        return table, None, None, _as_they_came(table, images, "the input has no excitation errors to fit a width to")
    working, left_out = divided(table, len(images))
    try:
        trial = _fitted(working, images, None, options)
    except SettingError as error:
        return table, None, None, _as_they_came(table, images, f"no rocking width can be fitted: {error}")
    width = trial[1]
    assert width is not None
    before = left_out_loss(working, left_out, images, options)
    after = left_out_loss(trial[0], with_partialities(left_out, images, width), images, options)
    gain = gain_of(before, after, left_out.image)
    if not gain.certain:
        why = "a fitted rocking width does not explain left-out observations better"
        return table, None, None, _as_they_came(table, images, why)
    fitted, width, fit, words = _fitted(table, images, width, options)
    return fitted, width, fit, f"{words}; it explains left-out observations better than {_present(table)}"


def _present(table: Observations) -> str:
    return "partialities of 1" if _all_full(table) else "the partialities of the input"


def _all_full(table: Observations) -> bool:
    return bool((table.partiality[table.usable] == 1.0).all())


def _as_they_came(table: Observations, images: Experiment, why: str) -> str:
    if _all_full(table):
        return f"partialities are 1: {counted(len(images), 'image')} merged by averaging; {why}"
    return f"partialities are those of the input; {why}"


def with_partialities(table: Observations, images: Experiment, width: RockingWidth) -> Observations:
    """Observations with the partialities of a rocking width; where no excitation error is known they stay."""
    sweep = None if images.sweep is None else excitation_sweep(images, table.image, table.hkl)
    excited = partiality(table.excitation, width.at(table.d, images.wavelength[table.image]), sweep)
    return table.replace(partiality=np.where(np.isfinite(table.excitation), excited, table.partiality))


def _fitted(
    table: Observations, images: Experiment, width: RockingWidth | None, options: dict[str, Any]
) -> tuple[Observations, RockingWidth, RockingFit, str]:
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
            max_images=JOINT if merged else _IMAGES,
        )  # fmt: skip
        change = abs(fit.width.at(2.0, 1.0) / width.at(2.0, 1.0) - 1.0)
        width = fit.width
        table = with_partialities(table, images, width)
        if change < _SETTLED or not merged or turn == _TURNS - 1:
            break
    return table, width, fit, _words(fit)


def _words(fit: RockingFit) -> str:
    width = fit.width
    return (
        f"rocking width {width.domain:.3g} +- {fit.sigma_domain:.1g} 1/angstrom"
        + (f", mosaicity {1e3 * width.mosaicity:.3g} mrad" if width.mosaicity else "")
        + f" from {fit.used} observations of {fit.images} images"
        + (f" ({fit.note})" if fit.note else "")
    )
