"""Constants and conversions, each written once.

Lengths in metres, wavelength in angstrom, energy in eV, angles in radians.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

HC = 12398.419843320026
"""h c / e in eV angstrom, from the exact SI values of h, c and e (CODATA 2018)."""


def wavelength_of(energy: float) -> float:
    """Wavelength in angstrom of a photon of `energy` eV."""
    return HC / energy


_ELECTRON_REST = 510998.95
"""m c^2 / e of the electron, V (CODATA 2018)."""


def electron_wavelength(voltage: float) -> float:
    """Wavelength in angstrom of an electron that `voltage` V accelerated: h / p of its relativistic momentum."""
    return HC / math.sqrt(voltage * (voltage + 2.0 * _ELECTRON_REST))


def energy_of(wavelength: float) -> float:
    """Energy in eV of a photon of `wavelength` angstrom."""
    return HC / wavelength


def q_of(two_theta: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """Momentum transfer 4 pi sin(theta) / lambda in 1/angstrom."""
    return np.asarray(4.0 * np.pi / wavelength * np.sin(0.5 * np.asarray(two_theta, dtype=np.float64)))


def d_of(two_theta: ArrayLike, wavelength: float) -> NDArray[np.float64]:
    """Spacing lambda / (2 sin(theta)) in angstrom; infinite on the beam."""
    with np.errstate(divide="ignore"):
        return np.asarray(0.5 * wavelength / np.sin(0.5 * np.asarray(two_theta, dtype=np.float64)))


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def readable_size(nbytes: float) -> str:
    """12 B, 3.4 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"
