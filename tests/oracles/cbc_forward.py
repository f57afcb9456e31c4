"""Convergent-beam streaks the slow way: incident rays that satisfy Laue's condition, traced to the detector.

Formulas only, nothing of crystint. Lengths of vectors in units of 1/wavelength. A ray u from the focus (0, 0, 0) meets
the crystal's plane z = defocus at p = u defocus / u_z; diffracted into k = u + g, it meets the detector's plane
z = distance at p + k (distance - defocus) / k_z. Diffraction: |u + g| = |u| = 1.
"""

import numpy as np
from scipy.optimize import brentq


def incident(across, g, aperture, along):
    """Unit vectors of the pupil with u[across] given that diffract: the roots of u g + g^2 / 2 in the other one."""
    other = 1 - across

    def ray(value):
        u = np.zeros(3)
        u[across], u[other] = along, value
        u[2] = np.sqrt(1.0 - u[0] ** 2 - u[1] ** 2)
        return u

    def excitation(value):
        return ray(value) @ g + 0.5 * g @ g

    if excitation(-aperture) * excitation(aperture) > 0.0:
        return None
    return ray(brentq(excitation, -aperture, aperture, xtol=1e-14))


def hit(u, g, distance, defocus, pixel, shape):
    """Pixel (x, y), fractional, where the ray goes; the focus is opposite the middle of the detector [slow, fast]."""
    k = u + g
    place = u[:2] / u[2] * defocus + k[:2] / k[2] * (distance - defocus)
    return place / pixel + 0.5 * np.array([shape[1], shape[0]])


def streak(g, aperture, distance, defocus, pixel, shape, points=121):
    """Rays [m, 3] and pixels [m, 2] along the streak of g; [0] where it has none."""
    across = int(np.argmin(np.abs(g[:2])))
    rays = [incident(across, g, aperture, along) for along in np.linspace(-aperture, aperture, points)]
    rays = [u for u in rays if u is not None]
    if not rays:
        return np.zeros((0, 3)), np.zeros((0, 2))
    return np.array(rays), np.array([hit(u, g, distance, defocus, pixel, shape) for u in rays])


def gauss(distance, width):
    """f^2 of the profile gauss: 1 in the middle, 0 from (width + 1) / 2 on."""
    half = (width + 1.0) / 2.0
    value = 1.018657 * (np.exp(-4.0 * (distance / half) ** 2) - 0.0183156)
    return np.where(np.abs(distance) < half, np.maximum(value, 0.0), 0.0)


def expected(rows, background):
    """lambda of each pixel: a dictionary of (frame, y, x), from rows (frame, y, x, q2, chi, f2, intercept)."""
    total = {}
    for frame, y, x, q2, chi, f2, intercept in rows:
        total[frame, y, x] = total.get((frame, y, x), background[frame, y, x]) + q2 * chi * f2 + intercept
    return total


def equivalents(hkl, rotations, friedel):
    """The set of indices that rotations [m, 3, 3] (and the inversion) turn hkl into: h' = h R."""
    found = {tuple(int(v) for v in np.asarray(hkl) @ r) for r in rotations}
    return found | {tuple(-v for v in one) for one in found} if friedel else found
