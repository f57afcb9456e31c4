"""How improbable it is that so many spots lie so near to the nodes of a lattice by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

__all__ = ["FITTED", "RADII", "evidence", "orientations"]

RADII = np.array([0.4, 0.6, 0.9, 1.3, 2.0, 3.0, 4.5, 7.0]) * 1e-3
"""1/angstrom: distances from the nodes within which spots are counted"""
FITTED = 3
"""spots that are near their nodes because the lattice was fitted to them: nine parameters"""
_SHARE = 0.2
"""of reciprocal space within the radius: a larger one tells nothing"""


def orientations(length: float, q_max: float) -> float:
    """How many orientations of a lattice differ by an index of the spots farthest out: 8 pi^2 (length q_max)^3.

    Parameters
    ----------
    length : float
        The longest of the reduced basis, angstrom.
    q_max : float
        1/angstrom.
    """
    return 8.0 * np.pi**2 * max(length * q_max, 1.0) ** 3


def evidence(
    spots: ArrayLike,
    inside: NDArray[np.integer[Any]],
    volume: float,
    radii: NDArray[np.float64] = RADII,
    *,
    tried: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """-log10 of the chance that as many spots, thrown at random, lie as near to nodes of any of the lattices tried.

    The largest over the radii.

    Parameters
    ----------
    spots : int [...]
        n, of the frame.
    inside : int [..., radii]
        k of them within each radius of a node.
    volume : float
        Of the primitive cell, cubic angstrom.
    radii : float64 [radii]
        1/angstrom.
    tried : float
        Lattices among which it is the best, as `orientations`; the chance is so many times as large.

    Returns
    -------
    evidence, radius : float64 [...]
        0 and NaN where no radius tells anything.

    P(K >= k) of a binomial distribution with p = 4/3 pi rho^3 V, for the n - 3 spots and k - 3 that the fit leaves,
    by the bound of W. Feller, An Introduction to Probability Theory and Its Applications I (1968), VI.3:
    b(k) (k + 1)(1 - p) / (k + 1 - (n + 1) p).

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.index.evidence import evidence
    >>> value, radius = evidence(30, np.array([2, 5, 10, 15, 18, 18, 19, 19]), 240_000.0)
    >>> bool(value > 10), round(1e3 * float(radius), 6)
    (True, 1.3)
    """
    share = np.minimum(4.0 / 3.0 * np.pi * radii**3 * volume, 0.5)
    n = np.maximum(np.asarray(spots)[..., None] - FITTED, 0)
    k = np.minimum(np.maximum(inside - FITTED, 0), n)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + k * np.log(share) + (n - k) * np.log1p(-share)
        above = (k + 1) * (1.0 - share) / (k + 1 - (n + 1) * share)
        value = -(log + np.log(above)) / np.log(10.0)
    value = np.where((k > n * share) & (k > 0) & (share <= _SHARE), value, 0.0)
    best = value.argmax(axis=-1)
    most = np.take_along_axis(value, best[..., None], axis=-1)[..., 0]
    return np.maximum(most - np.log10(tried), 0.0), np.where(most > 0.0, radii[best], np.nan)
