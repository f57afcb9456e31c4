"""Rocking widths that differ between images: a factor on the width of all, for each of them, with a prior.

    R^2 = r^2 (domain^2 + (mosaicity / d)^2) + (bandwidth wavelength)^2 / (2 d^4),   ln r ~ N(0, spread^2)

or, with a width R_i that is known of an image beforehand, ln r ~ N(ln(R_i / R) at its median d, prior_r0^2).

On one image r trades against G (correlation about -0.5), so that images that say little about it must be held near the
others: by how much, the data say themselves. With w the logarithm of r that an image alone would give and v its
variance, the spread is what makes

    sum over images  ln(v + spread^2) + w^2 / (v + spread^2)

least (type II maximum likelihood, "empirical Bayes": Morris 1983, J. Am. Stat. Assoc. 78, 47). ln G, B and ln r of all
images step at once (Gauss-Newton, 3 x 3). Without a reference an image is compared with the means of the *others*:
against a mean that follows it any width would fit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table
from crystint.model.experiment import Experiment
from crystint.model.facts import counted, range_text
from crystint.model.observations import Observations
from crystint.model.symmetry import as_space_group, groups
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.newton_steps import errors_of_residuals
from crystint.stills.scaling.robust import huber_weight
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.shared_means import SharedMeans
from crystint.stills.scaling.table import ScalingTable

__all__ = ["ImageWidths", "fit_image_widths"]

_START = 0.2
"""spread of ln r that the fit begins with"""
_SPREADS = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 121)])
_LONGEST = np.array([1.0, 20.0, 0.5])
_ERRORS_AT = (4, 8, 12)
_STILL = 1e-3
_LIMIT = 4.0


class _Reference(Protocol):
    def match(self, hkl: NDArray[np.int32], space_group: gemmi.SpaceGroup) -> Floats: ...


@dataclass(frozen=True, eq=False)
class ImageWidths:
    """Rocking widths R of images: R^2 = r^2 (domain^2 + (mosaicity / d)^2) + what the bandwidth adds.

    Made by `fit_image_widths`.
    """

    width: RockingWidth
    """of the middle of the images"""
    ratio: Floats
    """float64 [n_images]: r, of the image over that; 1 where nothing was fitted"""
    sigma: Floats
    """float64 [n_images]: standard deviation of ln r, the prior in; NaN where nothing was fitted"""
    spread: float
    """standard deviation of ln r between images; 0 = one width does for all"""

    def __repr__(self) -> str:
        return f"<ImageWidths: {counted(len(self.ratio), 'image')}, spread {self.spread:.1%} about {self.width!r}>"

    def _repr_html_(self) -> str:
        facts = {
            "images": len(self.ratio),
            "width of the middle": repr(self.width),
            "over that": range_text(self.ratio) or None,
            "spread of ln r": self.spread,
        }
        return html_table("ImageWidths", facts)

    def at(self, d: Floats, wavelength: Floats, image: NDArray[np.int32]) -> Floats:
        """Width in 1/angstrom of reflections on these images, all [n]."""
        own = RockingWidth(self.width.domain, self.width.mosaicity).at(d, 1.0)
        return np.sqrt(np.square(self.ratio[image] * own) + _spectral(self.width, d, wavelength))


def fit_image_widths(
    observations: Observations,
    experiment: Experiment,
    scales: Scales,
    *,
    width: RockingWidth,
    space_group: gemmi.SpaceGroup | str,
    reference: _Reference | None = None,
    prior_ln_g: float = 1.5,
    prior_b: float = 20.0,
    prior_r0: float | None = None,
    expected: ArrayLike | None = None,
    max_iterations: int = 40,
) -> ImageWidths:
    """Fit a rocking width to each image, and how much they differ.

    Parameters
    ----------
    observations
        Stills, with `excitation`; their partialities are not used, and rows without an excitation are not either.
    experiment
        Its wavelengths.
    scales
        Of the images, to begin with; images without a scale keep r = 1.
    width
        Of all, to begin with.
    space_group, reference, prior_ln_g, prior_b
        As for `scale`.
    prior_r0 : optional
        Standard deviation of ln r; None = fitted to the data, as the spread between images.
    expected : float [n_images, 2], optional
        Domain, 1/angstrom, and mosaicity, rad, that each image is expected to have: with `prior_r0` its width lies
        about that. Images where they are NaN, or all without `expected`, lie about the middle of all.
    max_iterations
        Steps.

    Returns
    -------
    ImageWidths
        The width of the middle, the factor r of each image with its error, and how much they differ.

    Raises
    ------
    SettingError
        When no observation says anything: none has an excitation, or none a reflection that others have too; when
        `prior_r0` is not above 0.
    ShapeError
        When `expected` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, spread_width=0.2, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> scales = stills.scale(observations, data.experiment, space_group=group)
    >>> width = stills.RockingWidth(1e-3)
    >>> own = stills.fit_image_widths(observations, data.experiment, scales, width=width, space_group=group)
    >>> bool(np.corrcoef(own.ratio, data.width_ratio)[0, 1] > 0.99), bool(abs(own.spread - 0.2) < 0.05)
    (True, True)
    """
    if prior_r0 is not None and not prior_r0 > 0.0:
        raise SettingError(f"prior_r0 is {prior_r0!r}, expected a standard deviation of ln R0, above 0")
    bare = observations.replace(partiality=np.ones(len(observations)))
    use = bare.usable & np.isfinite(observations.excitation) & np.isfinite(scales.ln_g)[observations.image]
    group = as_space_group(space_group)
    target, number = np.zeros(len(use)), np.zeros(len(use), dtype=np.intp)
    if reference is not None:
        target = np.asarray(reference.match(observations.hkl, group), dtype=np.float64)
        use &= np.isfinite(target)
    else:
        number = groups(observations.hkl, group)[1]
        use &= np.bincount(number[use], minlength=int(number.max(initial=0)) + 1)[number] > 1
    if not use.any():
        raise SettingError("no observation tells of the rocking widths of images: none can be compared")
    chosen = bare.select(use)
    table = ScalingTable.of(chosen, np.ones(len(chosen), dtype=bool), SignalVariance.of(chosen, scales.gain))
    rows = np.flatnonzero(use)[table.row]
    wavelength = observations.wavelength[rows].astype(np.float64)
    problem = _Problem(
        table,
        target[rows],
        np.unique(number[rows], return_inverse=True)[1] if reference is None else None,
        observations.excitation[rows],
        observations.d[rows],
        np.where(np.isfinite(wavelength), wavelength, experiment.wavelength[observations.image[rows]]),
        width,
        np.array([prior_ln_g, prior_b]) ** -2.0,
    )
    if prior_r0 is not None:
        problem.expect(prior_r0, _expected(expected, len(experiment))[table.images])
    problem.scale = np.stack([scales.ln_g[table.images], scales.b[table.images], np.zeros(len(table.images))], axis=1)
    problem.errors = scales.error_model
    problem.run(max_iterations)
    ratio, sigma = np.ones(len(experiment)), np.full(len(experiment), np.nan)
    middle = float(np.median(problem.scale[:, 2]))
    ratio[table.images] = np.exp(problem.scale[:, 2] - middle)
    sigma[table.images] = np.sqrt(problem.variance)
    spread = problem.spread if prior_r0 is None else float(problem.scale[:, 2].std())
    grown = RockingWidth(width.domain * np.exp(middle), width.mosaicity * np.exp(middle), width.bandwidth)
    return ImageWidths(grown, ratio, sigma, spread)


def _expected(expected: ArrayLike | None, images: int) -> Floats:
    """float64 [n_images, 2]; NaN where nothing is known."""
    if expected is None:
        return np.full((images, 2), np.nan)
    values = np.asarray(expected, dtype=np.float64)
    if values.shape != (images, 2):
        raise ShapeError(f"expected is {values.shape}: (domain, mosaicity) of {images} images is {(images, 2)}")
    return values


def _spectral(width: RockingWidth, d: Floats, wavelength: Floats) -> Floats:
    """What the bandwidth adds to R^2."""
    return 0.5 * np.square(width.bandwidth * wavelength / np.square(d))


class _Problem:
    """Gauss-Newton of ln G, B and ln r of all images; `scale` [k, 3] holds them."""

    def __init__(
        self,
        table: ScalingTable,
        target: Floats,
        group: NDArray[np.intp] | None,
        excitation: Floats,
        d: Floats,
        wavelength: Floats,
        width: RockingWidth,
        stiff: Floats,
    ) -> None:
        self.table, self.target, self.group, self.excitation, self.stiff = table, target, group, excitation, stiff
        self.own = np.square(RockingWidth(width.domain, width.mosaicity).at(d, 1.0))
        self.spectral = _spectral(width, d, wavelength)
        self.scale = np.zeros((len(table.images), 3))
        self.variance = np.full(len(table.images), np.nan)
        self.errors, self.spread = ErrorModel(), _START
        self.d, self.width = d, width
        self.fixed, self.about = False, np.full(len(table.images), np.nan)

    def expect(self, spread: float, widths: Floats) -> None:
        """Keep the spread, and put the priors of images about `widths` [k, 2]; NaN = about the middle of all."""
        self.fixed, self.spread = True, spread
        first = self.table.first
        d = np.array([np.median(self.d[start:stop]) for start, stop in itertools.pairwise(first)])
        own = RockingWidth(self.width.domain, self.width.mosaicity).at(d, 1.0)
        with np.errstate(divide="ignore"):
            about = np.log(np.hypot(widths[:, 0], widths[:, 1] / d) / own)
        self.about = np.where(np.isfinite(about), about, np.nan)

    def run(self, max_iterations: int) -> None:
        """Step until nothing moves."""
        for iteration in range(max_iterations):
            moved = self._step(renew_errors=iteration in _ERRORS_AT)
            if moved < _STILL and iteration > _ERRORS_AT[-1]:
                break

    def _step(self, renew_errors: bool) -> float:
        table, image = self.table, self.table.image
        scale = self.scale[image]
        grown = np.exp(2.0 * scale[:, 2]) * self.own
        square = grown + self.spectral
        off = np.square(self.excitation) / square
        factor = np.exp(scale[:, 0] - scale[:, 1] * table.s2 - off) * table.factor
        target, spread = self._compared(factor)
        model = factor * target
        variance = table.variance.expected(model, self.errors.a, self.errors.b) + np.square(factor) * spread
        compared = np.isfinite(variance)
        residual = np.where(compared, table.intensity - model, 0.0)
        weight = np.where(compared, huber_weight(residual / np.sqrt(variance), _LIMIT) / variance, 0.0)
        if renew_errors:
            self._renew_errors(residual, model, np.square(factor) * spread, weight)
        parts = np.stack([np.ones_like(model), -table.s2, 2.0 * off * grown / square]) * model
        first = table.first[:-1]
        pull = np.stack([np.add.reduceat(weight * residual * part, first) for part in parts], axis=1)
        normal = np.array([[np.add.reduceat(weight * one * other, first) for one in parts] for other in parts])
        return self._move(pull, np.moveaxis(normal, 2, 0))

    def _compared(self, factor: Floats) -> tuple[Floats, Floats]:
        """Intensities that observations are compared with, and their variances; infinite where there are none."""
        if self.group is None:
            return self.target, np.zeros(len(factor))
        table = self.table
        variance = table.variance.expected(factor * np.maximum(self.target, 0.0), self.errors.a, self.errors.b)
        residual = (table.intensity - factor * self.target) / np.sqrt(variance)
        weight = huber_weight(residual, _LIMIT if self.target.any() else np.inf) / variance
        pull = weight * factor
        total = np.asarray(np.bincount(self.group, pull * factor), dtype=np.float64)
        self.target = np.maximum(np.bincount(self.group, pull * table.intensity) / total, 0.0)[self.group]
        means = SharedMeans(table, self.group, factor, weight, total, self.target)
        mean, spread = means.others(np.arange(len(table)))
        return np.maximum(mean, 0.0), spread

    def _renew_errors(self, residual: Floats, model: Floats, of_mean: Floats, weight: Floats) -> None:
        """The error model of the residuals, after what the means they are about are uncertain by."""
        variance = self.table.variance.expected(model, self.errors.a, self.errors.b)
        with np.errstate(invalid="ignore"):
            follow = np.where(weight > 0.0, 1.0 + of_mean / variance, 1.0)
        self.errors = errors_of_residuals(residual, model, follow, weight, self.table.variance) or self.errors

    def _move(self, pull: Floats, normal: Floats) -> float:
        """A step; the largest change of ln r."""
        k = len(self.scale)
        free = normal.copy()
        free[:, (0, 1), (0, 1)] += self.stiff
        held = free.copy()
        held[:, 2, 2] += 1.0 / max(self.spread, _SPREADS[1]) ** 2
        stiffness = np.broadcast_to(np.append(self.stiff, 1.0 / max(self.spread, _SPREADS[1]) ** 2), (k, 3))
        middle = np.tile(np.append(self.scale[:, :2].mean(axis=0), np.median(self.scale[:, 2])), (k, 1))
        middle[:, 2] = np.where(np.isfinite(self.about), self.about, middle[:, 2])
        pull = pull - stiffness * (self.scale - middle)
        step = np.linalg.solve(held, pull[:, :, None])[:, :, 0]
        step /= np.maximum(1.0, np.abs(step / _LONGEST).max(axis=1))[:, None]
        self.scale += step
        self.variance = np.linalg.inv(held)[:, 2, 2]
        if not self.fixed:
            self._renew_spread(free)
        return float(np.abs(step[:, 2]).max())

    def _renew_spread(self, free: Floats) -> None:
        """The spread between images, from what each would say without the prior."""
        cross = np.linalg.solve(free[:, :2, :2], free[:, :2, 2:])[:, :, 0]
        information = free[:, 2, 2] - np.einsum("ki,ki->k", free[:, :2, 2], cross)
        off = self.scale[:, 2] - np.median(self.scale[:, 2])
        good = information > 1e-6
        stiff = 1.0 / max(self.spread, _SPREADS[1]) ** 2
        alone = np.where(good, off * (information + stiff) / np.where(good, information, 1.0), 0.0)[good]
        total = 1.0 / information[good] + np.square(_SPREADS)[:, None]
        cost = (np.log(total) + np.square(alone) / total).sum(axis=1)
        self.spread = float(_SPREADS[int(np.argmin(cost))])
