"""Where a ring lies in each sector of azimuth: position and uncertainty, above the local background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from crystint.arrays import Floats
from crystint.correlate.center.circles import RingShape, place_on_ring

__all__ = ["RingLine", "RingPoints", "measure_line", "ring_points"]


_NARROWEST = 0.3
"""standard deviation of the narrowest line, px"""
_TUKEY = 5.0
"""residual, in scatters, at which a pixel no longer counts"""
_RING = 4
"""columns of the background in a sector; then those of the ring"""


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
    bend: float = 0.0
    """counts per px^3: cubic part of the background, as far as it is significant"""
    asked: bool = False
    """whether it was asked for, and so need not stand out as much"""
    index: int = -1
    """which ring of a calibrant it is; -1 = not known"""

    @property
    def contrast(self) -> float:
        """Height over background; NaN without a background."""
        return self.height / abs(self.background) if self.background else np.nan


@dataclass(frozen=True, slots=True, eq=False)
class RingPoints:
    """Points on one ring."""

    slow: Floats
    """float64 [points]: px from the outer corner"""
    fast: Floats
    sigma: Floats
    """float64 [points]: standard error along the radius, px"""


def measure_line(radius: Floats, values: Floats, line: RingLine) -> RingLine | None:
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
    bin_of = ((radius - line.low) / step).astype(np.intp)
    middle, error, at = _clipped_means(bin_of, radius, values)
    if len(at) < 8:
        return None

    u, half = at - line.radius, 0.5 * (line.high - line.low)
    straight = np.stack([np.ones_like(u), u / half, (u / half) ** 2], axis=1) / error[:, None]
    target = (middle - middle.mean()) / error

    def solved(place_width: Floats) -> tuple[Floats, Floats, Floats]:
        bell = np.exp(-0.5 * ((u - place_width[0]) / place_width[1]) ** 2)
        columns = np.column_stack([bell / error, straight])
        linear = np.linalg.lstsq(columns, target, rcond=None)[0]
        return columns, linear, target - columns @ linear

    # the bell and the parabola are linear; only place and width are searched, so scales of counts do not matter
    # a wide bell is hardly another thing than a parabola; a ring that is really wider has a wider annulus next time
    widest = min(max(0.45 * half, 1.5 * line.sigma, 2 * _NARROWEST), max(half, 2 * _NARROWEST))
    bounds = ([-0.6 * half, _NARROWEST], [0.6 * half, widest])
    start = [0.0, float(np.clip(line.sigma, 1.01 * _NARROWEST, 0.99 * widest))]
    fit = least_squares(lambda at: solved(at)[2], start, bounds=bounds, x_scale=line.sigma)
    columns, linear, rest = solved(fit.x)
    spread = max(1.0, float(rest @ rest) / max(len(u) - 6, 1))
    top, level = float(linear[0]), float(linear[1] + middle.mean())
    with np.errstate(all="ignore"):
        inverse = np.linalg.pinv(columns.T @ columns)
        place_error = np.linalg.pinv(fit.jac.T @ fit.jac)[0, 0]
        significance = top / np.sqrt(spread * inverse[0, 0])
        more = np.column_stack([(u / half) ** 3 / error, columns[:, 0] * (u - fit.x[0]) / fit.x[1], columns])
        cubic = float(np.linalg.lstsq(more, target, rcond=None)[0][0])
        sure = 1.0 - 4.0 * spread * np.linalg.pinv(more.T @ more)[0, 0] / cubic**2
    if not (top > 0 and np.isfinite(significance)):
        return None
    return replace(
        line,
        radius=line.radius + float(fit.x[0]),
        sigma=float(fit.x[1]),
        height=top,
        background=level,
        radius_error=float(np.sqrt(spread * place_error)),
        significance=float(significance),
        bend=cubic / half**3 * float(sure) if sure > 0 else 0.0,
    )


def _clipped_means(bin_of: NDArray[np.intp], radius: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Per bin: mean within 4 scatters of the median, its error, and the mean radius; empty bins left out."""
    bins, owner = np.unique(bin_of, return_inverse=True)
    groups = _groups(owner, len(bins))
    middle = _medians(values, groups)
    away = np.abs(values - middle[owner])
    scatter = 1.4826 * _medians(away, groups)
    scatter = np.maximum(scatter, max(0.5 * float(np.median(scatter)), 1e-12))
    keep = away <= 4.0 * scatter[owner]
    count = np.bincount(owner, keep)
    mean = np.bincount(owner, values * keep) / count
    at = np.bincount(owner, radius * keep) / count
    usable = count >= max(4.0, 0.2 * float(np.median(count)))
    return mean[usable], (scatter / np.sqrt(count))[usable], at[usable]


