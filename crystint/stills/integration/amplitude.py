"""How many counts of a known profile lie on a known background: the amplitude of every reflection.

With the profile P (its sum over the whole reflection is 1), counts I and background B per pixel,

    J = sum P (I - B) / v  /  sum P^2 / v,        v = B + max(J_model, 0) P + noise^2

is the linear estimate of least variance when v is the *expected* variance of a pixel (Diamond 1969, Acta Cryst. A25,
43; Leslie 1999, Acta Cryst. D55, 1696). It is unbiased for every v that does not know the counts of its own
pixels. Weights from observed counts do know them: they cost about 1 / sum P^2 counts per reflection, whatever the
background. Its variance has the shot noise and that of the background itself, a mean over n pixels of a ring:

    var J = 1 / sum(P^2 / v) + (sum(P / v) / sum(P^2 / v))^2 (B + noise^2) / n

Without a model, J takes the place of J_model and is iterated, from even weights on. J stays unbiased, but then
its sigma rises with it, so that a mean weighted by 1 / sigma^2 is too low, by about 1 count whatever the
intensity: the variances to merge with are those of a model, or `background_variance` and the shot noise of a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError

__all__ = [
    "Amplitudes",
    "amplitudes",
    "box_sums",
    "combined",
]

BACKGROUND_FLOOR = 0.02
"""counts per pixel: no pixel is expected to hold fewer, however dark its ring is"""
ITERATIONS = 3
_ROWS = 128
"""reflections worked on together, so that their pixels stay in the cache"""


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Intensities and their variances. NaN for a reflection without a pixel, or without a background."""

    intensity: NDArray[np.float64]
    """float64 [n], counts"""
    variance: NDArray[np.float64]
    """float64 [n], counts^2: shot noise and background ring"""
    background_variance: NDArray[np.float64]
    """float64 [n], counts^2: `variance` as it would be without any signal"""

    def __len__(self) -> int:
        return len(self.intensity)


@dataclass(frozen=True, eq=False)
class _Given:
    """Checked arguments, as float64."""

    counts: NDArray[Any]
    profile: NDArray[np.float64]
    background: NDArray[np.float64]
    ring: NDArray[np.float64]
    """pixels of the background; NaN = none"""
    floor: NDArray[np.float64]
    """expected variance of a pixel without signal"""
    model: NDArray[np.float64]
    """expected intensity; NaN = not known"""

    @classmethod
    def of(
        cls,
        counts: NDArray[Any],
        profile: NDArray[np.float64],
        background: NDArray[np.floating],
        ring_pixels: NDArray[Any],
        model: NDArray[np.floating] | None,
        expected_background: NDArray[np.floating] | None,
        floor: float,
        noise: float,
    ) -> _Given:
        if not floor > 0.0:
            raise SettingError(f"background_floor is {floor!r}, expected a number above 0, in counts per pixel")
        if not noise >= 0.0:
            raise SettingError(f"noise is {noise!r}, expected a number, 0 or more, in counts")
        if counts.ndim != 2 or profile.shape != counts.shape:
            raise ShapeError(f"profile is {profile.shape}, expected {counts.shape}, reflections and pixels")
        n = len(counts)
        arrays = {
            "background": background,
            "ring_pixels": ring_pixels,
            "model": np.full(n, np.nan) if model is None else model,
            "expected_background": background if expected_background is None else expected_background,
        }
        columns: dict[str, NDArray[np.float64]] = {}
        for name, any_values in arrays.items():
            columns[name] = values = np.asarray(any_values, dtype=np.float64)
            if values.shape != (n,):
                raise ShapeError(f"{name} is {values.shape}, expected {(n,)}, one per reflection")
        ring = np.where(columns["ring_pixels"] > 0.0, columns["ring_pixels"], np.nan)
        expected = np.maximum(columns["expected_background"], floor) + noise * noise
        return cls(
            counts, np.asarray(profile, dtype=np.float64), columns["background"], ring, expected, columns["model"]
        )


