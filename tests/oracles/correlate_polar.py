"""Polar images the slow and obvious way: loops over cells, polygons clipped by half-planes."""

import math
from itertools import pairwise

import numpy as np


def place(center, radius, column, azimuths, origin=0.0, direction=1):
    """(slow, fast) in px from the centre of the first pixel; `center` counts from its outer corner."""
    angle = origin + direction * 2.0 * math.pi * column / azimuths
    return center[0] - 0.5 + radius * math.sin(angle), center[1] - 0.5 + radius * math.cos(angle)


def lower_nearest(x):
    """The nearest whole number; of two, the lower."""
    return math.ceil(x - 0.5)


def nearest(image, center, radii, azimuths, origin=0.0, direction=1):
    """The pixel at each point; NaN outside. `image` is NaN where there is no data."""
    found = np.full((len(radii), azimuths), np.nan)
    for i, radius in enumerate(radii):
        for j in range(azimuths):
            slow, fast = map(lower_nearest, place(center, radius, j, azimuths, origin, direction))
            if 0 <= slow < image.shape[0] and 0 <= fast < image.shape[1]:
                found[i, j] = image[slow, fast]
    return found


def bilinear(image, center, radii, azimuths, origin=0.0, direction=1):
    """Mean of four pixels by nearness, and the sum of the weights of those with data."""
    found, weights = np.full((len(radii), azimuths), np.nan), np.zeros((len(radii), azimuths))
    for i, radius in enumerate(radii):
        for j in range(azimuths):
            at = place(center, radius, j, azimuths, origin, direction)
            if not all(-0.5 <= x <= n - 0.5 for x, n in zip(at, image.shape)):
                continue
            total = weight = 0.0
            for slow in (math.floor(at[0]), math.floor(at[0]) + 1):
                for fast in (math.floor(at[1]), math.floor(at[1]) + 1):
                    inside = 0 <= slow < image.shape[0] and 0 <= fast < image.shape[1]
                    if inside and not math.isnan(image[slow, fast]):
                        w = (1.0 - abs(at[0] - slow)) * (1.0 - abs(at[1] - fast))
                        total, weight = total + w * image[slow, fast], weight + w
            if weight > 0.0:
                found[i, j], weights[i, j] = total / weight, weight
    return found, weights


def clip(polygon, axis, limit, sign):
    """The part of a polygon where sign * (coordinate - limit) >= 0."""
    found = []
    for a, b in zip(polygon, polygon[1:] + polygon[:1]):
        da, db = sign * (a[axis] - limit), sign * (b[axis] - limit)
        if da >= 0.0:
            found.append(a)
        if da * db < 0.0:
            t = da / (da - db)
            found.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
    return found


def polygon_area(polygon):
    return 0.5 * abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(polygon, polygon[1:] + polygon[:1])))


def borders(radii):
    """Radii halfway between rows, and as far beyond the ends."""
    half = [(a + b) / 2.0 for a, b in pairwise(radii)]
    return [max(0.0, 2 * radii[0] - half[0]), *half, 2 * radii[-1] - half[-1]]


def sector(center, inner, outer, column, azimuths, origin, direction, steps):
    """A cell as a polygon, (slow, fast) from the outer corner of the frame; arcs in `steps` chords."""

    def arc(radius):
        columns = [column - 0.5 + k / steps for k in range(steps + 1)]
        return [tuple(x + 0.5 for x in place(center, radius, c, azimuths, origin, direction)) for c in columns]

    return arc(inner) + arc(outer)[::-1]


def area(image, center, radii, azimuths, origin=0.0, direction=1, steps=24):
    """Means over cells, the part of each that has data, and [rows, azimuths, slow, fast]: the areas shared."""
    edges = borders(list(radii))
    shared = np.zeros((len(radii), azimuths, *image.shape))
    values, weights = np.full(shared.shape[:2], np.nan), np.zeros(shared.shape[:2])
    for i in range(len(radii)):
        for j in range(azimuths):
            cell = sector(center, edges[i], edges[i + 1], j, azimuths, origin, direction, steps)
            whole = math.pi * (edges[i + 1] ** 2 - edges[i] ** 2) / azimuths
            for slow in range(image.shape[0]):
                strip = clip(clip(cell, 0, slow, 1), 0, slow + 1, -1)
                for fast in range(image.shape[1]) if strip else ():
                    part = clip(clip(strip, 1, fast, 1), 1, fast + 1, -1)
                    shared[i, j, slow, fast] = polygon_area(part) if part else 0.0
            good = np.where(np.isnan(image), 0.0, shared[i, j])
            if good.sum() > 0.0:
                values[i, j] = (good * np.nan_to_num(image)).sum() / good.sum()
                weights[i, j] = good.sum() / whole
    return values, weights, shared
