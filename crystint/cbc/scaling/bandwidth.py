"""The bandwidth of the projection maps: from pixels, or by cross-validation.

A wide kernel smooths what is in the maps, a narrow one follows the noise of the counts. Cross-validation (Stone 1974,
J. R. Stat. Soc. B 36, 111) leaves a part of the pixels out, fits the others, and asks how likely the counts left out
are: Poisson's negative log-likelihood of what the fit expects there, as that of a scaling, so that the two compare.
Each pixel is left out once; all rows of a pixel go together, and so do blocks of pixels, in case the detector shares
counts between neighbours.

What predicts counts best is too smooth for |q|^2: their standard deviations hardly depend on the bandwidth, while their
bias is that of the maps. Hence less smoothing than the optimum of the curve, as is usual where a smooth function stands
beside the parameters that are wanted (Ruppert, Wand & Carroll 2003, Semiparametric Regression). How much less was
measured: with 0.6 of the optimum sigma of |q|^2 covers the truth as it says (benchmarks/validate_cbc.py), and |q|^2 are
nearer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.scaling.objective import pixel_terms
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.subsets import Trainable, subset
from crystint.cbc.scaling.sums import expected_counts
from crystint.errors import SettingError

__all__ = ["UNDERSMOOTHING", "BandwidthChoice", "bandwidth_from_pixels", "choose_bandwidth"]

_STEPS = (0.35, 5.0, 8)
"""Bandwidths tried: from and to so many distances between nodes, how many"""
UNDERSMOOTHING = 0.6
"""Bandwidth for |q|^2 over the one that predicts best"""


def bandwidth_from_pixels(pixels: float, pixel_size: float, distance: float) -> float:
    """The bandwidth in units of the incident unit vector that so many pixels are, near the middle of the detector.

    Parameters
    ----------
    pixels : float
    pixel_size : float
        m
    distance : float
        m, from the sample.

    Returns
    -------
    float

    Raises
    ------
    SettingError
        When one is not above 0.

    Examples
    --------
    >>> from crystint import cbc
    >>> round(cbc.bandwidth_from_pixels(4.0, 75e-6, 0.3), 9)
    0.001
    """
    for name, value in (("pixels", pixels), ("pixel_size", pixel_size), ("distance", distance)):
        if not (np.isfinite(value) and value > 0.0):
            raise SettingError(f"{name} is {value!r}, expected a number above 0")
    return float(pixels) * float(pixel_size) / float(distance)


@dataclass(frozen=True, eq=False)
class BandwidthChoice:
    """A curve of cross-validation. `float(choice)` is the bandwidth chosen. Made by `choose_bandwidth`."""

    bandwidth: float
    """in units of u: `undersmoothing` times the optimum, but none that is smaller than any that could be used"""
    optimum: float
    """of those tried, the one with the best score"""
    tried: Floats
    """float64 [k], ascending"""
    score: Floats
    """float64 [k]: -log-likelihood of pixels left out, a mean per pixel, less that of the best; NaN = could not be"""
    error: Floats
    """float64 [k]: standard error of `score`, from the differences of folds to the best"""
    at_edge: bool
    """the best is the first or the last that could be tried: the optimum may lie beyond"""

    def __float__(self) -> float:
        return self.bandwidth


def choose_bandwidth(
    scaler: Trainable,
    bandwidths: Sequence[float] | None = None,
    *,
    folds: int = 4,
    block: int = 2,
    seed: int = 0,
    undersmoothing: float = UNDERSMOOTHING,
    progress: Callable[[float, float], None] | None = None,
    watch: Callable[[Iterable[int], int, str], Iterable[int]] | None = None,
    **train: Any,
) -> BandwidthChoice:
    """The bandwidth with which pixels that are left out are best predicted.

    Parameters
    ----------
    scaler : IntensityScaler
        With the merging that is wanted; its maps give the grid.
    bandwidths : sequence of float, optional
        In units of u; None = 8 from 0.35 to 5 times the distance between nodes.
    folds : int, 2 or more
        Into how many parts the pixels are divided at random.
    block : int
        Side of the square blocks of pixels that stay together.
    seed : int
        Of the division.
    undersmoothing : float, above 0, at most 1
        The bandwidth chosen is so many times the optimum; 1 for the maps' own sake.
    progress : callable, optional
        Called with a bandwidth and its score (a mean per pixel, not relative to the best) when it is done.
    watch : callable, optional
        ``(items, how many, what) -> items``, as steps have it; an item is a bandwidth.
    **train
        For `IntensityScaler.train`: n_iter, max_iter, fit_intercept, method...

    Returns
    -------
    BandwidthChoice

    Raises
    ------
    SettingError
        For impossible values, or when no bandwidth can be used with this grid.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler, x = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm").train(bandwidth=2e-3)
    >>> choice = cbc.choose_bandwidth(scaler, [1e-3, 3e-3], folds=2, n_iter=2)
    >>> choice.bandwidth > 0
    True
    """
    chi = scaler.xtal
    if bandwidths is None:
        spacing = max(float(np.diff(chi.x).max()), float(np.diff(chi.y).max()))
        tried = np.geomspace(_STEPS[0] * spacing, _STEPS[1] * spacing, _STEPS[2])
    else:
        tried = np.unique([checked_bandwidth(width) for width in bandwidths])
    if folds < 2 or block < 1 or not len(tried):
        raise SettingError(f"folds is {folds}, block {block}, with {len(tried)} bandwidths: expected 2, 1, 1 or more")
    if not 0.0 < undersmoothing <= 1.0:
        raise SettingError(f"undersmoothing is {undersmoothing!r}, expected a factor above 0, at most 1")
    part = _fold_of_pixel(scaler, folds, block, seed)
    sizes = np.bincount(part, minlength=folds)
    if (sizes == 0).any():
        raise SettingError(f"{folds} folds of blocks of {block} pixels leave a fold empty; use fewer or smaller ones")
    totals = np.full((len(tried), folds), np.nan)
    starts: list[Any] = [None] * folds
    parts = [_without(scaler, part == fold) for fold in range(folds)]
    reason: SettingError | None = None
    order: Iterable[int] = reversed(range(len(tried)))  # wide kernels converge soonest: a good start for narrow ones
    for at in order if watch is None else watch(order, len(tried), "bandwidths"):
        for fold, (rest, there) in enumerate(parts):
            try:
                trained, starts[fold] = rest.train(tried[at], x0=starts[fold], **train)
            except SettingError as error:
                reason = error
                break
            totals[at, fold] = _left_out(scaler, trained.xtal, starts[fold], there, part == fold)
        if progress is not None:
            progress(float(tried[at]), float(totals[at].sum() / sizes.sum()))
    usable = np.flatnonzero(np.isfinite(totals).all(axis=1))
    if not len(usable):
        raise SettingError(f"none of the bandwidths can be used: {reason}")
    best = int(usable[np.argmin(totals[usable].sum(axis=1))])
    over = totals - totals[best]
    spread = (over / sizes).std(axis=1, ddof=1) / np.sqrt(folds)
    optimum = float(tried[best])
    return BandwidthChoice(
        bandwidth=max(undersmoothing * optimum, float(tried[usable[0]])),
        optimum=optimum,
        tried=tried,
        score=over.sum(axis=1) / sizes.sum(),
        error=spread,
        at_edge=best in (usable[0], usable[-1]),
    )


def _fold_of_pixel(scaler: Trainable, folds: int, block: int, seed: int) -> NDArray[np.intp]:
    """intp [P]: the fold of each pixel; blocks are dealt out at random, in every frame anew."""
    layout, table = scaler.layout, scaler.table
    first = np.empty(layout.n_pixels, dtype=np.intp)
    first[layout.pixel[::-1]] = np.arange(len(layout))[::-1]
    key = np.stack([table.frame[first], table.y[first] // block, table.x[first] // block], axis=1)
    once, number = np.unique(key, axis=0, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(once)) % folds
    return np.asarray(dealt[number.reshape(-1)], dtype=np.intp)


def _without(scaler: Trainable, held: NDArray[np.bool_]) -> tuple[Trainable, NDArray[np.bool_]]:
    """The scaler of the pixels that are not held out, and which streaks it has."""
    keep = ~held[scaler.layout.pixel]
    if (np.add.reduceat(keep, scaler.layout.frame_start[:-1]) == 0).any():
        raise SettingError("a fold leaves a frame without pixels; use more folds or smaller blocks")
    return subset(scaler, keep)


def _left_out(
    scaler: Trainable, chi: ProjectionMap, x: Floats, there: NDArray[np.bool_], held: NDArray[np.bool_]
) -> float:
    """-sum of I log(lambda) - lambda over the pixels held out.

    Where no data reach, chi counts as 1, its mean; intercepts of streaks and |q|^2 of reflections that have all of
    their pixels there count as 0, and such pixels count for every bandwidth.
    """
    layout = scaler.layout
    chi_at = np.nan_to_num(chi.interpolate(layout.frame, layout.u), nan=1.0)
    streaks = int(there.sum())
    b = np.zeros(layout.n_streaks)
    b[there] = x[:streaks]
    q2 = np.nan_to_num(np.exp(x[streaks:]), nan=0.0)
    expected = expected_counts(layout, chi_at * layout.profile, b, q2)
    return float(pixel_terms(layout.counts[held], expected[held], "poisson", "l2")[0].sum())
