"""The lowest background that a new separation may find in a densified frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from crystint.model.rings import Background

SIGMAS = 6.0


def lowest_table(background: Background, table: NDArray[np.float32], k: float) -> NDArray[np.float32]:
    from math import erfc, exp, pi, sqrt

    mean, phi, other, flag = table.astype(np.float64).T
    n = np.maximum(background.count, 1.0)
    tail = 0.5 * erfc(k / sqrt(2.0))
    lost = exp(-0.5 * k * k) / sqrt(2.0 * pi) / (1.0 - tail)
    narrower = min(1.5 * (k * lost + lost * lost), 1.0)
    positive = np.maximum(mean, 0.0)
    whole = positive * np.where(phi > 0, phi, 0.0) + other * other  # variance at w = 1
    error = SIGMAS * np.sqrt(whole / n)
    low = mean - error
    low = np.where(
        (other == 0) & (mean > 0), mean * np.square(np.maximum(0.0, 1.0 - 0.5 * error / np.maximum(mean, 1e-30))), low
    )
    low -= np.sqrt(whole) * lost + tail
    low = np.where(mean >= 0, np.where(other == 0, np.maximum(low, 0.0), low), low)
    keep = np.maximum(1.0 - SIGMAS * np.sqrt((3.0 + 1.0 / np.maximum(whole, 1e-3)) / n) - narrower, 0.0)
    phi_low = np.where(mean > 2.0, np.maximum(1.0, phi * keep), np.minimum(phi, 1.0))
    phi_low = np.where(phi > 0, phi_low, phi)
    with np.errstate(invalid="ignore"):
        other_low = np.sqrt(np.maximum(other * other - whole * (1.0 - keep), 0.0))
    return np.stack([low, phi_low, other_low, flag], axis=1).astype(np.float32)
