"""Images that make the merged intensities worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.stills.scaling.scales import Scales

__all__ = ["DeltaCCHalf", "delta_cc_half", "image_cc", "reject_images"]


@dataclass(frozen=True, eq=False)
class DeltaCCHalf:
    """What CC1/2 owes to each image."""

    delta: Floats
    """float64 [images]: CC1/2 of all images - CC1/2 without this one; negative = the data are better without it;
    NaN = none of its reflections was observed in another image"""
    cc_half: float
    """of all images, the mean over resolution shells"""
    compared: NDArray[np.int64]
    """int64 [images]: reflections that others observed as well"""

    def threshold(self, deviations: float = 4.0) -> float:
        """Mean - `deviations` standard deviations of `delta`, and not above 0."""
        finite = self.delta[np.isfinite(self.delta)]
        if len(finite) < 3:
            return -np.inf
        return min(float(finite.mean() - deviations * finite.std()), 0.0)


def _add(at: NDArray[Any], values: Floats | None, count: int) -> Floats:
    return np.asarray(np.bincount(at, values, minlength=count), dtype=np.float64)


def delta_cc_half(
    image: NDArray[np.integer],
    number: NDArray[np.intp],
    intensity: Floats,
    shell: NDArray[np.intp],
    *,
    weight: Floats | None = None,
    images: int | None = None,
) -> DeltaCCHalf:
    """CC1/2 with each image left out in turn, from sums: one pass, whatever the number of images.

    CC1/2 is made of variances (Assmann, Brehm & Diederichs (2016), J. Appl. Cryst. 49, 1021), in each shell: the
    variance of the mean intensities and the mean variance of such a mean; shells are averaged by their numbers of
    reflections. An image changes these sums only where it has observations. This is what
    dials.compute_delta_cchalf computes, and CrystFEL's partialator with --delta-cc-half in one shell.

    Parameters
    ----------
    image : int [n]
    number : int [n]
        Unique reflection of each observation.
    intensity : float64 [n]
        On the common scale.
    shell : int [unique]
        Resolution shell of each unique reflection; -1 = in none.
    weight : float64 [n], optional
        1 / expected variance; None = all alike, as DIALS does.
    images
        How many there are; None = up to the largest number.

    Raises
    ------
    ShapeError
        When the columns differ in length.
    """
    n = len(intensity)
    if not len(image) == len(number) == n or (weight is not None and len(weight) != n):
        raise ShapeError(f"{len(image)} images, {len(number)} numbers and {n} intensities: not one table")
    count = int(np.max(image, initial=-1)) + 1 if images is None else images
    m, k = len(shell), int(np.max(shell, initial=-1)) + 1
    if not n or not k:
        return DeltaCCHalf(np.full(count, np.nan), float("nan"), np.zeros(count, np.int64))
    w = np.ones(n) if weight is None else weight
    # about the mean of the reflection: sums of squares must not cancel
    total_w = _add(number, w, m)
    centre = _add(number, w * intensity, m) / np.where(total_w > 0.0, total_w, 1.0)
    off = intensity - centre[number]
    size = _add(number, None, m)
    squares = _add(number, w * off * off, m)
    # observations of one reflection in one image go together
    pair, at = np.unique(number.astype(np.int64) * count + image, return_inverse=True)
    of, who = pair // count, pair % count
    pair_size = _add(at, None, len(pair))
    pair_w, pair_x, pair_xx = (_add(at, values, len(pair)) for values in (w, w * off, w * off * off))

    used = (size > 1) & (shell >= 0)
    per_shell = _add(shell[used], None, k)
    level = _add(shell[used], centre[used], k) / np.maximum(per_shell, 1)
    in_shell = np.maximum(shell, 0)

    def terms(number_of: Floats, w_sum: Floats, mean: Floats, square: Floats, at_shell: NDArray[np.intp]) -> Floats:
        """What a reflection adds to its shell: 1, mean, mean^2, variance of the mean; 0 when observed once."""
        good = number_of > 1.5
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(square, 0.0) / (number_of - 1.0) / w_sum
        value = mean - level[at_shell]
        return np.where(good, np.stack([np.ones(len(mean)), value, value * value, variance]), 0.0)

    whole = np.where(used, terms(size, total_w, centre, squares, in_shell), 0.0)
    sums = np.stack([_add(in_shell, part, k) for part in whole])
    left_n, left_w = size[of] - pair_size, total_w[of] - pair_w
    good = left_n > 0.5
    safe = np.where(good & (left_w > 0.0), left_w, 1.0)
    shift = -pair_x / safe
    left_square = squares[of] - pair_xx - safe * shift * shift
    without = terms(left_n, safe, centre[of] + shift, left_square, in_shell[of])
    change = np.where(shell[of] >= 0, without - whole[:, of], 0.0)
    code = who * k + in_shell[of]
    changed = np.stack([_add(code, part, count * k).reshape(count, k) for part in change])
    overall = _mean_cc(sums[:, None, :])
    each = _mean_cc(sums[:, None, :] + changed)
    compared = np.bincount(who[(left_n > 0.5) & (shell[of] >= 0)], minlength=count)
    delta = np.where(compared > 0, overall[0] - each, np.nan)
    return DeltaCCHalf(delta, float(overall[0]), compared.astype(np.int64))


def _mean_cc(sums: Floats) -> Floats:
    """float64 [images]: CC1/2 averaged over shells, from sums [4, images, shells]."""
    n, x, xx, variance = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        of_means = np.maximum(xx - x * x / n, 0.0) / (n - 1.0)
        of_mean = variance / n
        cc = (of_means - of_mean) / (of_means + of_mean)
    good = (n > 1.5) & np.isfinite(cc)
    weight = np.where(good, n, 0.0)
    total = weight.sum(axis=1)
    mean = np.sum(weight * np.where(good, cc, 0.0), axis=1) / np.where(total > 0.0, total, 1.0)
    return np.where(total > 0.0, mean, np.nan)


def image_cc(
    image: NDArray[np.integer], intensity: Floats, reference: Floats, images: int, *, min_common: int = 10
) -> Floats:
    """float64 [images]: correlation of each image's intensities to those of a reference; NaN below `min_common`."""
    good = np.isfinite(intensity) & np.isfinite(reference)
    who, x, y = image[good], intensity[good], reference[good]
    n = np.bincount(who, minlength=images)
    whole = np.maximum(n, 1)
    x = x - (np.bincount(who, x, images) / whole)[who]
    y = y - (np.bincount(who, y, images) / whole)[who]
    xx, yy, xy = (np.bincount(who, values, images) for values in (x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((n >= min_common) & (xx * yy > 0.0), xy / np.sqrt(xx * yy), np.nan)


@dataclass(frozen=True)
class _Reasons:
    of: dict[int, str] = field(default_factory=dict)

    def add(self, image: int, names: Sequence[str], reason: str) -> None:
        name = names[image] if image < len(names) else f"image {image}"
        self.of[image] = f"{self.of[image]}; {reason}" if image in self.of else f"{name}: {reason}"


def reject_images(
    *,
    delta: DeltaCCHalf | None = None,
    deviations: float = 4.0,
    scales: Scales | None = None,
    max_b: float | None = 100.0,
    cc: Floats | None = None,
    min_cc: float | None = None,
    names: Sequence[str] = (),
) -> dict[int, str]:
    """Images to leave out of merging, and why, with their names. Nothing is rejected that is not asked for.

    Parameters
    ----------
    delta, deviations
        Reject where delta-CC1/2 is below its mean - `deviations` standard deviations (4 as in xia2 and
        dials.compute_delta_cchalf; CrystFEL takes 2) and negative. On homogeneous data this throws good images away.
    scales, max_b
        Reject where |B| is above `max_b` angstrom^2 (100 as in CrystFEL), B relative to the median image.
    cc, min_cc
        Reject where the correlation to a reference is below `min_cc` (`image_cc`).

    Raises
    ------
    SettingError
        When a limit makes no sense.
    """
    reasons = _Reasons()
    if delta is not None:
        if not deviations > 0.0:
            raise SettingError(f"deviations is {deviations!r}, expected a number above 0")
        limit = delta.threshold(deviations)
        for number in np.flatnonzero(delta.delta < limit):
            value = f"CC1/2 is {-delta.delta[number]:.2g} higher without it (limit {-limit:.2g})"
            reasons.add(int(number), names, value)
    if scales is not None and max_b is not None:
        middle = float(np.nanmedian(scales.b)) if np.isfinite(scales.b).any() else 0.0
        for number in np.flatnonzero(np.abs(scales.b - middle) > max_b):
            reasons.add(
                int(number), names, f"B {scales.b[number]:.0f} angstrom^2 (median {middle:.0f}, limit {max_b:g})"
            )
    if cc is not None and min_cc is not None:
        if not -1.0 <= min_cc <= 1.0:
            raise SettingError(f"min_cc is {min_cc!r}, expected a correlation")
        for number in np.flatnonzero(cc < min_cc):
            reasons.add(int(number), names, f"correlation {cc[number]:.2f} to the reference (limit {min_cc:g})")
    return dict(sorted(reasons.of.items()))
