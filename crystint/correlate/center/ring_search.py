"""The rings of a frame before they are fitted: where the radial profile stands out of its own running mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, peak_widths

from crystint.arrays import Floats
from crystint.correlate.center.circles import Ellipse, Tilt
from crystint.correlate.center.coarse_center import RingProfileScan, scan_center
from crystint.correlate.center.contrast import local_contrast, local_level
from crystint.correlate.center.ring_points import RingLine

__all__ = ["GUESSED", "RingCandidates", "annuli", "find_lines", "line_at", "local_rest", "search_rings"]


_SIGNIFICANT = 5.0
"""height of a ring over the scatter of the profile"""
_REACH = 4.5
"""half width of an annulus in standard deviations of the line"""
_LEAST_REACH = 3.0
"""px"""
_SMOOTH = 8.0
"""half width of the running mean that is taken off the radial profile, px; three times and nine times this are tried
when no ring is found"""
GUESSED = 10.0
"""px that a ring may lie away from where it was looked for"""
_HALF = 2.354820045
"""full width at half height over standard deviation of a Gaussian"""


def _rise(scan: RingProfileScan, center: tuple[float, float], step: float, smooth: float) -> tuple[Floats, Floats]:
    """Radius (px) of each bin of the profile, and its height above the running mean in scatters; float64 [bins]."""
    total, number = scan.profile(center, step)
    window = 2 * round(smooth / step) + 1
    radius = (np.arange(len(total)) + 0.5) * step
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = np.nan_to_num(total / number - uniform_filter1d(total, window) / uniform_filter1d(number, window))
    in_scatters = rise * np.sqrt(number)
    covered = number > 0
    spread = 1.4826 * np.median(np.abs(in_scatters[covered])) if covered.any() else 1.0
    in_scatters = in_scatters / min(max(float(spread), 0.2), 3.0)
    in_scatters[(scan.coverage(center, step) < 0.15) | (number < 12)] = 0.0
    return np.asarray(radius, np.float64), np.asarray(in_scatters, np.float64)


def find_lines(scan: RingProfileScan, center: tuple[float, float], *, smooth: float) -> list[RingLine]:
    """Rings about a centre, the most significant first; empty when none stands out.

    Parameters
    ----------
    scan : RingProfileScan
        Contrast of the frame at full resolution.
    center : (slow, fast), px
    smooth : float
        Half width of the running mean, px.
    """
    step = 0.5 if smooth < 20 else 1.0
    radius, height = _rise(scan, center, step, smooth)
    height = uniform_filter1d(height, 3) * np.sqrt(3.0)
    peaks, _ = find_peaks(height, height=_SIGNIFICANT, prominence=_SIGNIFICANT)
    if not len(peaks):
        return []
    widths = peak_widths(height, peaks, rel_height=0.5)[0] * step
    best = np.argsort(-height[peaks], kind="stable")
    return [_line(float(radius[peaks[i]]), max(float(widths[i]) / _HALF, 0.5)) for i in best]


def line_at(
    scan: RingProfileScan, center: tuple[float, float], guess: float, within: float, *, smooth: float
) -> RingLine:
    """The ring near a guessed radius: the highest place of the profile within `within` px of it."""
    radius, height = _rise(scan, center, 0.5, smooth)
    height = uniform_filter1d(height, 3)
    near = np.flatnonzero(np.abs(radius - guess) <= within)
    if not len(near):
        return _line(guess, 1.5)
    top = int(near[np.argmax(height[near])])
    width = 1.5
    if 0 < top < len(height) - 1 and height[top] > max(height[top - 1], height[top + 1], 0.0):
        width = float(peak_widths(height, [top], rel_height=0.5)[0][0]) * 0.5 / _HALF
    return _line(float(radius[top]), min(max(width, 0.5), within))


def annuli(lines: Sequence[RingLine]) -> list[RingLine]:
    """The rings by radius, with annuli as wide as each asks for, up to the middle between neighbours."""
    lines = sorted(lines, key=lambda line: line.radius)
    bounded = []
    for i, line in enumerate(lines):
        reach = max(_REACH * line.sigma, _LEAST_REACH)
        low, high = max(line.radius - reach, 0.0), line.radius + reach
        if i:
            low = max(low, 0.5 * (lines[i - 1].radius + line.radius))
        if i + 1 < len(lines):
            high = min(high, 0.5 * (lines[i + 1].radius + line.radius))
        bounded.append(replace(line, low=low, high=high))
    return bounded


def _line(radius: float, sigma: float) -> RingLine:
    return annuli([RingLine(radius, sigma, 0.0, 0.0)])[0]


@dataclass(frozen=True, slots=True, eq=False)
class RingCandidates:
    """What the search leaves to the fit."""

    shape: Ellipse | Tilt
    """that of the start, with the centre found"""
    lines: list[RingLine]
    """rings that stand out, the most significant first"""
    asked: list[RingLine]
    """rings at guessed radii that are not among them"""
    level: Floats
    contrast: Floats
    """what the centre was searched in; float64 [slow, fast], as `level`"""
    smooth: float
    """half width of the running mean that was taken off the profile, px"""


def search_rings(
    values: Floats, good: NDArray[np.bool_], start: Ellipse | Tilt, reach: float, width: float | None, guesses: Floats
) -> Iterator[RingCandidates]:
    """Coarse centre, and the rings about it: first narrow rings, then broader ones, as long as more are asked for.

    `start` is the shape of the rings, circles or the cones of a tilted detector, of which only the centre is searched;
    the other parameters are as of `fit_rings`.
    """
    for smooth in [3.0 * width] if width else [_SMOOTH, 3 * _SMOOTH, 9 * _SMOOTH]:
        tile = _tile(smooth)
        level = local_level(values, good, tile)
        contrast = local_contrast(values - level, good, tile)
        center = scan_center(contrast, good, start, reach, smooth=smooth)
        fine = RingProfileScan.of(contrast, good, good.size, start)
        lines = find_lines(fine, center, smooth=smooth)
        asked: list[RingLine] = []
        for guess in guesses:
            line = line_at(fine, center, float(guess), GUESSED, smooth=smooth)
            if all(abs(line.radius - other.radius) > 2 * max(line.sigma, other.sigma) for other in lines + asked):
                asked.append(replace(line, asked=True))
        if lines or asked:
            yield RingCandidates(start.having([*center, *start.values[2:]]), lines, asked, level, contrast, smooth)


def local_rest(values: Floats, good: NDArray[np.bool_], width: float | None) -> tuple[Floats, Floats]:
    """Counts minus the local level, and that level, as `search_rings` takes it first; float64 [slow, fast] each."""
    level = local_level(values, good, _tile(3.0 * width if width else _SMOOTH))
    return values - level, level


def _tile(smooth: float) -> int:
    return max(16, round(3 * smooth))
