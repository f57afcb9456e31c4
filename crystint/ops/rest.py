"""The background of the pixels that a sparse frame does not hold.

Clipping leaves spots too weak to stand out in the background of a ring: where a tenth of the pixels have such spots,
the mean is a few per cent high. Where weak spots are kept whole, that would put the background around them higher than
it is, and their sums lower. The mean of the pixels that are *not* kept has no such spots; the noise that takes their
place ends at the picking threshold, so the law that it is drawn from has a mean a little above theirs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.densify_floor import noise_below, noise_ends
from crystint.ops.threshold import counts_at, ring_table

__all__ = ["mean_drawn", "rest_background"]

_LEAST = 20
"""pixels of a ring that its mean is taken from"""
_STEPS = 8


class _Rings:
    """Ring of each usable pixel, and the sums of the weights of all of them."""

    def __init__(self, rings: RingMap) -> None:
        position = rings.position.ravel()
        good = np.isfinite(position)
        self.number = np.full(len(position), rings.rings, np.int32)  # one more ring takes what is masked
        self.number[good] = np.clip(np.floor(position[good] + np.float32(0.5)), 0, rings.rings - 1)
        self.weight = np.where(good, rings.weight.ravel(), 0.0).astype(np.float64)
        self.n = rings.rings
        self.pixels = np.bincount(self.number, minlength=self.n + 1)[: self.n].astype(np.float64)
        self.omega, self.omega2 = (self.sums(self.weight**power) for power in (1, 2))
        self.typical = np.where(self.omega > 0, self.omega2 / np.maximum(self.omega, 1e-300), 1.0)

    def sums(self, values: NDArray[Any]) -> Floats:
        """float64 [rings]."""
        return np.asarray(np.bincount(self.number, values, self.n + 1)[: self.n], np.float64)


_RINGS: WeakKeyDictionary[RingMap, _Rings] = WeakKeyDictionary()


def _of(rings: RingMap) -> _Rings:
    made = _RINGS.get(rings)
    return _RINGS.setdefault(rings, _Rings(rings)) if made is None else made


def rest_background(sparse: SparseFrame, frame: NDArray[Any]) -> Background:
    """Background of the pixels of a frame that are neither kept nor unusable, for densifying them.

    Parameters
    ----------
    sparse : SparseFrame
        Of the frame; its `index` says what is kept, and holds all that is significant.
    frame : dtype [slow, fast]
        Raw counts.

    Returns
    -------
    Background
        As that of `sparse`, with the mean, spread and number of these pixels; unchanged in rings that have less than
        20 of them.
    """
    old = sparse.background
    rings = _of(old.rings)
    counts = frame.ravel().astype(np.float64)
    if old.rings.dark is not None:
        counts -= old.rings.dark.ravel()
    outside = [sparse.index] + ([] if sparse.unusable_index is None else [sparse.unusable_index])
    counts[rings.number == rings.n] = 0.0
    out = np.concatenate(outside).astype(np.intp)
    counts[out] = 0.0
    weight = rings.weight[out]

    def without(total: Floats, values: NDArray[Any]) -> Floats:
        return np.asarray(total - np.bincount(rings.number[out], values, rings.n + 1)[: rings.n])

    n, omega, omega2 = (without(all_, weight**power) for all_, power in
                        ((rings.pixels, 0), (rings.omega, 1), (rings.omega2, 2)))  # fmt: skip
    total, square, cross = rings.sums(counts), rings.sums(counts**2), rings.sums(counts * rings.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / omega
        azimuthal = (square - 2.0 * mean * cross + mean**2 * omega2) * n / (n - 1.0)
        poisson = np.maximum(mean * omega, 0.0)
        excess = np.maximum(azimuthal / poisson, 1.0)
        variance = azimuthal if old.error_model == "azimuthal" else poisson
        integrating = bool(np.nansum(old.additive) > 0)
        more = np.maximum(azimuthal - poisson, 0.0) / omega2
        use = (n >= _LEAST) & np.isfinite(old.mean) & np.isfinite(excess)
        columns: dict[str, Any] = {
            "mean": mean,
            "std": np.sqrt(variance / omega2),
            "count": n,
            "sem": np.sqrt(variance) / omega,
            "excess": np.ones_like(mean) if integrating else excess,
            "additive": more if integrating else np.zeros_like(mean),
        }
    columns = {name: np.where(use, values, getattr(old, name)) for name, values in columns.items()}
    rest = replace(old, **columns)
    if integrating or old.error_model == "azimuthal":
        return rest
    typical = rings.typical
    wanted = columns["mean"].copy()
    for _ in range(_STEPS):
        drawn = _drawn(rest, typical, sparse.snr, sparse.noise, sparse.dtype)
        step = np.where(use & np.isfinite(drawn), wanted - drawn, 0.0)
        rest = replace(rest, mean=np.maximum(rest.mean + step, 0.0))
    return rest


def mean_drawn(background: Background, snr: float, noise: float, dtype: np.dtype[Any]) -> Floats:
    """Mean of what densify draws in place of pixels that are not kept, float64 [rings], normalised counts.

    Counts above one limit are drawn anew, those above a lower one lowered to it.
    """
    if background.error_model == "azimuthal" or np.nansum(background.additive) > 0:
        return background.mean
    drawn = _drawn(background, _of(background.rings).typical, snr, noise, dtype)
    return np.asarray(np.where(np.isfinite(drawn), drawn, background.mean))


def _drawn(background: Background, weight: Floats, snr: float, noise: float, dtype: np.dtype[Any]) -> Floats:
    from scipy.special import pdtr

    k = noise_below(snr)
    table = ring_table(background)
    lowest, _ = noise_ends(background, table, k, dtype)
    high, low = (
        np.floor(counts_at(one[:, 0].astype(float), one[:, 1].astype(float), one[:, 2].astype(float), weight, k, noise))
        for one in (table, lowest)
    )
    low = np.minimum(low, high)
    mu = background.mean * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        below, all_ = pdtr(low, mu), pdtr(high, mu)
        under = mu * np.where(low >= 1.0, pdtr(low - 1.0, mu), 0.0)
        return np.asarray((under + low * (all_ - below)) / all_ / weight)
