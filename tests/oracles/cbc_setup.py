"""Incident rays of convergent-beam pixels, one row at a time, from the construction itself."""

from __future__ import annotations

import math


def unit(v):
    length = math.sqrt(sum(e * e for e in v))
    return [e / length for e in v]


def incident(x, y, hkl, geometry, frame, corrections):
    """k_out - g: the ray from the scattering point to the pixel, less the rotated reciprocal lattice vector."""
    focus, sample_z = geometry["foc_pos"], geometry["sample_z"][frame]
    y0, y1, x0, x1 = geometry["pupil_roi"]
    pixel_x, pixel_y = float(geometry["x_pixel_size"]), float(geometry["y_pixel_size"])
    fixed = [sum(hkl[row] * geometry["basis_mat"][row][axis] for row in range(3)) for axis in range(3)]
    rotation = geometry["sample_rmats"][frame]
    g = [sum(rotation[axis][other] * fixed[other] for other in range(3)) for axis in range(3)]
    ray = unit([(x0 + x1) / 2 * pixel_x - focus[0], (y0 + y1) / 2 * pixel_y - focus[1], -focus[2]])
    for _ in range(corrections + 1):
        steps = (sample_z - focus[2]) / ray[2]
        point = [focus[axis] + steps * ray[axis] for axis in range(3)]
        out = unit([x * pixel_x - point[0], y * pixel_y - point[1], -point[2]])
        ray = [out[axis] - g[axis] for axis in range(3)]
    return ray
