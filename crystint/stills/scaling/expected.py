"""The variance an intensity is expected to have: that of its background, and that of the signal of the model.

Weights from observed counts favour what fluctuated downwards: every fit and every mean comes out low, and the more so
the weaker the data. So the part of the recorded variance that came from the observed signal is taken out and the
signal of the model put in:

    v = a (v_0 + g max(y, 0) + (k y)^2) + (b y)^2

with v_0 the variance without signal, g the variance per unit of signal ("gain"), k the column `profile_error`, y the
model and a, b the error model.

v_0 is the column `background_variance` where it is known, else sigma^2 - g max(J, 0), not below a floor (the lowest
percent of the recorded variances). What g is depends on where the intensities come from:

- summed counts of a counting detector: 1, exactly;
- profile fitting with weights from expected variances: between 4/3 (J far below the background) and 1 (far above);
  1 / sum P^2/(B + J P) of a Gaussian spot in closed form is `profile_variance`, and v_0 + J is never more than 11 %
  below it;
- an integrating detector, or a file whose intensities were rescaled: anything.

So g is measured where it is not given: from (sigma^2 - v_0) / J of strong observations (median) where v_0 is known,
else from the lower edge (5th percentile) of sigma^2 / J of strong ones, below which none is when v_0 >= 0. A file
whose sigmas hold an error model already, (b J)^2 of the observed J, keeps that part in v_0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.observations import Observations

__all__ = ["SignalVariance", "profile_variance"]

_STRONG = 5.0
"""J / sigma from which an observation says something about the variance of signal"""
_ENOUGH = 20
"""strong observations needed to measure the gain"""
_EDGE = 0.05
_FLOOR = 0.01
"""quantile of the recorded variances that serves as the least variance without signal"""


@dataclass(frozen=True, eq=False)
class SignalVariance:
    """What is known of the variances of some observations, with the observed signal taken out."""

    without_signal: Floats
    """float64 [n], counts^2"""
    gain: float
    """counts^2 per count of signal"""
    profile_error: NDArray[np.floating] | None = None
    """float [n]: error that is a share of the signal; None = there is none"""

    @classmethod
    def of(cls, observations: Observations, gain: float | None = None) -> SignalVariance:
        """Take the observed signal out of the variances of all observations.

        Parameters
        ----------
        observations
            Rows that are not usable give values that are not either; they do no harm to the others.
        gain : optional
            Variance per count of signal; None = measured.

        Raises
        ------
        SettingError
            When `gain` is negative or not finite.
        """
        if gain is not None and not (np.isfinite(gain) and gain >= 0.0):
            raise SettingError(f"gain is {gain!r}, expected a number, 0 or more (1 for counted photons)")
        intensity, background_variance = observations.intensity, observations.background_variance
        share = observations.profile_error if observations.profile_error.any() else None
        recorded = observations.sigma**2
        if share is not None:
            recorded = recorded - (share * np.maximum(intensity, 0.0)) ** 2
        measured = observations.usable
        if gain is None:
            gain = _gain(intensity[measured], recorded[measured], background_variance[measured])
        with np.errstate(invalid="ignore"):
            rest = recorded - gain * np.maximum(intensity, 0.0)
            least = float(np.quantile(recorded[measured], _FLOOR)) if measured.any() else 0.0
            rest = np.maximum(rest, least)
            return cls(np.where(background_variance > 0.0, background_variance, rest), gain, share)

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> SignalVariance:
        """Those of some rows."""
        share = None if self.profile_error is None else self.profile_error[rows]
        return SignalVariance(self.without_signal[rows], self.gain, share)

    def expected(self, model: Floats, a: float = 1.0, b: float = 0.0) -> Floats:
        """Variance, counts^2, of observations whose signal is `model`, counts (see the head of this module)."""
        signal = np.maximum(model, 0.0)
        variance = self.without_signal + self.gain * signal
        if self.profile_error is not None:
            variance = variance + (self.profile_error * signal) ** 2
        variance = a * variance
        return np.asarray(variance + (b * signal) ** 2) if b else np.asarray(variance)


def _gain(intensity: Floats, recorded: Floats, background_variance: Floats) -> float:
    strong = intensity > _STRONG * np.sqrt(recorded)
    with np.errstate(invalid="ignore"):
        split = strong & (background_variance > 0.0) & (recorded > background_variance)
    if np.count_nonzero(split) >= _ENOUGH:
        return float(np.median((recorded[split] - background_variance[split]) / intensity[split]))
    if np.count_nonzero(strong) >= _ENOUGH:
        return float(np.quantile(recorded[strong] / intensity[strong], _EDGE))
    return 1.0


def profile_variance(signal: Floats, without_signal: Floats) -> Floats:
    """Variance of a profile-fitted Gaussian spot of `signal` photons, fitted with weights from expected variances.

    1 / integral of P^2 / (B + J P) with P = exp(-r^2/R^2) / (pi R^2); without signal that is 2 pi R^2 B = v_0, and

        variance = J / (1 - ln(1 + z) / z),  z = 2 J / v_0.

    Parameters
    ----------
    signal, without_signal : float [n]
        J in photons (not below 0 is used) and v_0 in photons^2, above 0.
    """
    z = 2.0 * np.maximum(signal, 0.0) / without_signal
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = 0.5 * z / (1.0 - np.log1p(z) / z)
    series = 1.0 + 2.0 / 3.0 * z
    return np.asarray(without_signal * np.where(z < 1e-4, series, exact))
