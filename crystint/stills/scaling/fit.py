"""The steps of scaling: weights, means without a reference, and one Gauss-Newton step of every image at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.stills.scaling.acceleration import Anderson
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.newton_steps import LONGEST, errors_of_residuals, inverses, shortened
from crystint.stills.scaling.options import ScalePriors, ScalingOptions, prior_centre
from crystint.stills.scaling.shared_means import SharedMeans
from crystint.stills.scaling.signal import levels
from crystint.stills.scaling.table import ScalingTable
from crystint.stills.scaling.unscalable import without_scale
from crystint.stills.scaling.wavelength_curve import WavelengthCurve

__all__ = ["ScalingFit"]

_ERRORS_AT = (3, 6, 9, 12)
"""steps after which the error model of the residuals is renewed; it stands still then, so that the rest can converge"""
_CURVE_UNTIL = 40
_STILL = 25.0
"""how much further than one step an accelerated fit may still be from its end"""
_JUDGE_EVERY = 10
_SAMPLE = 200_000
_NEAR = 0.05
"""an image has converged when what it is still expected to move is below this share of its standard deviation"""


class ScalingFit:
    """ln G and B of the images of a table, fitted to `target` [n] or, with `group` [n], to one another.

    `monitor` [k] is what their ln G are tied to.
    """

    def __init__(
        self,
        table: ScalingTable,
        options: ScalingOptions,
        *,
        target: Floats | None = None,
        group: NDArray[np.integer] | None = None,
        monitor: Floats | None = None,
    ) -> None:
        self.table, self.options = table, options
        self.priors = ScalePriors.of(options, len(table.images), monitor)
        self.free = group is not None  # without a reference
        self.group = group if group is not None else np.zeros(0, dtype=np.intp)
        self.groups = int(self.group.max(initial=-1)) + 1
        n = len(table.images)
        self.ln_g, self.b, self.chi2 = np.zeros(n), np.zeros(n), np.full(n, np.nan)
        self.good = np.ones(n, dtype=bool)
        self.moving = np.zeros(n, dtype=bool)
        self.normal = np.zeros((n, 3))  # information about (ln G, ln G), (ln G, B), (B, B), without priors
        self.iterations, self.converged = 0, True
        self.error_model = ErrorModel()
        self.curve: WavelengthCurve | None = None
        self._wavelength = np.zeros(0)
        self._factor, self._weight = np.empty(len(table)), np.empty(len(table))
        self._target = target if target is not None else np.zeros(len(table))
        self._mean, self._total = np.zeros(self.groups), np.zeros(self.groups)
        self._damping, self._last = np.ones(n), np.zeros((2, n))
        self._why: dict[int, str] = {}
        self._errors_at = set(_ERRORS_AT)
        self._anderson, self._dropped = Anderson(), False
        self.centre = np.zeros(2)  # of the priors on ln G and B; without a reference the gauge sets it

    def set_curve(self, curve: WavelengthCurve, wavelength: Floats) -> None:
        """Fit a wavelength curve too, beginning with this one."""
        self.curve, self._wavelength = curve, wavelength

    def run(self) -> None:
        """Step until nothing moves any more, or `max_iterations` are over."""
        if not len(self.table.images):
            return
        self._begin()
        size = np.inf
        step = np.zeros(len(self.good))
        while self.iterations < self.options.max_iterations:
            self.iterations += 1
            before_step = np.concatenate([self.ln_g, self.b])
            step = self._step()
            before, size = size, float(np.sqrt(np.mean(step[self.good] ** 2))) if self.good.any() else 0.0
            # a shrinking series of steps has step * ratio / (1 - ratio) still before it; accelerated, it is no series
            ratio = min(size / before, 0.98) if before > 0.0 else 0.0
            far = _STILL if self._anderson.active else max(1.0, ratio / (1.0 - ratio))
            self.moving = self.good & (np.abs(step) * far > _NEAR)
            busy = self._renew()
            if self.iterations % _JUDGE_EVERY == 0:  # bad images drift, and without a reference the gauge with them
                self._judge()
            if not busy and not self.moving.any() and not self._judge():
                break
            if self.free:
                self._accelerate(before_step, busy)
        else:
            self._judge()
            self.converged = False
            self.moving = self.good & (np.abs(step) > _NEAR)
            for number in np.flatnonzero(self.moving):
                self._drop(int(number), f"no scale found: still moving after {self.iterations} iterations")

    def reason(self, number: int) -> str:
        """Why an image of the table is not good."""
        return self._why.get(number, "no scale found")

    def chi2_of_images(self) -> Floats:
        """float64 [k]: `chi2`, about means that follow their observations per degree of freedom that these leave."""
        if not self.free:
            return self.chi2
        with np.errstate(divide="ignore", invalid="ignore"):
            follow = self._weight * self._factor**2 / self._total[self.group]
        left = np.add.reduceat(np.where(self._weight > 0.0, 1.0 - follow, 0.0), self.table.first[:-1])
        parts = 1 + self.options.refine_b
        degrees = self.table.used - parts
        return np.asarray(self.chi2 * np.maximum(degrees, 1) / np.maximum(left - parts * left / self.table.used, 1.0))

    def covariance(self) -> Floats:
        """float64 [k, 2, 2] of (ln G, B), priors in."""
        if self.free:
            return self._shared().covariance(self.priors.stiffness, self.good, self.options.refine_b)
        gg, gb, bb = self._with_priors(self.normal)
        return inverses(gg, gb, bb, self.options.refine_b)

    def _shared(self) -> SharedMeans:
        return SharedMeans(self.table, self.group, self._factor, self._weight, self._total, self._target)

    def _with_priors(self, information: Floats) -> tuple[Floats, Floats, Floats]:
        (gg, gb, bb), (first, second) = information.T, self.priors.stiffness.T
        return gg + first, gb, bb + second

    def _begin(self) -> None:
        """Scales from ratios of sums, and the intensities to compare with where there is no reference."""
        table = self.table
        if self.free:
            self._target = levels(table.s2, table.intensity, table.factor)
        model = table.factor * np.maximum(self._target, 0.0)
        first = table.first[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            ln_g = np.log(np.add.reduceat(table.intensity, first) / np.add.reduceat(model, first))
        scaled = np.isfinite(ln_g)
        self.ln_g = np.where(scaled, ln_g, np.median(ln_g[scaled]) if scaled.any() else 0.0)
        self.centre[0] = np.median(self.ln_g)
        if self.free:
            self._gauge()

    def _step(self) -> Floats:
        """One step; float64 [k]: how far each image moved, in its standard deviations."""
        table, limit = self.table, self.options.limit
        gradient = np.zeros((len(table.images), 2))
        bend = self.curve.at(self._wavelength) if self.curve is not None else None
        a, b = self.error_model.a, self.error_model.b
        for rows, images in table.blocks():
            image = table.image[rows]
            factor = np.exp(self.ln_g[image] - self.b[image] * table.s2[rows]) * table.factor[rows]
            if bend is not None:
                factor *= bend[rows]
            model = factor * self._target[rows]
            variance = table.variance.select(rows).expected(model, a, b)
            residual = table.intensity[rows] - model
            with np.errstate(divide="ignore"):
                weight = np.minimum(1.0, limit * np.sqrt(variance) / np.abs(residual)) / variance
            weight *= self.good[image]
            self._factor[rows], self._weight[rows] = factor, weight
            if not self.free:
                self._sum(rows, images, model, residual, weight, gradient)
        if self.free:
            self._merge()
            for rows, images in table.blocks():
                model = self._factor[rows] * self._target[rows]
                self._sum(rows, images, model, table.intensity[rows] - model, self._weight[rows], gradient)
        return self._move(gradient)

    def _sum(
        self, rows: slice, images: slice, model: Floats, residual: Floats, weight: Floats, gradient: Floats
    ) -> None:
        table = self.table
        s2, pull = table.s2[rows], weight * model
        hold = pull * model
        hold_s2 = hold * s2
        misfit = pull * residual
        gradient[images, 0] = table.sums(misfit, rows, images)
        gradient[images, 1] = -table.sums(misfit * s2, rows, images)
        self.normal[images, 0] = table.sums(hold, rows, images)
        self.normal[images, 1] = -table.sums(hold_s2, rows, images)
        self.normal[images, 2] = table.sums(hold_s2 * s2, rows, images)
        self.chi2[images] = table.sums(weight * residual * residual, rows, images)

    def _merge(self) -> None:
        """The weighted means of the scaled observations, as new target."""
        weighted = self._weight * self._factor
        total = np.asarray(np.bincount(self.group, weighted * self._factor, self.groups), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.bincount(self.group, weighted * self.table.intensity, self.groups) / total
        self._mean, self._total = np.where(total > 0.0, mean, 0.0), total
        self._target = self._mean[self.group]

    def _move(self, gradient: Floats) -> Floats:
        good, options = self.good, self.options
        degrees = np.maximum(self.table.used - 1 - options.refine_b, 1)
        self.chi2 /= degrees
        gg, gb, bb = self._with_priors(self.normal)
        if not self.free:
            self._find_centre(gradient)
        stiff_g, stiff_b = self.priors.stiffness.T
        pull_g = gradient[:, 0] - (self.ln_g - self.priors.offset - self.centre[0]) * stiff_g
        pull_b = gradient[:, 1] - (self.b - self.centre[1]) * stiff_b
        step = np.einsum("kij,jk->ik", inverses(gg, gb, bb, options.refine_b), np.stack([pull_g, pull_b]))
        step = np.where(np.isfinite(step), step, 0.0)
        # a step back over more than half of the last one: go to and fro no longer
        size = np.array(LONGEST)[:, None] ** -2.0
        swings = (size * step * self._last).sum(axis=0) < -0.25 * (size * self._last**2).sum(axis=0)
        self._damping = np.where(swings, 0.5 * self._damping, np.minimum(1.0, 1.5 * self._damping))
        step = shortened(step * self._damping) * good
        self._last = step
        step[1] = self._within_limits(self.b + step[1]) - self.b
        self.ln_g += step[0]
        self.b += step[1]
        if self.free:
            step = step - np.array([step[0][good].mean(), step[1][good].mean()])[:, None] * good if good.any() else step
            self._gauge()
        square = gg * step[0] ** 2 + 2 * gb * step[0] * step[1] + bb * step[1] ** 2
        return np.asarray(np.sqrt(np.maximum(square, 0.0)))

    def _accelerate(self, x: Floats, busy: bool) -> None:
        """Jump ahead of the steps from `x`, the last place, while the problem stands still."""
        if busy or self._dropped:
            self._anderson.forget()
            self._dropped = False
            return
        gg, _, bb = self._with_priors(self.normal)
        weight = np.sqrt(gg * self.good), np.sqrt(bb * self.good)
        jump = self._anderson.next(x, np.concatenate([self.ln_g, self.b]), np.concatenate(weight)).reshape(2, -1)
        longest = np.array(LONGEST)[:, None]
        for value, ahead, far in zip((self.ln_g, self.b), jump, longest, strict=True):
            value += np.clip(ahead - value, -far, far)
        self.b = self._within_limits(self.b)
        self._gauge()

    def _middle_b(self) -> float:
        """The median: the mean is where the images that are to be seen by it have pulled it."""
        return float(np.median(self.b[self.good])) if self.good.any() else 0.0

    def _within_limits(self, b: Floats) -> Floats:
        middle, most = self._middle_b(), self.options.max_b
        return np.clip(b, middle - most, middle + most)

    def _gauge(self) -> None:
        if self.good.any():
            self.ln_g -= self.ln_g[self.good].mean()
            self.b -= self.b[self.good].mean()
            self.centre[:] = self.priors.middle(self.ln_g, self.good), 0.0

    def _judge(self) -> bool:
        """Drop images that say nothing, or nonsense; True when that changes the others."""
        information = self._shared().information() if self.free else self.normal
        reasons = without_scale(
            self.table, self.options, self.priors, self.good, information, self.b - self._middle_b(), self._factor,
            self._compared,
        )  # fmt: skip
        for number, why in reasons.items():
            self._drop(number, why)
        if reasons:  # what they made of the error model is to be forgotten
            self._errors_at |= {self.iterations + 3, self.iterations + 6}
        return self.free and bool(reasons)

    def _compared(self, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Intensity that rows are compared with when they have no part in it, and its variance."""
        return self._shared().others(rows) if self.free else (self._target[rows], np.zeros(len(rows)))

    def _find_centre(self, gradient: Floats) -> None:
        parts = 2 if self.options.refine_b else 1
        good = self.good
        value = np.stack([self.ln_g - self.priors.offset, self.b], axis=1)[good, :parts]
        information = self.normal[good][:, [0, 1, 1, 2]].reshape(-1, 2, 2)[:, :parts, :parts]
        inverse = self.covariance()[good, :parts, :parts]
        longest = np.array(LONGEST[:parts])
        weight = self.priors.weight[good, :parts]
        step = prior_centre(value, gradient[good, :parts], information, inverse, weight) - self.centre[:parts]
        self.centre[:parts] += np.clip(np.nan_to_num(step), -longest, longest)

    def _drop(self, number: int, why: str) -> None:
        self.good[number] = False
        self._why[number] = why
        self._dropped = True

    def _renew(self) -> bool:
        """Error model and wavelength curve; True when the images have to follow."""
        busy = False
        if self.curve is not None and self.iterations % 2 == 0 and self.iterations <= _CURVE_UNTIL:
            model = self._factor * self._target
            self.curve = self.curve.improved(self._wavelength, self.table.intensity, model, self._weight, 0.3)
            busy = self.iterations < _CURVE_UNTIL
        if self.options.fit_errors and self.iterations in self._errors_at:
            some = slice(None, None, max(1, len(self.table) // _SAMPLE))
            factor, weight = self._factor[some], self._weight[some]
            model, follow = factor * self._target[some], np.ones(len(factor))
            if self.free:
                with np.errstate(divide="ignore", invalid="ignore"):
                    follow = 1.0 - weight * factor**2 / self._total[self.group[some]]
            residual = self.table.intensity[some] - model
            error_model = errors_of_residuals(residual, model, follow, weight, self.table.variance.select(some))
            self.error_model = error_model or self.error_model
        return busy or (self.options.fit_errors and self.iterations < max(self._errors_at))
