"""Uncertainty of log |q|^2 with the share of the projection maps, which are estimated from the same counts.

The estimate is the joint fixed point of maximum likelihood for |q|^2 (and intercepts) and kernel regression for chi;
`response` has its equations, made linear. Fisher's matrix alone (chi known) gives errors that are too small, and the
covariance of the regression is not that of a maximum-likelihood fit: so the fixed point itself is differentiated, and
the counts' variances are carried through (the implicit function theorem, or the sandwich formula; Huber 1967, Proc. 5th
Berkeley Symp. 1, 221; van der Vaart, Asymptotic Statistics, 5.3).

Gauge. |q|^2 and chi share one scale, which no data determine: |q|^2 c and chi / c are the same model. Uncertainties are
therefore of log |q|^2 less its weighted mean (`weight`), with a scale of its own for each group of reflections whose
data touch no node of a map together (`component`; unmerged streaks of different frames have no common scale at all).

What is not in it: the smoothing of chi is a bias, which no repetition of the measurement shows. `bias` estimates it, as
the step that the estimate makes when the fitted expectations are taken for counts (the first-order parametric
bootstrap, Efron & Tibshirani 1993, 10). It grows with the square of the bandwidth, while sigma falls little; where
`bias` is not well below sigma the bandwidth is too large for the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats, Indices
from crystint.cbc.merging.response import Frame, respond
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.scales import scale_groups
from crystint.errors import SettingError, ShapeError

__all__ = ["Uncertainty", "uncertainty"]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Covariance of log |q|^2 of H reflections; NaN where there is no signal or no other reflection to compare."""

    covariance: Floats
    """float64 [H, H]: of log |q|^2 less its weighted mean over the component; 0 between components"""
    sigma: Floats
    """float64 [H]: root of the diagonal"""
    sigma_known: Floats
    """float64 [H]: what sigma would be if chi were known, with no scale taken out: Fisher's matrix alone"""
    bias: Floats
    """float64 [H]: estimated bias of log |q|^2, of which the smoothing of chi is the cause; not in sigma"""
    weight: Floats
    """float64 [H]: of the mean that is taken out; sums to 1 over each component"""
    component: Indices
    """intp [H]: reflections of one number have a common scale"""
    reduced_chi_square: float
    """sum of (I - lambda)^2 / variance over pixels less parameters; about 1, if the noise is what was assumed. The
    nodes of the maps are not counted as parameters."""

    def relative(self, log_q2: ArrayLike) -> Floats:
        """float64 [H]: log |q|^2 less its weighted mean over the component, which `covariance` is of."""
        values = np.asarray(log_q2, dtype=np.float64)
        used = np.where(self.weight > 0.0, values, 0.0)
        mean = np.bincount(self.component, self.weight * used)
        return np.asarray(values - mean[self.component])

    def of_intensity(self, q2: ArrayLike) -> Floats:
        """float64 [H]: sigma of |q|^2, to first order."""
        return np.asarray(np.asarray(q2, dtype=np.float64) * self.sigma)


def uncertainty(
    layout: Layout,
    chi: ProjectionMap,
    q2: ArrayLike,
    bandwidth: float | None,
    *,
    intercepts: ArrayLike | None = None,
    variance: ArrayLike | None = None,
) -> Uncertainty:
    """Uncertainty of a converged Poisson fit.

    Parameters
    ----------
    layout : Layout
        Rows with the merging that the fit had.
    chi : ProjectionMap
        Maps of the fit, a frame for each of the layout's.
    q2 : float [H]
        |q|^2 of the fit, counts.
    bandwidth : float or None
        That of the fit, in units of u. None: chi was not estimated but known.
    intercepts : float [S], optional
        Fitted intercepts, counts. Those at 0 count as fixed there; None = none were fitted.
    variance : float [P], optional
        Of the counts of each pixel. None: lambda, Poisson's law.

    Returns
    -------
    Uncertainty

    Raises
    ------
    ShapeError, SettingError
        When an argument does not fit the layout, or overlaps leave a map undetermined.

    Notes
    -----
    Time: for each frame, rows times (parameters of the frame)^2, then parameters^3 once. Memory: parameters times nodes
    of one frame, and parameters^2.
    """
    level, noise = _checked(layout, chi, q2, intercepts, variance)
    strength = np.asarray(q2, dtype=np.float64)
    width = None if bandwidth is None else checked_bandwidth(bandwidth)
    free = np.flatnonzero(level > 0.0)
    offset = np.full(layout.n_streaks, -1)
    offset[free] = layout.n_reflections + np.arange(len(free))
    size = layout.n_reflections + len(free)
    fisher, matrix, scale, spread = (np.zeros((size, size)) for _ in range(4))
    drift, chi_square = np.zeros(size), 0.0
    for number, (first, last) in enumerate(pairwise(layout.frame_start)):
        frame, own = _frame(layout, chi, strength, level, offset, noise, number, slice(first, last))
        part = respond(frame, width)
        at = np.ix_(own, own)
        for whole, piece in ((fisher, part.fisher), (matrix, part.matrix), (scale, part.scale), (spread, part.spread)):
            whole[at] += piece
        drift[own] += part.drift
        chi_square += part.chi_square
    n_ref = layout.n_reflections
    seen = np.diagonal(fisher) > 0.0
    component = scale_groups(layout, chi, strength, width)
    weight = np.where(seen, np.diagonal(fisher), 0.0)[:n_ref]
    total = np.bincount(component, weight)
    weight = np.divide(weight, total[component], out=np.zeros(n_ref), where=total[component] > 0.0)
    inverse = _inverse(matrix, scale, seen, component, weight, width is None)
    covariance = (inverse @ spread @ inverse.T)[:n_ref, :n_ref]
    shift = (inverse @ drift)[:n_ref]
    sigma_known = np.full(n_ref, np.nan)
    used = np.flatnonzero(seen)
    with np.errstate(invalid="ignore"):
        sigma_known[seen[:n_ref]] = np.sqrt(np.diagonal(np.linalg.inv(fisher[np.ix_(used, used)]))[used < n_ref])
    lost = ~seen[:n_ref] | (np.bincount(component[seen[:n_ref]], minlength=len(total))[component] < 2)
    covariance[lost, :] = covariance[:, lost] = shift[lost] = np.nan
    degrees = layout.n_pixels - int(seen.sum())
    return Uncertainty(
        covariance=covariance,
        sigma=np.sqrt(np.diagonal(covariance)),
        sigma_known=sigma_known,
        bias=shift,
        weight=weight,
        component=component,
        reduced_chi_square=chi_square / degrees if degrees > 0 else float("nan"),
    )


