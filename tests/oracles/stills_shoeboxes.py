"""Which pixels a reflection has, pixel by pixel from the exact geometry of a flat panel without parallax."""

import math

import numpy as np


def offsets(geometry, incident, ray, pixel):
    """(radial, tangential) offset of a pixel's ray from a predicted one, on the axes of that, 1/angstrom.

    geometry: origin, one step along slow, one along fast, any unit; pixel: (slow, fast) of its centre, or arrays.
    """
    origin, slow, fast = (np.array(v, dtype=float) for v in geometry)
    place = origin + np.multiply.outer(pixel[0], slow) + np.multiply.outer(pixel[1], fast)
    inverse = math.sqrt(float(incident @ incident))
    u = place / np.linalg.norm(place, axis=-1, keepdims=True)
    beam = incident / inverse
    tangential = np.cross(ray, beam)
    tangential /= math.sqrt(float(tangential @ tangential))
    radial = np.cross(tangential, ray)
    if radial @ beam > 0.0:
        radial = -radial
    return ((u - ray) * inverse) @ radial, ((u - ray) * inverse) @ tangential


def predicted(geometry, ray):
    """(slow, fast) at which a ray meets the panel."""
    origin, slow, fast = (np.array(v, dtype=float) for v in geometry)
    length, down, right = np.linalg.solve(np.stack([ray, -slow, -fast], axis=1), origin)
    assert length > 0.0
    return float(down), float(right)


def distance(geometry, incident, ray, widths, shape, half):
    """float [slow, fast]: elliptical distance in widths from a reflection; NaN farther than `half` pixels."""
    center = predicted(geometry, ray)
    found = np.full(shape, np.nan)
    rows, columns = (range(max(0, int(c) - half), min(n, int(c) + half + 1)) for c, n in zip(center, shape))
    places = np.meshgrid(np.array(rows) + 0.5, np.array(columns) + 0.5, indexing="ij")
    radial, tangential = offsets(geometry, incident, ray, places)
    found[rows.start : rows.stop, columns.start : columns.stop] = np.hypot(radial / widths[0], tangential / widths[1])
    return found