def amplitudes(
    counts: NDArray[Any],
    profile: NDArray[np.float64],
    background: NDArray[np.floating],
    ring_pixels: NDArray[Any],
    *,
    model: NDArray[np.floating] | None = None,
    expected_background: NDArray[np.floating] | None = None,
    background_floor: float = BACKGROUND_FLOOR,
    noise: float = 0.0,
    iterations: int = ITERATIONS,
) -> Amplitudes:
    """Amplitudes of profiles, weighted by expected variances.

    Parameters
    ----------
    counts : number [n, pixels]
        Counts of the pixels of each reflection; any finite value where the profile is 0.
    profile : float64 [n, pixels]
        Share of the reflection in each pixel, 0 where a pixel is not to be used. Its sum is 1, or the share that is
        left when pixels are missing.
    background : float [n]
        Mean of the ring, counts per pixel; it is what is subtracted.
    ring_pixels : number [n]
        How many pixels that is the mean of; 0 gives NaN.
    model : float [n], optional
        Expected intensity, counts; below 0 counts as 0, NaN (and None) means not known: J itself is used.
    expected_background : float [n], optional
        Counts per pixel for v only; a value that knows of more than one ring makes weights that depend less on the
        noise of this one. None = `background`.
    background_floor : float
        The least that `expected_background` can be, counts per pixel.
    noise : float
        RMS of the detector's own noise, counts per pixel; 0 for one that counts photons.
    iterations : int
        Rounds of v from J where no model is known; 0 = even weights.

    Raises
    ------
    ShapeError, SettingError
        When arrays do not belong together, or a number is impossible.
    """
    if iterations < 0:
        raise SettingError(f"iterations is {iterations}, expected 0 or more")
    table = _Given.of(counts, profile, background, ring_pixels, model, expected_background, background_floor, noise)
    result = np.full((3, len(counts)), np.nan)
    for start in range(0, len(counts), _ROWS):
        rows = slice(start, start + _ROWS)
        _one_block(table, rows, iterations, result[:, rows])
    return Amplitudes(*result)


def _one_block(table: _Given, rows: slice, iterations: int, out: NDArray[np.float64]) -> None:
    profile, floor, model = table.profile[rows], table.floor[rows], table.model[rows]
    above = table.counts[rows] - table.background[rows, None]
    total, square = profile.sum(axis=1), np.einsum("ij,ij->i", profile, profile)
    weight = np.empty_like(profile)
    has_model = ~np.isnan(model)
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.einsum("ij,ij->i", profile, above) / square
        intensity, den, cross = even, square / floor, total / floor
        for _ in range(1 if has_model.all() else max(iterations, 1)):
            expected = np.maximum(np.where(has_model, model, intensity if iterations else 0.0), 0.0)
            np.multiply(profile, expected[:, None], out=weight)
            weight += floor[:, None]
            np.divide(profile, weight, out=weight)
            den = np.einsum("ij,ij->i", weight, profile)
            cross = weight.sum(axis=1)
            intensity = np.einsum("ij,ij->i", weight, above) / den
        out[0] = intensity
        ring = floor / table.ring[rows]
        out[1] = 1.0 / den + (cross / den) ** 2 * ring
        out[2] = floor / square + (total / square) ** 2 * ring
    out[:, ~(square > 0.0) | np.isnan(ring)] = np.nan


def box_sums(
    counts: NDArray[Any],
    profile: NDArray[np.float64],
    background: NDArray[np.floating],
    ring_pixels: NDArray[Any],
    *,
    model: NDArray[np.floating] | None = None,
    expected_background: NDArray[np.floating] | None = None,
    background_floor: float = BACKGROUND_FLOOR,
    noise: float = 0.0,
) -> Amplitudes:
    """Plain sums of the counts above background, for comparison with `amplitudes`.

    Over the m pixels where the profile is above 0, and divided by its sum f there (1, but for missing pixels):

        J = sum(I - B) / f,    var J = (m B + max(J_model, 0) f + m noise^2 + m^2 (B + noise^2) / n) / f^2

    Parameters and errors as `amplitudes`; without a model, J itself is used.
    """
    table = _Given.of(counts, profile, background, ring_pixels, model, expected_background, background_floor, noise)
    core = table.profile > 0.0
    pixels, share = core.sum(axis=1), table.profile.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.einsum("ij,ij->i", table.counts, core, dtype=np.float64) - pixels * table.background
        intensity = above / share
        expected = np.maximum(np.where(np.isnan(table.model), intensity, table.model), 0.0)
        dark = table.floor * pixels * (1.0 + pixels / table.ring) / share**2
        result = Amplitudes(intensity, dark + expected / share, dark)
    empty = ~(share > 0.0) | np.isnan(table.ring)
    for column in (result.intensity, result.variance, result.background_variance):
        column[empty] = np.nan
    return result


def combined(profile: Amplitudes, total: Amplitudes, model: NDArray[np.floating] | None = None) -> Amplitudes:
    """Both estimates in one.

    Parameters
    ----------
    profile, total : Amplitudes
        Of `amplitudes` and of `box_sums`, of the same reflections.
    model : float [n], optional
        Expected intensity, counts; NaN (and None) = that of the profile.
    """
    expected = profile.intensity if model is None else np.where(np.isnan(model), profile.intensity, model)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = total.background_variance / (total.background_variance + np.maximum(expected, 0.0))
        rest = np.where(np.isfinite(total.intensity) & np.isfinite(share), 1.0 - share, 0.0)

    def mixed(one: NDArray[np.float64], other: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
        return one + part * np.where(part > 0.0, other - one, 0.0)

    return Amplitudes(
        intensity=mixed(profile.intensity, total.intensity, rest),
        variance=mixed(profile.variance, np.maximum(total.variance, profile.variance), rest**2),
        background_variance=mixed(
            profile.background_variance,
            np.maximum(total.background_variance, profile.background_variance),
            rest**2,
        ),
    )