def _inverse(
    matrix: Floats, scale: Floats, seen: NDArray[np.bool_], component: Indices, weight: Floats, maps_known: bool
) -> Floats:
    """float64 [A, A]: what turns right-hand sides into changes of the parameters, no component's mean moving.

    Each component's scale is taken out, and the factor m of its normalisation, by which the matrix is singular, is an
    unknown of its own.
    """
    used = np.flatnonzero(seen)
    size, n_ref = len(seen), len(component)
    groups = np.unique(component[seen[:n_ref]])
    member = np.zeros((size, len(groups)))
    member[:n_ref] = component[:, None] == groups
    member *= seen[:, None]
    mean = np.zeros((len(groups), size))
    mean[:, :n_ref] = (weight[:, None] * (component[:, None] == groups)).T
    out = np.zeros((size, size))
    try:
        if maps_known:
            out[np.ix_(used, used)] = np.linalg.inv(matrix[np.ix_(used, used)])
            return np.asarray(out - member @ (mean @ out))
        bordered = np.block(
            [[matrix[np.ix_(used, used)], -(scale @ member)[used]], [mean[:, used], np.zeros((len(groups),) * 2)]]
        )
        out[np.ix_(used, used)] = np.linalg.inv(bordered)[: len(used), : len(used)]
    except np.linalg.LinAlgError:
        raise SettingError(
            "the uncertainties cannot be found: some |q|^2 and intercepts are not told apart by the data; fit without"
            " intercepts, or merge more reflections"
        ) from None
    return out


def _frame(
    layout: Layout,
    chi: ProjectionMap,
    q2: Floats,
    level: Floats,
    offset: Indices,
    variance: Floats | None,
    number: int,
    rows: slice,
) -> tuple[Frame, Indices]:
    """One frame with its parameters numbered 0, 1, ..., and their numbers in the whole."""
    order = np.argsort(layout.pixel[rows], kind="stable")
    pixel = layout.pixel[rows][order]
    pixels = slice(int(pixel[0]), int(pixel[-1]) + 1)
    streak = np.searchsorted(layout.streak_start, np.arange(rows.start, rows.stop), side="right") - 1
    streak = streak[order]
    reflection, free = layout.streak_reflection[streak], offset[streak]
    own = np.unique(np.concatenate([reflection, free[free >= 0]]))
    frame = Frame(
        pixel=pixel - pixels.start,
        reflection=np.searchsorted(own, reflection),
        offset=np.where(free >= 0, np.searchsorted(own, free), -1),
        level=level[streak],
        q2=q2[reflection],
        profile=layout.profile[rows][order],
        u=layout.u[rows][order],
        counts=layout.counts[pixels],
        background=layout.background[pixels],
        variance=None if variance is None else variance[pixels],
        chi=chi.values[number],
        x=chi.x,
        y=chi.y,
        parameters=len(own),
    )
    return frame, own


def _checked(
    layout: Layout, chi: ProjectionMap, q2: ArrayLike, intercepts: ArrayLike | None, variance: ArrayLike | None
) -> tuple[Floats, Floats | None]:
    """Intercepts and variances, all arguments having the right shapes and values."""
    if len(chi.values) != layout.n_frames:
        raise ShapeError(f"there are maps of {len(chi.values)} frames, expected {layout.n_frames}")
    level = np.zeros(layout.n_streaks) if intercepts is None else np.asarray(intercepts, dtype=np.float64)
    noise = None if variance is None else np.asarray(variance, dtype=np.float64)
    for name, values, count in (
        ("q2", np.asarray(q2, dtype=np.float64), layout.n_reflections),
        ("intercepts", level, layout.n_streaks),
        ("variance", noise, layout.n_pixels),
    ):
        if values is None:
            continue
        if values.shape != (count,):
            raise ShapeError(f"{name} is {values.shape}, expected {(count,)}")
        if name == "q2":
            values = values[np.unique(layout.streak_reflection)]
        if not (np.isfinite(values) & (values >= 0.0)).all():
            raise SettingError(f"{name} has negative or missing values, expected those of a fit, 0 or more")
    return level, noise
