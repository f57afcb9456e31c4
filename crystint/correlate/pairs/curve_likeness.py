"""How exposures are compared for pairing: by smooth curves, as far as these are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.correlate.defaults import HARMONICS
from crystint.correlate.polar.curves import harmonic_design
from crystint.errors import SettingError, ShapeError

__all__ = ["Likeness", "likeness"]


_RIDGE = 1e-4
"""of a coefficient against a sample: holds curves down where a gap leaves them undetermined"""
_ERRORS = 4.0
"""errors of a curve within which two exposures count as equally alike"""


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Exposures as points whose distances are those of their curves. Made by `likeness`."""

    points: Floats
    """float64 [exposures, terms]: mean, and cosine and sine of each harmonic, by which two curves differ along n
    samples; NaN without enough data"""
    errors: Floats
    """float64 [exposures]: standard error of the distance of each from its true curve"""

    @property
    def alike(self) -> float:
        """The distance up to which exposures are equally alike, as `pair_exposures` takes
        it: what lies below is leakage and noise, and choosing by it would choose exposures whose signal is alike."""
        finite = self.errors[np.isfinite(self.errors)]
        return _ERRORS * float(np.median(finite)) if finite.size else 0.0


def likeness(
    values: NDArray[Any], good: NDArray[np.bool_] | None = None, *, harmonics: int = HARMONICS, guard: int = 12
) -> Likeness:
    """Compare exposures by the lowest harmonics of a ring.

    Through gaps, harmonics that are not fitted leak into those that are. Exposures that are paired because these are
    alike have signals that are alike, too, and their differences lack it. Two things are done: harmonics above those
    compared are fitted as well (guard), so that they need not leak, and then left aside; and what all others together
    add to the curve, from the power of the residual at each frequency, is taken as its error, up to a few of which
    exposures count as equally alike.

    Parameters
    ----------
    values : real [exposures, n]
        One ring of each; NaN and infinities are no data.
    good : bool [exposures, n] or [n], optional
        False = no data.
    harmonics : int
        Highest harmonic compared.
    guard : int
        So many more are fitted; fewer where there are less than three values for each coefficient.

    Returns
    -------
    Likeness
        `points` for `pair_exposures`, and the distance `alike` up to which exposures count as equally alike.

    Raises
    ------
    ShapeError, SettingError
        For other shapes and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> like = correlate.likeness(data.values[:, 0], harmonics=3)
    >>> correlate.pair_exposures(like.points, "optimal", alike=like.alike).pairs.shape
    (10, 2)
    """
    rings = np.asarray(values, dtype=np.float64)
    if rings.ndim != 2 or not rings.shape[1]:
        raise ShapeError(f"values is {rings.shape}, expected (exposures, n)")
    n = rings.shape[1]
    if not 0 <= harmonics < (n + 1) / 2:
        raise SettingError(f"harmonics is {harmonics}, expected 0 or more, and fewer than half of {n} samples")
    if guard < 0:
        raise SettingError(f"guard is {guard}, expected 0 or more")
    use = np.isfinite(rings)
    if good is not None:
        good = np.asarray(good, dtype=np.bool_)
        if good.shape not in (rings.shape, (n,)):
            raise ShapeError(f"good is {good.shape}, expected {rings.shape} or {(n,)}")
        use &= good
    most = min(harmonics + guard, (n - 1) // 2)
    waves = np.ascontiguousarray(harmonic_design(np.arange(n, dtype=np.float64), n, most).T)
    size = np.array([math.sqrt(n)] + 2 * harmonics * [math.sqrt(0.5 * n)])  # of each curve along n samples
    points, errors = np.full((len(rings), len(size)), np.nan), np.full(len(rings), np.nan)
    for i, (ring, there) in enumerate(zip(rings, use, strict=True)):
        terms = min(len(waves), max(len(size), there.sum() // 6 * 2 - 1))
        if there.any():
            points[i], errors[i] = _compare(ring, there, waves[:terms], size)
    return Likeness(points, errors)


def _compare(ring: Floats, there: NDArray[np.bool_], waves: Floats, size: Floats) -> tuple[Floats, float]:
    # einsum does not share such small products out to threads, which on busy processors wait for one another
    n, count, terms = len(ring), int(there.sum()), len(waves)
    rows = np.where(there, waves, 0.0)
    normal = np.einsum("kn,ln->kl", rows, rows)
    normal[np.arange(1, terms), np.arange(1, terms)] += _RIDGE * count
    solution = np.linalg.inv(normal)
    mean = ring[there].mean()
    y = np.where(there, ring - mean, 0.0)
    coefficients = np.einsum("kl,l->k", solution, np.einsum("kn,n->k", rows, y))
    left = y - np.einsum("k,kn->n", coefficients, rows)
    coefficients[0] += mean
    # the power of what is left, harmonic by harmonic, passes through the fit as the data do; of the harmonics that were
    # fitted nothing is left, and their noise is that of the next ones: the median, which a strong signal does not raise
    power = np.square(np.abs(scipy.fft.rfft(left))) / (count * max(1.0 - terms / count, 1.0 / count))
    top = terms // 2
    if top + 1 < len(power):
        power[: top + 1] = np.median(power[top + 1 : 4 * top + 10]) / math.log(2.0)
    power[1 : (n + 1) // 2] *= 2.0
    # what each sample adds to each coefficient, its spectrum, and the power that passes
    added = scipy.fft.rfft(np.einsum("kl,ln->kn", solution[: len(size)], rows), axis=1)
    passed = np.einsum("kn,n,k->", np.square(np.abs(added)), power, np.square(size)) / n
    return coefficients[: len(size)] * size, math.sqrt(float(passed))
