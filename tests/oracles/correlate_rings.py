"""Powder frames with known rings, radial profiles and pairs, the slow and obvious way."""

import math

import numpy as np


def circle_radius(shape, center):
    """Distance of the pixel centres from (slow, fast), px from the outer corner."""
    slow, fast = np.indices(shape) + 0.5
    return np.hypot(slow - center[0], fast - center[1])


def ellipse_radius(shape, center, long_over_short, angle):
    """Geometric mean of the half axes of the ellipse through each pixel; angle of the long axis from fast to slow."""
    slow, fast = np.indices(shape) + 0.5
    slow, fast = slow - center[0], fast - center[1]
    along = fast * math.cos(angle) + slow * math.sin(angle)
    across = -fast * math.sin(angle) + slow * math.cos(angle)
    ratio = math.sqrt(long_over_short)
    return np.hypot(along / ratio, across * ratio)


def two_theta(shape, pixel, distance, poni, rot1, rot2):
    """Scattering angle by the PONI convention, the matrices multiplied out here; poni = (slow, fast) px."""
    slow, fast = np.indices(shape) + 0.5
    p1, p2 = (slow - poni[0]) * pixel, (fast - poni[1]) * pixel
    about1 = np.array([[1, 0, 0], [0, math.cos(rot1), math.sin(rot1)], [0, -math.sin(rot1), math.cos(rot1)]])
    about2 = np.array([[math.cos(rot2), 0, -math.sin(rot2)], [0, 1, 0], [math.sin(rot2), 0, math.cos(rot2)]])
    lab = np.einsum("ij,jkl->ikl", about2 @ about1, np.stack([p1, p2, np.full(shape, distance)]))
    return np.arctan2(np.hypot(lab[0], lab[1]), lab[2])


def gaps(shape):
    """A cross of gaps and a beam stop; True = masked."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 3 : shape[0] // 3 + 9] = True
    mask[:, shape[1] * 5 // 8 : shape[1] * 5 // 8 + 10] = True
    mask[: shape[0] // 3, shape[1] // 2 : shape[1] // 2 + 7] = True
    slow, fast = np.indices(shape)
    return mask | (np.hypot(slow - shape[0] // 2, fast - shape[1] // 2) < 15)


def powder(rng, radius, rings, width, contrast, level, gradient=0.2, hot=0.002):
    """Poisson counts: rings on a background that falls outwards and runs across the frame, and hot pixels."""
    shape = radius.shape
    across = np.linspace(-0.5, 0.5, shape[1])[None, :] + 0.3 * np.linspace(-0.5, 0.5, shape[0])[:, None]
    mean = level * (1 + gradient * across) * np.exp(-radius / 400)
    mean *= 1 + contrast * sum(np.exp(-0.5 * ((radius - ring) / width) ** 2) for ring in rings)
    frame = rng.poisson(mean).astype(np.float64)
    wrong = rng.random(shape) < hot
    frame[wrong] *= rng.uniform(1.5, 50, wrong.sum())
    return frame


def radial_mean(frame, radius, good, bins):
    """Mean per whole radius; NaN where no pixel is."""
    found = np.full(bins, np.nan)
    for number in range(bins):
        inside = frame[good & (radius >= number) & (radius < number + 1)]
        if inside.size:
            found[number] = sum(float(value) for value in inside) / inside.size
    return found


def greedy_pairs(fits):
    """Rows in order take their nearest free row, by a full table of distances."""
    count = len(fits)
    table = [[math.dist(fits[i], fits[j]) for j in range(count)] for i in range(count)]
    taken, pairs = set(), []
    for i in range(count):
        if i in taken:
            continue
        free = [j for j in range(count) if j != i and j not in taken]
        if free:
            j = min(free, key=lambda j: (table[i][j], j))
            taken |= {i, j}
            pairs.append([i, j])
    return pairs


def least_total(weight, free=None):
    """Least sum of weights over all perfect matchings, by trying them all; an odd one may stay over."""
    free = list(range(len(weight))) if free is None else free
    if len(free) < 2:
        return 0.0
    first, rest = free[0], free[1:]
    totals = [weight[first][j] + least_total(weight, [k for k in rest if k != j]) for j in rest]
    if len(free) % 2:
        totals.append(least_total(weight, rest))
    return min(totals)
