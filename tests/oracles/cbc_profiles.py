"""Standard profiles of streaks, pixel by pixel over the whole detector, from their definitions."""

from __future__ import annotations

import math


def profile(name, e, width):
    w = (width + 1) / 2
    if abs(e) >= w:
        return 0.0
    return {
        "tophat": min(max(w - abs(e), 0.0), 1.0),
        "linear": 1 - abs(e) / w,
        "quad": 1 - (e / w) ** 2,
        "gauss": (math.exp(-4 * e**2 / w**2) - math.exp(-4)) / (1 - math.exp(-4)),
    }[name]


def pixels(x0, y0, x1, y1, width, name, shape):
    """(x, y, profile) of every pixel above 0 whose foot is on the streak, or half a pixel beyond an end."""
    length = math.dist((x0, y0), (x1, y1))
    cos, sin = (x1 - x0) / length, (y1 - y0) / length
    found = []
    for y in range(shape[0]):
        for x in range(shape[1]):
            foot = (x - x0) * cos + (y - y0) * sin
            value = profile(name, (y - y0) * cos - (x - x0) * sin, width)
            if value > 0 and -0.5 <= foot <= length + 0.5:
                found.append((x, y, value))
    return found
