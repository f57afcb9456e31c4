"""What one reflection puts into one pixel of a still: the formulas, one after the other, for a single reflection.

r = A h, s1 = s0 + r; a pixel at x (m) has u = x / |x|, q = u / lambda - s0, dq = q - r;
excitation error |s1| - 1/lambda; tangential vector t = dq - (dq.u) u; the profile is exp(-|t|^2 / R1^2).
"""

from __future__ import annotations

import numpy as np


def excitation(setting, s0, hkl):
    return float(np.linalg.norm(s0 + setting @ np.asarray(hkl, float)) - np.linalg.norm(s0))


def excited(setting, s0, d_min, reach):
    """Every index triple within `reach` (1/angstrom) of the sphere, by trying all of a cube."""
    real = np.linalg.inv(setting)
    limits = [int(np.ceil(np.linalg.norm(axis) / d_min)) for axis in real]
    found = []
    for h in range(-limits[0], limits[0] + 1):
        for k in range(-limits[1], limits[1] + 1):
            for l in range(-limits[2], limits[2] + 1):  # noqa: E741
                r = setting @ np.array([h, k, l], float)
                if (
                    (h or k or l)
                    and np.linalg.norm(r) <= 1 / d_min
                    and abs(excitation(setting, s0, (h, k, l))) <= reach
                ):
                    found.append((h, k, l))
    return found


def profile(setting, s0, hkl, place, width, ratio=1.0):
    """exp(-(t_radial^2 / Rr^2 + t_tangential^2 / Rt^2)) at places [..., 3], m; Rr / Rt = ratio, Rr Rt = width^2."""
    r = setting @ np.asarray(hkl, float)
    s1 = s0 + r
    ray = s1 / np.linalg.norm(s1)
    across = np.cross(ray, s0)
    across /= np.linalg.norm(across)
    radial = np.cross(across, ray)
    out = np.zeros(place.shape[:-1])
    for index in np.ndindex(out.shape):
        u = place[index] / np.linalg.norm(place[index])
        dq = np.linalg.norm(s0) * u - s0 - r
        t = dq - (dq @ u) * u
        # the two components are taken across the predicted ray; |t| is |s1| times the sine between u and the ray
        turned = np.linalg.norm(s1) * u
        one, two = turned @ radial, turned @ across
        assert abs(np.hypot(one, two) - np.linalg.norm(t)) < 1e-9
        out[index] = np.exp(-(one**2 / (width**2 * ratio) + two**2 * ratio / width**2))
    return out


def box_variance(profile, signal, background, ring):
    """Variance of the weighted amplitude sum P (c - b) / v / sum P^2 / v, v = b + J P; b the mean of `ring` pixels."""
    v = background + signal * profile
    information = np.sum(profile**2 / v)
    return 1 / information + (np.sum(profile / v) / information) ** 2 * background / ring