def ring_points(
    shape: RingShape, line: RingLine, radius: Floats, azimuth: Floats, values: Floats, sectors: int
) -> tuple[RingPoints, Floats]:
    """Shift of the ring against its mean radius in each sector, by robust linear least squares.

    In each sector the counts are level + slope u + curve u^2 + slope t + a g(u) + c u g(u) / s^2 with u = radius - R, t
    along the ring, and the Gaussian g of the ring: a is the height, c / a the shift. All but the width are the sector's
    own, so neither a background that runs and bends across the frame nor a ring of uneven strength pulls; pixels are
    weighted by how much the ring rises or falls in them, and by Tukey's biweight. Heights of weak sectors are drawn
    towards the first two harmonics.

    Parameters
    ----------
    shape : RingShape
        What `radius` was computed with.
    line : RingLine
        As `measure_line` gave it.
    radius, azimuth, values : float64 [n]
        Good pixels of the annulus: px, rad from the fast towards the slow axis, counts.
    sectors : int

    Returns
    -------
    points : RingPoints
    below : float64 [n]
        Counts of the background in each pixel; NaN where the sector has too few pixels.
    """
    u = (radius - line.radius) / line.sigma
    bell = np.exp(-0.5 * u**2)
    turn = np.mod(azimuth, 2 * np.pi) * (sectors / (2 * np.pi))
    owner = np.minimum(turn.astype(np.intp), sectors - 1)
    columns = np.stack([np.ones_like(u), u, 0.1 * u**2, turn - owner - 0.5, bell, bell * u])
    # a cubic of its own would cost a sector a third of its precision; one for the whole ring moves only the radius
    cubic = line.bend * (u * line.sigma) ** 3
    value, variance, weight = _robust_sectors(columns, values - cubic, u * line.sigma, owner, sectors)
    below = np.einsum("ij,ij->j", columns[:_RING], value[:_RING, owner])
    height, shift = value[_RING], value[_RING + 1] * line.sigma
    phi = np.asarray((np.arange(sectors) + 0.5) * (2 * np.pi / sectors), np.float64)
    smooth = _smooth_height(phi, height, variance[_RING])
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(variance[_RING + 1]) * line.sigma / smooth
        shift = shift / smooth
        power = weight * (bell * u) ** 2
        mean_turn = np.bincount(owner, power * turn, sectors) / np.bincount(owner, power, sectors)
    usable = (smooth > 0) & np.isfinite(sigma) & np.isfinite(shift) & np.isfinite(mean_turn)
    usable &= (np.abs(shift) < 3 * line.sigma) & (sigma < 3 * line.sigma)
    slow, fast = place_on_ring(shape, line.radius + shift[usable], mean_turn[usable] * (2 * np.pi / sectors))
    return RingPoints(slow, fast, sigma[usable]), below


