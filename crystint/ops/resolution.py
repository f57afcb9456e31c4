"""To which spacing the spots of a frame are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DetectedArea", "outermost"]

_LEAST_SPURIOUS = 0.5
"""spots of a frame, besides those of noise, that may be something else than the crystal: a hot pixel, a zinger, salt"""
LEAST_SPOTS = 10
"""fewer tell nothing"""


class DetectedArea:
    """How much of the detector lies within a spacing: the area where spots were looked for.

    Parameters
    ----------
    q : float64 [rings]
        1/angstrom, of the ring centres, ascending; NaN where the wavelength is unknown.
    pixels : float64 [rings]
        That are not masked.
    """

    def __init__(self, q: NDArray[np.float64], pixels: NDArray[np.float64]) -> None:
        centre = np.concatenate([0.5 * (q[1:] + q[:-1]), q[-1:] + 0.5 * np.diff(q[-2:])]) if len(q) > 1 else 1.5 * q
        first = max(0.0, q[0] - 0.5 * (q[1] - q[0])) if len(q) > 1 else 0.5 * q[0]
        self._q = np.concatenate([[first], centre])
        self._inside = np.concatenate([[0.0], np.cumsum(pixels)])
        self.in_spacings = bool(np.isfinite(q).all() and self._inside[-1] > 0)

    def share(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Part of the area at spacings above `d`, angstrom: 0 to 1."""
        with np.errstate(divide="ignore"):
            q = 2.0 * np.pi / d
        return np.asarray(np.interp(q, self._q, self._inside) / self._inside[-1])

    def spacing(self, share: float) -> float:
        """The inverse of `share`."""
        return float(2.0 * np.pi / np.interp(share * self._inside[-1], self._inside, self._q))


def outermost(share: NDArray[np.float64], spurious: float = 0.0) -> tuple[float, int]:
    """The part of the detector's area on which a crystal shows spots.

    Spots of a crystal are spread over the detector out to a limit U; a few others, a share e of all, over the whole of
    it. Their density, per area, is (1 - e) / U + e inside and e outside. U is where the likelihood of the spots that
    are there is largest. The outermost of n spots that are spread evenly is at n / (n + 1) of the limit, on average.

    Parameters
    ----------
    share : float64 [spots]
        Of the area that lies within the spacing of each spot.
    spurious : float
        Spots that are expected to be of noise.

    Returns
    -------
    limit : float
        0 to 1.
    spots : int
        That are within it.
    """
    ordered = np.maximum(np.sort(share), 1e-12)
    n = len(ordered)
    odd = min((spurious + _LEAST_SPURIOUS) / n, 0.5)
    inside = np.arange(1, n + 1)
    likelihood = inside * np.log((1.0 - odd) / ordered + odd) + (n - inside) * np.log(odd)
    best = int(np.argmax(likelihood[n // 2 :])) + n // 2  # at most half of them are spurious
    return min(float(ordered[best]) * (best + 2) / (best + 1), 1.0), best + 1
