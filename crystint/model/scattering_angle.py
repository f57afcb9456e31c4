"""Angles of scattering, and between scattering vectors of two points of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from crystint.arrays import Floats
from crystint.errors import SettingError

__all__ = ["cos_psi", "half_scattering_angle"]


def half_scattering_angle(q: ArrayLike, wavelength: float) -> Floats:
    """Theta, rad, half the angle of scattering: asin(q wavelength / 4 pi); q in 1/angstrom, wavelength in angstrom.

    Parameters
    ----------
    q : float
        1/angstrom.
    wavelength : float
        angstrom.

    Returns
    -------
    float64
        rad, of the shape of `q`.

    Raises
    ------
    SettingError
        When the wavelength is not above 0, or no radiation of it is scattered to some q.

    Examples
    --------
    >>> from crystint import correlate
    >>> round(float(correlate.half_scattering_angle(2.0, 1.0)), 4)
    0.1598
    """
    if not 0.0 < wavelength < np.inf:
        raise SettingError(f"wavelength is {wavelength!r}, expected angstrom above 0")
    sine = np.asarray(q, dtype=np.float64) * wavelength / (4.0 * np.pi)
    if not (np.abs(sine) <= 1.0).all():
        raise SettingError(f"q is up to {np.max(q):g}, expected 0 to {4.0 * np.pi / wavelength:g} 1/angstrom")
    return np.asarray(np.arcsin(sine))


def cos_psi(lag: ArrayLike, theta1: ArrayLike, theta2: ArrayLike | None = None) -> Floats:
    """Cosine of the angle psi between the scattering vectors of two points a lag apart on two rings.

    cos psi = cos(lag) cos(theta1) cos(theta2) + sin(theta1) sin(theta2). Scattering vectors lie theta off the plane
    across the beam, on the Ewald sphere. All in rad; the arrays broadcast; without theta2 it is theta1.

    Parameters
    ----------
    lag : float
        rad.
    theta1, theta2 : float
        Half the scattering angles of the two rings, rad.

    Returns
    -------
    float64
        Of the shape that the arguments broadcast to.

    Examples
    --------
    >>> from crystint import correlate
    >>> round(float(correlate.cos_psi(3.141592653589793, 0.1)), 4)
    -0.9801
    """
    first = np.asarray(theta1, dtype=np.float64)
    second = first if theta2 is None else np.asarray(theta2, dtype=np.float64)
    cosine = np.cos(np.asarray(lag, dtype=np.float64)) * (np.cos(first) * np.cos(second))
    return np.asarray(np.clip(cosine + np.sin(first) * np.sin(second), -1.0, 1.0))
