"""Gauss-Newton for one rocking width and the scales of many images, the scales eliminated."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystint.stills.prediction.partiality import RockingWidth, partiality
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.options import prior_centre
from crystint.stills.scaling.robust import huber_loss, huber_weight
from crystint.stills.scaling.table import ScalingTable
from crystint.stills.scaling.variance_fit import fit_variance

__all__ = ["RockingProblem"]

_Floats = NDArray[np.float64]
_LONGEST = np.array([1.0, 20.0])
_STEP = 1e-4
"""relative change of R^2 for derivatives of a partiality averaged over an exposure"""
_ERRORS_AT = (4, 8, 12)


@dataclass(eq=False)
class RockingProblem:
    """Columns are of the rows of `table`; the fit's state is in the fields after them."""

    table: ScalingTable
    target: _Floats
    excitation: _Floats
    sweep: _Floats | None
    d: _Floats
    wavelength: _Floats
    bandwidth: float
    limit: float
    prior: tuple[float, float]
    fit_errors: bool
    width2: _Floats = field(default_factory=lambda: np.zeros(2))
    """domain^2, mosaicity^2"""
    covariance: _Floats = field(default_factory=lambda: np.zeros((2, 2)))
    error_model: ErrorModel = field(default_factory=ErrorModel)
    chi2: float = float("nan")
    iterations: int = 0
    converged: bool = False

    def __post_init__(self) -> None:
        n = len(self.table.images)
        self._scale = np.zeros((n, 2))
        self._full = self.table.factor * self.target

    def likelihood(self, domain: float, mosaicity: float) -> float:
        """Minus twice the log likelihood per observation of a width, each image scaled to it."""
        self.width2 = np.square([domain, mosaicity])
        self.error_model = ErrorModel()
        self._begin()
        for _ in range(8):
            self._step(np.zeros(2, dtype=bool))
        model, _ = self._model()
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

    def _width(self) -> _Floats:
        domain, mosaicity = np.sqrt(self.width2).tolist()
        return RockingWidth(domain, mosaicity, self.bandwidth).at(self.d, self.wavelength)

    def _model(self) -> tuple[_Floats, _Floats]:
        """y, and d ln y / d R^2."""
        width = self._width()
        p = partiality(self.excitation, width, self.sweep)
        if self.sweep is None:
            slope = self.excitation**2 / width**4
        else:
            up, down = (partiality(self.excitation, width * np.sqrt(1.0 + s), self.sweep) for s in (_STEP, -_STEP))
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = np.where(p > 1e-200, (up - down) / (2.0 * _STEP * width**2 * p), 0.0)
        scale = self._scale[self.table.image]
        return np.exp(scale[:, 0] - scale[:, 1] * self.table.s2) * self._full * p, slope

    def _begin(self) -> None:
        """Scales from ratios of sums at the present width."""
        first = self.table.first[:-1]
        self._scale[:] = 0.0
        model, _ = self._model()
        with np.errstate(divide="ignore", invalid="ignore"):
            ln_g = np.log(np.add.reduceat(self.table.intensity, first) / np.add.reduceat(model, first))
        known = np.isfinite(ln_g)
        self._scale[:, 0] = np.where(known, ln_g, np.median(ln_g[known]) if known.any() else 0.0)
        self._centre = np.array([np.median(self._scale[:, 0]), 0.0])

    def _step(self, free: NDArray[np.bool_]) -> float:
        """One step of the scales and of the free parts of the width; how far the width moved, in sigma."""
        table, n = self.table, len(self.table.images)
        model, slope = self._model()
        variance = table.variance.expected(model, self.error_model.a, self.error_model.b)
        residual = table.intensity - model
        weight = huber_weight(residual / np.sqrt(variance), self.limit) / variance
        self.chi2 = float((weight * residual * residual).sum() / max(len(table) - 2 * n - free.sum(), 1))
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
        cross = normal[:, :2, 2:]
        outer = normal[:, 2:, 2:].sum(axis=0) - np.einsum("nip,nij,njq->pq", cross, inverse, cross)
        slope2 = pulls[:, 2:].sum(axis=0) - np.einsum("nip,nij,nj->p", cross, inverse, pull)
        step = self._outer_step(outer, slope2, free)
        scales = np.einsum("nij,nj->ni", inverse, pull - cross @ step)
        scales /= np.maximum(1.0, np.abs(scales / _LONGEST).max(axis=1))[:, None]
        self._scale += scales
        self.width2 = np.maximum(self.width2 + step, 0.0)
        if not free.any():
            return 0.0
        return float(np.sqrt(max(step @ outer @ step, 0.0)))

    def _outer_step(self, outer: _Floats, slope: _Floats, free: NDArray[np.bool_]) -> _Floats:
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
        model, _ = self._model()
        square = (self.table.intensity - model) ** 2
        if len(square) >= 150:
            now = fit_variance(square, self.table.variance.expected(model), model)
            self.error_model = ErrorModel(now.a, now.b, not now.limited, now.note, now.used, now.rejected)
