"""Gauss-Newton for one rocking width and the scales of many images, the scales eliminated.

Where the intensities come from the same observations (`group` is given), they are unknown as well: they are the
weighted means at the present width and scales, and are eliminated too (`shared_means`). Against fixed means the width
would hardly move, and look a thousand times too certain: what was seen once fits the width that it was merged with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from crystint.arrays import Floats
from crystint.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.options import prior_centre
from crystint.stills.scaling.robust import huber_loss, huber_weight
from crystint.stills.scaling.shared_means import projections
from crystint.stills.scaling.table import ScalingTable
from crystint.stills.scaling.variance_fit import fit_variance

__all__ = ["RockingProblem"]

_LONGEST = np.array([1.0, 20.0])
_STEP = 1e-4
"""relative change of R^2 for derivatives of a partiality averaged over an exposure"""
_RIDGE = 1e-9
"""for scales that nothing fixes in common when there are no priors"""
_ERRORS_AT = (4, 8, 12)
_LEAST_FREEDOM = 0.02
"""share of an observation's error below which its residual says nothing"""


@dataclass(eq=False)
class RockingProblem:
    """Columns are of the rows of `table`; the fit's state is in the fields after them."""

    table: ScalingTable
    target: Floats
    excitation: Floats
    sweep: Floats | None
    d: Floats
    wavelength: Floats
    bandwidth: float
    limit: float
    prior: tuple[float, float]
    fit_errors: bool
    group: NDArray[np.intp] | None = None
    """intp [n]: reflection, numbered through, of observations whose means `target` is to be; None = it is known"""
    width2: Floats = field(default_factory=lambda: np.zeros(2))
    """domain^2, mosaicity^2"""
    covariance: Floats = field(default_factory=lambda: np.zeros((2, 2)))
    error_model: ErrorModel = field(default_factory=ErrorModel)
    chi2: float = float("nan")
    iterations: int = 0
    converged: bool = False

    def __post_init__(self) -> None:
        self._scale = np.zeros((len(self.table.images), 2))
        self._first_target = self.target
        self._total = np.zeros(0)

    def likelihood(self, domain: float, mosaicity: float) -> float:
        """Minus twice the log likelihood per observation of a width, each image scaled to it."""
        self.width2 = np.square([domain, mosaicity])
        self.error_model = ErrorModel()
        self._begin()
        for _ in range(8):
            self._step(np.zeros(2, dtype=bool))
        model, _, _ = self._model()
        variance = self.table.variance.expected(model)
        residual = (self.table.intensity - model) / np.sqrt(variance)
        return float(np.mean(huber_loss(residual, self.limit) + np.log(variance)))

    def fit(self, domain: float, mosaicity: float, fit_mosaicity: bool, max_iterations: int) -> None:
        """Move the width and all scales until neither moves any more."""
        self.width2 = np.square([domain, mosaicity])
        self.error_model = ErrorModel()
        free = np.array([True, fit_mosaicity])
        self._begin()
        for _ in range(4):
            self._step(np.zeros(2, dtype=bool))
        for self.iterations in range(1, max_iterations + 1):
            moved = self._step(free)
            if self.fit_errors and self.iterations in _ERRORS_AT:
                self._renew_errors()
            if moved < 0.02 and self.iterations > (_ERRORS_AT[-1] if self.fit_errors else 2):
                self.converged = True
                break

    def _width(self) -> Floats:
        domain, mosaicity = np.sqrt(self.width2).tolist()
        return RockingWidth(domain, mosaicity, self.bandwidth).at(self.d, self.wavelength)

    def _model(self) -> tuple[Floats, Floats, Floats]:
        """y, d ln y / d R^2, and counts per unit of intensity."""
        width = self._width()
        p = partiality(self.excitation, width, self.sweep)
        if self.sweep is None:
            slope = self.excitation**2 / width**4
        else:
            up, down = (partiality(self.excitation, width * np.sqrt(1.0 + s), self.sweep) for s in (_STEP, -_STEP))
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where(p > 1e-200, (up - down) / (2.0 * _STEP * width**2 * p), 0.0)
        scale = self._scale[self.table.image]
        factor = np.exp(scale[:, 0] - scale[:, 1] * self.table.s2) * self.table.factor * p
        return factor * self.target, slope, factor

    def _begin(self) -> None:
        """Scales from ratios of sums at the present width."""
        first = self.table.first[:-1]
        self._scale[:], self.target = 0.0, self._first_target
        model, _, _ = self._model()
        with np.errstate(divide="ignore", invalid="ignore"):
            ln_g = np.log(np.add.reduceat(self.table.intensity, first) / np.add.reduceat(model, first))
        scaled = np.isfinite(ln_g)
        self._scale[:, 0] = np.where(scaled, ln_g, np.median(ln_g[scaled]) if scaled.any() else 0.0)
        self._centre = np.array([np.median(self._scale[:, 0]), 0.0])

    def _step(self, free: NDArray[np.bool_]) -> float:
        """One step of the scales and of the free parts of the width; how far the width moved, in sigma."""
        table, n = self.table, len(self.table.images)
        model, slope, factor = self._model()
        variance = table.variance.expected(model, self.error_model.a, self.error_model.b)
        weight = huber_weight((table.intensity - model) / np.sqrt(variance), self.limit) / variance
        if self.group is not None:
            self._merge(weight, factor)
            model = factor * self.target
        residual = table.intensity - model
        self.chi2 = float((weight * residual * residual).sum() / max(len(table) - self._unknown - free.sum(), 1))
        # derivatives of y by (ln G, B, domain^2, mosaicity^2)
        parts = np.stack([np.ones_like(model), -table.s2, slope, slope / self.d**2]) * model
        pulls = np.stack([np.add.reduceat(weight * residual * part, table.first[:-1]) for part in parts], axis=1)
        normal = np.empty((n, 4, 4))
        for i in range(4):
            for j in range(i, 4):
                normal[:, i, j] = normal[:, j, i] = np.add.reduceat(weight * parts[i] * parts[j], table.first[:-1])
        stiff = np.square(self.prior) ** -1.0
        inverse = np.asarray(np.linalg.inv(normal[:, :2, :2] + np.diag(stiff)), dtype=np.float64)
        centre = prior_centre(self._scale, pulls[:, :2], normal[:, :2, :2], inverse)
        self._centre += np.clip(np.nan_to_num(centre - self._centre), -_LONGEST, _LONGEST)
        pull = pulls[:, :2] - (self._scale - self._centre) * stiff
        cross, outer, slope2 = normal[:, :2, 2:], normal[:, 2:, 2:].sum(axis=0), pulls[:, 2:].sum(axis=0)
        if self.group is None or not free.any():  # then steps after which the means follow will do
            whole, how = inverse, "nij,nj...->ni..."
        else:
            tied = self._tied(weight * factor * parts)
            cross, outer = cross - tied[:-2, -2:].reshape(n, 2, 2), outer - tied[-2:, -2:]
            matrix = block_diag(*(normal[:, :2, :2] + np.diag(stiff))) - tied[:-2, :-2]
            matrix[np.diag_indices(2 * n)] *= 1.0 + _RIDGE
            whole, how = np.linalg.inv(matrix).reshape(n, 2, n, 2), "nimj,mj...->ni..."
        outer = outer - np.einsum("nip,niq->pq", cross, np.einsum(how, whole, cross))
        slope2 = slope2 - np.einsum("nip,ni->p", cross, np.einsum(how, whole, pull))
        step = self._outer_step(outer, slope2, free)
        scales = np.einsum(how, whole, pull - cross @ step)
        scales /= np.maximum(1.0, np.abs(scales / _LONGEST).max(axis=1))[:, None]
        self._scale += scales
        self.width2 = np.maximum(self.width2 + step, 0.0)
        if not free.any():
            return 0.0
        return float(np.sqrt(max(step @ outer @ step, 0.0)))

    @property
    def _unknown(self) -> int:
        """Scales, temperature factors and intensities."""
        return 2 * len(self.table.images) + (0 if self.group is None else len(self._total))

    def _merge(self, weight: Floats, factor: Floats) -> None:
        """The weighted means of the scaled observations, as new target."""
        assert self.group is not None
        pull, groups = weight * factor, int(self.group.max()) + 1
        self._total = np.asarray(np.bincount(self.group, pull * factor, groups), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.bincount(self.group, pull * self.table.intensity, groups) / self._total
        self.target = np.where(self._total > 0.0, mean, 0.0)[self.group]

    def _tied(self, values: Floats) -> Floats:
        """`projections` of (ln G, B) of each image and the two parts of the width, from w f times derivatives."""
        assert self.group is not None
        n, image = 2 * len(self.table.images), self.table.image
        columns = np.stack([2 * image, 2 * image + 1, np.full_like(image, n), np.full_like(image, n + 1)])
        return projections(
            np.tile(self.group, 4), len(self._total), columns.ravel(), n + 2, values.ravel(), self._total
        )

    def _outer_step(self, outer: Floats, slope: Floats, free: NDArray[np.bool_]) -> Floats:
        """Step of (domain^2, mosaicity^2), neither below 0, and the covariance of what is free."""
        step = np.zeros(2)
        self.covariance = np.zeros((2, 2))
        if not free.any():
            return step
        at = np.ix_(free, free)
        inverse = np.linalg.pinv(outer[at], hermitian=True)
        self.covariance[at] = inverse
        step[free] = inverse @ slope[free]
        # no term more than doubles or halves the width at once
        total = self.width2[0] + self.width2[1] / np.median(self.d) ** 2
        size = np.abs(step) / np.array([1.0, np.median(self.d) ** 2])
        step *= min(1.0, 0.6 * total / max(float(size.max()), 1e-300))
        for one, other in ((1, 0), (0, 1)):
            if self.width2[one] + step[one] < 0.0:
                step[one] = -self.width2[one]
                if free[other] and outer[other, other] > 0.0:
                    alone = (slope[other] - outer[other, one] * step[one]) / outer[other, other]
                    step[other] = np.clip(alone, -0.5 * self.width2[other], max(self.width2[other], 0.5 * total))
                break
        if self.width2[0] + step[0] <= 0.0 and self.width2[1] + step[1] <= 0.0:
            step = -0.5 * self.width2
        return step

    def _renew_errors(self) -> None:
        model, _, factor = self._model()
        variance = self.table.variance.expected(model)
        square, keep = (self.table.intensity - model) ** 2, np.ones(len(model), dtype=bool)
        if self.group is not None:  # a mean follows its observations
            weight = factor**2 / self.table.variance.expected(model, self.error_model.a, self.error_model.b)
            follow = 1.0 - weight / np.bincount(self.group, weight)[self.group]
            keep = follow > _LEAST_FREEDOM
            square = square / np.where(keep, follow, 1.0)
        if np.count_nonzero(keep) >= 150:
            now = fit_variance(square[keep], variance[keep], model[keep])
            self.error_model = ErrorModel(now.a, now.b, not now.limited, now.note, now.used, now.rejected)
