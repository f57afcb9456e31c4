"""Structure factor amplitudes from intensities, negative ones included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.model import symmetry
from crystint.model.facts import counted, range_text

__all__ = ["Amplitudes", "french_wilson", "posterior", "shell_means"]


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Posterior means and standard deviations; NaN where the intensity, its sigma or the prior is not known.

    Made by `french_wilson`.
    """

    amplitude: Floats
    """float64 [n]"""
    sigma_amplitude: Floats
    """float64 [n]: of the amplitude"""
    intensity: Floats
    """float64 [n], never negative"""
    sigma_intensity: Floats
    """float64 [n]: of the intensity"""
    expected: Floats
    """float64 [n]: mean intensity of the prior, epsilon included"""

    def __repr__(self) -> str:
        values = np.count_nonzero(np.isfinite(self.amplitude))
        return f"<Amplitudes: {values} of {counted(len(self.amplitude), 'reflection')}>"

    def _repr_html_(self) -> str:
        facts = {
            "reflections": len(self.amplitude),
            "with an amplitude": int(np.count_nonzero(np.isfinite(self.amplitude))),
            "amplitudes": range_text(self.amplitude) or None,
            "their errors": range_text(self.sigma_amplitude) or None,
        }
        return html_table("Amplitudes", facts)


def posterior(intensity: Floats, sigma: Floats, expected: Floats, centric: NDArray[np.bool_]) -> Amplitudes:
    """Bayesian estimate of true intensities J >= 0 and amplitudes sqrt(J).

    The prior is Wilson's, exp(-J / S) / S for acentric and exp(-J / 2 S) / sqrt(2 pi S J) for centric reflections;
    the measured intensity is Gaussian about J. With t^2 = J / sigma and h = I / sigma - sigma / S (acentric) or
    I / sigma - sigma / 2 S (centric), the posterior of t is t exp(-(t^2 - h)^2 / 2), or the same without the factor
    t: smooth, on a range that is known for every h, so that a Gauss-Legendre rule of 64 points gives the moments
    to 1e-9 for any I / sigma. Without that trick (French & Wilson's tables) values below -4 sigma are lost.

    Source: French & Wilson (1978), Acta Cryst. A34, 517.

    Parameters
    ----------
    intensity, sigma, expected : float64 [n]
        `expected` is S: the mean true intensity of such reflections, epsilon included.
    centric : bool [n]

    Raises
    ------
    ShapeError
        When the columns differ in length.
    """
    if not len(intensity) == len(sigma) == len(expected) == len(centric):
        raise ShapeError("intensity, sigma, expected and centric differ in length")
    n = len(intensity)
    moments = np.full((4, n), np.nan)
    good = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0.0) & np.isfinite(expected) & (expected > 0.0)
    rows = np.flatnonzero(good)
    for first in range(0, len(rows), _BLOCK):
        at = rows[first : first + _BLOCK]
        unit = sigma[at]
        h = intensity[at] / unit - unit / (expected[at] * np.where(centric[at], 2.0, 1.0))
        moments[:, at] = _moments(h, centric[at]) * np.stack([np.sqrt(unit), np.sqrt(unit), unit, unit])
    return Amplitudes(moments[0], moments[1], moments[2], moments[3], expected)


def _moments(h: Floats, centric: NDArray[np.bool_]) -> Floats:
    """float64 [4, n]: mean and standard deviation of t and of t^2."""
    # beyond these the posterior is below exp(-40) of its maximum
    with np.errstate(over="ignore"):
        high = np.sqrt(np.where(h > 0.0, h + 9.0, 80.0 / (np.sqrt(h * h + 80.0) - np.minimum(h, 0.0))))
    low = np.sqrt(np.maximum(h - 9.0, 0.0))
    half = 0.5 * (high - low)
    t = low[:, None] + half[:, None] * (1.0 + _NODES)
    square = t * t
    top = np.maximum(h, 0.0)[:, None]
    # -(t^2 - h)^2 / 2, less its maximum: for h < 0 that is at t = 0
    exponent = -0.5 * (square - top) * (square - top - 2.0 * np.minimum(h, 0.0)[:, None])
    density = _WEIGHTS * np.exp(exponent) * np.where(centric[:, None], 1.0, t)
    density /= density.sum(axis=1)[:, None]
    mean_t, mean_j = (density * t).sum(axis=1), (density * square).sum(axis=1)
    spread_t = (density * (t - mean_t[:, None]) ** 2).sum(axis=1)
    spread_j = (density * (square - mean_j[:, None]) ** 2).sum(axis=1)
    return np.stack([mean_t, np.sqrt(spread_t), mean_j, np.sqrt(spread_j)])


def shell_means(intensity: Floats, sigma: Floats, d: Floats, epsilon: NDArray[Any], *, per_shell: int = 200) -> Floats:
    """float64 [n]: mean of intensity / epsilon expected at the resolution of each reflection.

    Means over shells of about `per_shell` reflections, interpolated linearly in their logarithm over 1 / d^2; a
    shell without signal gets its mean's standard error, since the prior needs a number above 0.
    """
    usable = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0.0) & (d > 0.0)
    if not usable.any():
        return np.full(len(intensity), np.nan)
    with np.errstate(divide="ignore"):
        x = 1.0 / np.square(d)
    order = np.flatnonzero(usable)[np.argsort(x[usable], kind="stable")]
    parts = np.array_split(order, max(1, min(60, len(order) // per_shell)))
    value = intensity / epsilon
    middle = np.array([x[part].mean() for part in parts])
    level = np.array([value[part].mean() for part in parts])
    least = np.array([np.sqrt(np.sum((sigma[part] / epsilon[part]) ** 2)) / len(part) for part in parts])
    return np.asarray(np.exp(np.interp(x, middle, np.log(np.maximum(level, least)))))


def french_wilson(
    hkl: NDArray[np.int32],
    intensity: Floats,
    sigma: Floats,
    *,
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
) -> Amplitudes:
    """Amplitudes of merged intensities, with Wilson's prior from the means of resolution shells.

    Parameters
    ----------
    hkl : int32 [n, 3]
    intensity, sigma : float64 [n]
        I(+) and I(-) are treated apart by two calls. NaN stays NaN.
    cell, space_group
        Of the merged data; `cell` in angstrom and degrees.

    Returns
    -------
    Amplitudes
        `amplitude` and `sigma_amplitude`, float64 [n], in the square root of the intensities' unit.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> merged = stills.merge(observations, space_group=group, cell=data.experiment.cell)
    >>> f = stills.french_wilson(
    ...     merged.hkl, merged.intensity, merged.sigma, cell=data.experiment.cell, space_group=group
    ... )
    >>> bool((f.amplitude > 0).all())
    True
    """
    epsilon = symmetry.epsilon(hkl, space_group)
    expected = epsilon * shell_means(intensity, sigma, symmetry.spacing(hkl, cell), epsilon)
    return posterior(intensity, sigma, expected, symmetry.centric(hkl, space_group))
