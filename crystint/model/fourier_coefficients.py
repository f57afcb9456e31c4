"""Fourier coefficients of angular correlations, with their errors and what the noise of pixels adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats

__all__ = ["FourierCoefficients"]


@dataclass(frozen=True, slots=True, eq=False)
class FourierCoefficients:
    """C_n of C(lag) = sum over n of C_n exp(i n lag), n = 0 .. most, of each row. Made by `coefficients_of`."""

    values: NDArray[np.complex128]
    """complex128 [rows, most + 1]: C_n; noise is in them"""
    error: Floats
    """float64 [rows, most + 1]: standard errors of the real parts, from the spread between exposures; NaN for a single
    exposure, and beyond n = 32"""
    noise: Floats
    """float64 [rows, most + 1]: the part of C_n that the noise of pixels makes; 0 for two rings that share no pixel,
    NaN where it cannot be told"""
