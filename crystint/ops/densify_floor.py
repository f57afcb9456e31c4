"""The lowest background that a separation of a densified frame may find.

Noise below the threshold of that background is not picked when the frame is separated anew. A ring's mean comes back
with its standard error, which for counts is one half in the square root of their number; the excess variance phi comes
back with a standard error of phi sqrt(3 / n), a few percent lower because the noise ends at the threshold, and never
below 1.
"""

from __future__ import annotations

from math import erfc, exp, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import Background
from crystint.model.valid_values import fewest_counts

__all__ = ["lowest_table", "noise_below", "noise_ends", "settled_afterwards"]

_SIGMAS = 6.0
"""standard errors that a ring may come back lower by"""
_SNR = 2.5
"""smallest SNR_pick at which noise is a small part of what is picked"""
_COUNTS = 0.2
"""smallest mean at which a step of one in the limit costs the variance less than 4 %"""
_PHOTONS = 150.0
"""smallest number of counts in a ring whose standard error is small"""
_FEW = 64
"""rings of fewer pixels get no noise: clipping may leave as good as nothing of it, whatever the standard error"""
_SHARE = 0.02
"""largest share of pixels in rings of less than these"""


def noise_below(snr: float) -> float:
    """Where the noise of a densified frame ends, in sigma.

    0.01 below SNR_pick, so that a later rounding of the normalization does not matter.
    """
    return max(snr - 0.01, 0.5 * snr)


def _ends(k: float) -> tuple[float, float]:
    """What a Gaussian that ends at k loses of its mean, in sigma, and of its variance, relative."""
    lost = exp(-0.5 * k * k) / sqrt(2.0 * pi) / (1.0 - 0.5 * erfc(k / sqrt(2.0)))
    return lost, k * lost + lost * lost


def settled_afterwards(
    background: Background, table: NDArray[np.float32], k: float, dtype: np.dtype[Any]
) -> NDArray[np.bool_] | None:
    """Rings of so few counts that the threshold of `lowest_table` would harm their statistics; None = it always would.

    Their noise ends at their own threshold, and `FewCounts` looks at what was drawn. Where noise cannot end at the
    threshold of `lowest_table` in the other rings either without harm, the new frame has to be separated.

    Parameters
    ----------
    table : float32 [rings, 4]
        As `ring_table`.
    k : float
        SNR_pick.
    dtype : dtype
        Of the frame.

    Returns
    -------
    bool [rings] or None
    """
    mean, phi, other = table[:, 0], table[:, 1], table[:, 2]
    if background.error_model == "azimuthal" or k < _SNR or np.nanmax(other, initial=0.0) > 0.0:
        return None
    count = np.nan_to_num(background.count)
    poor = (mean < _COUNTS) | (mean * count < _PHOTONS * phi) | (count < _FEW)
    few = poor & (mean < _COUNTS) & (count >= _FEW)
    rings, most = background.rings, _SHARE * count.sum()
    if count[poor].sum() <= most or dtype.kind == "f" or rings.dark is not None or fewest_counts(dtype, rings.valid):
        few[:] = False
    return few if count[poor & ~few].sum() <= most else None


def noise_ends(
    background: Background, table: NDArray[np.float32], k: float, dtype: np.dtype[Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """The table at whose threshold the noise of each ring ends, and `settled_afterwards`; parameters as there."""
    few = settled_afterwards(background, table, k, dtype)
    if few is None:
        return table, None
    return np.where(few[:, None], table, lowest_table(background, table, k)), few


def lowest_table(background: Background, table: NDArray[np.float32], k: float) -> NDArray[np.float32]:
    """Mean and phi of each ring as a new separation finds them at least, in the form of `ring_table`.

    For backgrounds that allow it (`settled_afterwards`). The last column is 2 in rings of a few pixels: they get no
    noise.

    Returns
    -------
    float32 [rings, 4]
    """
    lowest = table.copy()
    mean, phi = np.maximum(table[:, 0], 1e-6), table[:, 1]
    count = np.maximum(np.nan_to_num(background.count), 1.0).astype(np.float32)
    lost, narrower = _ends(k)
    spread = np.sqrt(mean * phi)
    root = np.maximum(np.sqrt(mean) - 0.5 * _SIGMAS * np.sqrt(phi / count), 0.0)
    lowest[:, 0] = np.maximum(root * root - lost * spread - 0.5 * erfc(k / sqrt(2.0)), 0.0)
    keep = 1.0 - _SIGMAS * np.sqrt(3.0 / count) - 1.5 * narrower
    few = mean < 2.0  # phi is that of all pixels there, and steps of one make it come back lower
    lowest[:, 1] = np.where(few, 1.0, np.maximum(phi * keep, 1.0))
    quiet = count < _FEW
    lowest[quiet, 0] = np.maximum(mean[quiet] - 0.51, 0.0)
    lowest[quiet, 1], lowest[quiet, 3] = 1.0, 2.0
    lowest[np.isnan(table[:, 0])] = np.nan
    return lowest
