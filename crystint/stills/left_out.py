"""Whether a treatment of the partialities explains observations that it has not seen better than another does.

A quarter of the observations is left out. Scales, and merged intensities where there is no reference, come from the
rest; with them each observation left out is foretold, y = G exp(-B / 4 d^2) p c I, and judged by

    rho((J - y) / sigma) + ln sigma^2,    sigma^2 = a (v_0 + g y) + (b y)^2,

minus twice the logarithm of a Gaussian likelihood with the loss rho of Huber, a and b being those of these residuals
themselves. A model that only fits what it was fitted to gains nothing here. (The logarithm makes a score of this that
is best for the true model: Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crystint.arrays import Floats
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.robust import huber_loss
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.variance_fit import fit_variance

__all__ = ["divided", "left_out_loss", "scaled_and_merged"]

_SHARE = 0.25
_MOST_IMAGES = 1000
"""of larger data sets so many, evenly spread, are enough"""
_LIMIT = 4.0


def divided(observations: Observations, images: int, seed: int = 0) -> tuple[Observations, Observations]:
    """The usable observations of the images, or of 1000 of them: three quarters to work with, and those left out."""
    use = observations.usable
    if images > _MOST_IMAGES:
        some = np.linspace(0, images - 1, _MOST_IMAGES).round().astype(np.intp)
        use = use & np.isin(observations.image, some)
    rows = np.flatnonzero(use)
    out = np.random.default_rng(seed).random(len(rows)) < _SHARE
    return observations.select(rows[~out]), observations.select(rows[out])


def scaled_and_merged(table: Observations, images: Experiment, options: dict[str, Any]) -> tuple[Scales, Reference]:
    """Scales by `scale(table, images, **options)`, and the intensities that they belong to: the reference, or means."""
    scales = scale(table, images, **options)
    reference: Reference | None = options["reference"]
    if reference is None:
        reference = merge(
            table, scales, space_group=images.space_group, cell=images.cell, error_model=None, shells=1
        ).reference()
    return scales, reference


def left_out_loss(working: Observations, left_out: Observations, images: Experiment, options: dict[str, Any]) -> Floats:
    """float64 [n]: minus twice the log likelihood of each observation left out; NaN where nothing foretells it."""
    scales, reference = scaled_and_merged(working, images, options)
    model = scales.factor(left_out) * np.maximum(reference.match(left_out.hkl, images.space_group), 0.0)
    rows = np.flatnonzero(np.isfinite(model))
    loss = np.full(len(left_out), np.nan)
    if len(rows):
        variance = SignalVariance.of(left_out, scales.gain).select(rows)
        square = (left_out.intensity[rows] - model[rows]) ** 2
        errors = fit_variance(square, variance.expected(model[rows]), model[rows])
        spread = variance.expected(model[rows], errors.a, errors.b)
        loss[rows] = huber_loss(np.sqrt(square / spread), _LIMIT) + np.log(spread)
    return loss
