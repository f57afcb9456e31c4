"""Where a ring lies in each sector of azimuth: position and uncertainty, above the local background."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from crystint.correlate.circles import RingShape, place_on_ring

__all__ = ["RingLine", "RingPoints", "measure_line", "ring_points"]

Array = NDArray[np.float64]

_NARROWEST = 0.3
"""standard deviation of the narrowest line, px"""
_TUKEY = 5.0
"""residual, in scatters, at which a pixel no longer counts"""


@dataclass(frozen=True, slots=True)
class RingLine:
    """A ring in the radial profile: a Gaussian on a straight background."""

    radius: float
    """px"""
    sigma: float
    """standard deviation of the Gaussian, px"""
    low: float
    """inner edge of the annulus that is looked at, px"""
    high: float
    height: float = np.nan
    """counts above the background"""
    background: float = np.nan
    """counts below the ring"""
    radius_error: float = np.nan
    """standard error of the radius, px"""
    significance: float = np.nan
    """height over its standard error"""
    index: int = -1
    """which ring of a calibrant it is; -1 = not known"""

    @property
    def contrast(self) -> float:
        """Height over background; NaN without a background."""
        return self.height / abs(self.background) if self.background else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class RingPoints:
    """Points on one ring."""

    slow: Array
    """float64 [points]: px from the outer corner"""
    fast: Array
    sigma: Array
    """float64 [points]: standard error along the radius, px"""


def measure_line(radius: Array, values: Array, line: RingLine) -> RingLine | None:
    """Fit the Gaussian of a ring to the clipped radial profile; None when there is no line that rises.

    Parameters
    ----------
    radius, values : float64 [n]
        The good pixels of the annulus: ring coordinate in px, and counts.
    line : RingLine
        First idea of radius and width.
    """
    if len(radius) < 32:
        return None
    step = min(0.5, 0.5 * line.sigma)
    place = ((radius - line.low) / step).astype(np.intp)
    middle, error, at = _clipped_means(place, radius, values)
    if len(at) < 8:
        return None

    u, half = at - line.radius, 0.5 * (line.high - line.low)
    straight = np.stack([np.ones_like(u), u / half, (u / half) ** 2], axis=1) / error[:, None]
    target = (middle - middle.mean()) / error

    def solved(place_width: Array) -> tuple[Array, Array, Array]:
        bell = np.exp(-0.5 * ((u - place_width[0]) / place_width[1]) ** 2)
        columns = np.column_stack([bell / error, straight])
        linear = np.linalg.lstsq(columns, target, rcond=None)[0]
        return columns, linear, target - columns @ linear

    # the bell and the parabola are linear; only place and width are searched, so scales of counts do not matter
    bounds = ([-0.6 * half, _NARROWEST], [0.6 * half, half])
    start = [0.0, float(np.clip(line.sigma, 1.01 * _NARROWEST, 0.99 * half))]
    found = least_squares(lambda at: solved(at)[2], start, bounds=bounds, x_scale=line.sigma)
    columns, linear, rest = solved(found.x)
    spread = max(1.0, float(rest @ rest) / max(len(u) - 6, 1))
    top, level = float(linear[0]), float(linear[1] + middle.mean())
    with np.errstate(all="ignore"):
        inverse = np.linalg.pinv(columns.T @ columns)
        place_error = np.linalg.pinv(found.jac.T @ found.jac)[0, 0]
        significance = top / np.sqrt(spread * inverse[0, 0])
    if not (top > 0 and np.isfinite(significance)):
        return None
    return replace(
        line,
        radius=line.radius + float(found.x[0]),
        sigma=float(found.x[1]),
        height=top,
        background=level,
        radius_error=float(np.sqrt(spread * place_error)),
        significance=float(significance),
    )


def _clipped_means(place: NDArray[np.intp], radius: Array, values: Array) -> tuple[Array, Array, Array]:
    """Per bin: mean within 4 scatters of the median, its error, and the mean radius; empty bins left out."""
    order = np.lexsort((values, place))
    place, radius, values = place[order], radius[order], values[order]
    bins, first, number = np.unique(place, return_index=True, return_counts=True)
    owner = np.repeat(np.arange(len(bins)), number)
    middle = values[first + number // 2]
    away = np.abs(values - middle[owner])
    scatter = 1.4826 * away[np.lexsort((away, owner))][first + number // 2]
    scatter = np.maximum(scatter, max(0.5 * float(np.median(scatter)), 1e-12))
    keep = away <= 4.0 * scatter[owner]
    kept = np.bincount(owner, keep)
    mean = np.bincount(owner, values * keep) / kept
    at = np.bincount(owner, radius * keep) / kept
    usable = kept >= max(4.0, 0.2 * float(np.median(kept)))
    return mean[usable], (scatter / np.sqrt(kept))[usable], at[usable]


def ring_points(
    shape: RingShape, line: RingLine, radius: Array, azimuth: Array, values: Array, sectors: int
) -> RingPoints:
    """Shift of the ring against its mean radius in each sector, by robust linear least squares.

    In each sector the counts are level + slope u + a g(u) + c u g(u) / s^2 with u = radius - R and the Gaussian g of
    the ring: a is the height, c / a the shift. Level, slope and height are the sector's own, so neither a background
    that runs across the frame nor a ring of uneven strength pulls; pixels are weighted by how much the ring rises or
    falls in them, and by Tukey's biweight. Heights of weak sectors are drawn towards the first two harmonics.

    Parameters
    ----------
    shape : RingShape
        What `radius` was computed with.
    line : RingLine
        As `measure_line` gave it.
    radius, azimuth, values : float64 [n]
        Good pixels of the annulus: px, rad from the fast towards the slow axis, counts.
    sectors : int
    """
    u = radius - line.radius
    bell = np.exp(-0.5 * (u / line.sigma) ** 2)
    turn = np.mod(azimuth, 2 * np.pi) * (sectors / (2 * np.pi))
    owner = np.minimum(turn.astype(np.intp), sectors - 1)
    columns = np.stack([np.ones_like(u), u / line.sigma, bell, bell * u / line.sigma])
    value, variance, weight = _robust_sectors(columns, values, u, owner, sectors)
    height, shift = value[2], value[3] * line.sigma
    phi = np.asarray((np.arange(sectors) + 0.5) * (2 * np.pi / sectors), np.float64)
    smooth = _smooth_height(phi, height, variance[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(variance[3]) * line.sigma / smooth
        shift = shift / smooth
        power = weight * (bell * u) ** 2
        mean_turn = np.bincount(owner, power * turn, sectors) / np.bincount(owner, power, sectors)
    usable = (smooth > 0) & np.isfinite(sigma) & np.isfinite(shift) & np.isfinite(mean_turn)
    usable &= (np.abs(shift) < 3 * line.sigma) & (sigma < 3 * line.sigma)
    slow, fast = place_on_ring(shape, line.radius + shift[usable], mean_turn[usable] * (2 * np.pi / sectors))
    return RingPoints(slow, fast, sigma[usable])


def _robust_sectors(
    columns: Array, values: Array, u: Array, owner: NDArray[np.intp], sectors: int
) -> tuple[Array, Array, Array]:
    """Coefficients and variances float64 [4, sectors] (NaN where not determined), and weights of the pixels."""
    bin_of = (u - u.min()).astype(np.intp)
    order = np.lexsort((values, owner))
    first = np.searchsorted(owner[order], np.arange(sectors))
    number = np.bincount(owner, minlength=sectors)
    middle = values[order][np.minimum(first + number // 2, len(order) - 1)]
    away = np.abs(values - middle[owner])
    weight = (away <= _TUKEY * _scatter(away, owner, sectors)[owner]).astype(np.float64)
    inverse = np.full((sectors, 4, 4), np.nan)
    value = np.full((4, sectors), np.nan)
    for _ in range(6):
        variance = 1.0
        if np.isfinite(value).any():
            rest = values - np.einsum("ij,ij->j", columns, np.nan_to_num(value)[:, owner])
            scatter = _scatter(np.abs(rest), bin_of, int(bin_of.max()) + 1)[bin_of]
            weight = np.clip(1.0 - (rest / (_TUKEY * scatter)) ** 2, 0.0, None) ** 2
            variance = scatter**2
        full = weight / variance
        normal = np.empty((sectors, 4, 4))
        right = np.empty((sectors, 4))
        for i in range(4):
            right[:, i] = np.bincount(owner, full * columns[i] * values, sectors)
            for j in range(i + 1):
                normal[:, i, j] = normal[:, j, i] = np.bincount(owner, full * columns[i] * columns[j], sectors)
        enough = np.bincount(owner, weight > 0.1, sectors) >= 12
        enough &= np.linalg.cond(np.where(enough[:, None, None], normal, np.eye(4))) < 1e8
        inverse[:] = np.nan
        inverse[enough] = np.linalg.inv(normal[enough])
        value = np.einsum("kij,kj->ik", inverse, right)
    return value, np.einsum("kii->ik", inverse).copy(), weight


def _scatter(away: Array, owner: NDArray[np.intp], groups: int) -> Array:
    """1.4826 median of |residual| per group, with a floor; float64 [groups]."""
    order = np.lexsort((away, owner))
    number = np.bincount(owner, minlength=groups)
    first = np.cumsum(number) - number
    found = 1.4826 * away[order][np.minimum(first + number // 2, len(order) - 1)]
    known = found[number > 0]
    return np.asarray(np.maximum(found, max(1e-2 * float(np.median(known)), 1e-12 * float(away.max()), 1e-300)))


def _smooth_height(phi: Array, height: Array, variance: Array) -> Array:
    """Heights drawn towards their constant, first and second harmonic by as much as noise makes them differ."""
    known = np.isfinite(height) & (variance > 0)
    if known.sum() < 8:
        return height
    basis = np.stack([np.ones_like(phi), *(f(n * phi) for n in (1, 2) for f in (np.cos, np.sin))], axis=1)
    scale = 1.0 / np.sqrt(variance[known])
    # a ridge on the harmonics: half the ring may be hidden
    ridge = np.diag([0.0, 1.0, 1.0, 1.0, 1.0]) * np.sqrt(0.05 * np.sum(scale**2))
    left = np.concatenate([basis[known] * scale[:, None], ridge])
    low = basis @ np.linalg.lstsq(left, np.concatenate([height[known] * scale, np.zeros(5)]), rcond=None)[0]
    extra = max(0.0, float(np.median((height - low)[known] ** 2)) / 0.455 - float(np.median(variance[known])))
    share = extra / (extra + variance)
    return np.where(known, share * height + (1.0 - share) * low, np.nan)