def _robust_sectors(
    columns: Floats, values: Floats, u: Floats, owner: NDArray[np.intp], sectors: int
) -> tuple[Floats, Floats, Floats]:
    """Coefficients and variances float64 [columns, sectors] (NaN where not determined), and weights of the pixels."""
    count = len(columns)
    bin_of = (u - u.min()).astype(np.intp)
    bins = _groups(bin_of, int(bin_of.max()) + 1)
    members = _groups(owner, sectors)
    order = np.concatenate(members)
    number = np.array([len(part) for part in members])
    first = np.cumsum(number) - number
    middle = np.nan_to_num(_medians(values, members))
    away = np.abs(values - middle[owner])
    weight = (away <= _TUKEY * _scatter(away, members)[owner]).astype(np.float64)
    # the pixels of a sector as a row, with zeros to the length of the longest
    rank = np.arange(len(order)) - first[owner[order]]
    rows = np.zeros((sectors, int(number.max()), count + 1))
    rows[owner[order], rank] = np.concatenate([columns, values[None] - middle[owner]]).T[order]
    full = np.zeros(rows.shape[:2])
    value = np.full((count, sectors), np.nan)
    inverse = np.full((sectors, count, count), np.nan)
    for _ in range(6):
        variance: Any = 1.0
        if np.isfinite(value).any():
            rest = values - np.einsum("ij,ij->j", columns, np.nan_to_num(value)[:, owner])
            scatter = _scatter(np.abs(rest), bins)[bin_of]
            weight = np.clip(1.0 - (rest / (_TUKEY * scatter)) ** 2, 0.0, None) ** 2
            variance = scatter**2
        full[owner[order], rank] = (weight / variance)[order]
        both = (rows[:, :, :count] * full[:, :, None]).transpose(0, 2, 1) @ rows
        normal = both[:, :, :count]
        enough = np.bincount(owner, weight > 0.1, sectors) >= 3 * count
        enough &= np.linalg.cond(np.where(enough[:, None, None], normal, np.eye(count))) < 1e8
        inverse[:] = np.nan
        inverse[enough] = np.linalg.inv(normal[enough])
        before, value = value, np.einsum("kij,kj->ik", inverse, both[:, :, count])
        value[0] += middle
        error = np.sqrt(np.einsum("kii->ik", inverse))
        if np.isfinite(before).any() and not np.nanmax(np.abs(value - before) / error, initial=0.0) > 0.05:
            break
    return value, np.einsum("kii->ik", inverse).copy(), weight


def _groups(owner: NDArray[np.intp], groups: int) -> list[NDArray[np.intp]]:
    """Numbers of the pixels of each group."""
    order = np.argsort(owner.astype(np.min_scalar_type(groups)), kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=groups))[:-1])


def _medians(values: Floats, groups: list[NDArray[np.intp]]) -> Floats:
    """Upper median of each group, NaN of an empty one; float64 [groups]."""
    medians = np.full(len(groups), np.nan)
    for number, group in enumerate(groups):
        if len(group):
            medians[number] = np.partition(values[group], len(group) // 2)[len(group) // 2]
    return medians


def _scatter(away: Floats, groups: list[NDArray[np.intp]]) -> Floats:
    """1.4826 median of |residual| per group, with a floor; float64 [groups]."""
    scatter = 1.4826 * _medians(away, groups)
    floor = max(1e-2 * float(np.nanmedian(scatter)), 1e-12 * float(away.max()), 1e-300)
    return np.asarray(np.fmax(scatter, floor))


def _smooth_height(phi: Floats, height: Floats, variance: Floats) -> Floats:
    """Heights drawn towards their constant, first and second harmonic by as much as noise makes them differ."""
    measured = np.isfinite(height) & (variance > 0)
    if measured.sum() < 8:
        return height
    basis = np.stack([np.ones_like(phi), *(f(n * phi) for n in (1, 2) for f in (np.cos, np.sin))], axis=1)
    scale = 1.0 / np.sqrt(variance[measured])
    # a ridge on the harmonics: half the ring may be hidden
    ridge = np.diag([0.0, 1.0, 1.0, 1.0, 1.0]) * np.sqrt(0.05 * np.sum(scale**2))
    left = np.concatenate([basis[measured] * scale[:, None], ridge])
    low = basis @ np.linalg.lstsq(left, np.concatenate([height[measured] * scale, np.zeros(5)]), rcond=None)[0]
    extra = max(0.0, float(np.median((height - low)[measured] ** 2)) / 0.455 - float(np.median(variance[measured])))
    share = extra / (extra + variance)
    return np.where(measured, share * height + (1.0 - share) * low, np.nan)
