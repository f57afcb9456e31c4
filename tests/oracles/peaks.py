"""Peaks of a small frame, written from docs/peaks.md with plain loops."""

import numpy as np


def maxima(counts, valid, strong, above, connected, reach):
    """Pixels (slow, fast) that are peaks.

    counts [slow, fast]; valid: usable; strong: at or above SNR_peak; above: above SNR_pick.
    """
    found = []
    height, width = counts.shape
    for y in range(height):
        for x in range(width):
            if not (valid[y, x] and strong[y, x]):
                continue
            highest, n = True, 0
            for i in range(max(y - reach, 0), min(y + reach + 1, height)):
                for j in range(max(x - reach, 0), min(x + reach + 1, width)):
                    if not valid[i, j]:
                        continue
                    n += bool(above[i, j])
                    if counts[i, j] > counts[y, x]:
                        highest = False
                    if counts[i, j] == counts[y, x] and (i, j) < (y, x):
                        highest = False
            if highest and n >= connected:
                found.append((y, x))
    return found


def around(pixels):
    """The pixels and all that touch one of them."""
    return {(i + a, j + b) for i, j in pixels for a in (-1, 0, 1) for b in (-1, 0, 1)}


def outskirts(top, above, reach, far=4):
    """Pixels above a threshold connected to the neighbourhood of a lone maximum, at most `far` from it."""
    y, x = top
    inside = {(i, j) for i in range(y - reach, y + reach + 1) for j in range(x - reach, x + reach + 1)}
    known, edge = set(inside), list(inside)
    while edge:
        for other in around({edge.pop()}) - known:
            if max(abs(other[0] - y), abs(other[1] - x)) > far:
                continue
            if 0 <= other[0] < above.shape[0] and 0 <= other[1] < above.shape[1] and above[other]:
                known.add(other)
                edge.append(other)
    return known - inside


def measure(top, counts, valid, above, sure, weight, background, variance, sem, reach, far=4):
    """Intensity, sigma, slow, fast of the spot of a lone maximum, sigma of slow and fast, and the box of its pixels.

    background and variance are those of v.

    above, sure: pixels above SNR_pick, and above 3 sigma.
    """
    height, width = counts.shape
    y, x = top
    core = {
        (i, j)
        for i in range(max(y - reach, 0), min(y + reach + 1, height))
        for j in range(max(x - reach, 0), min(x + reach + 1, width))
        if valid[i, j]
    }
    wide = outskirts(top, sure & valid, reach)
    rim = {
        (i, j)
        for i, j in around(wide | {p for p in core if sure[p]})
        if 0 <= i < height and 0 <= j < width and max(abs(i - y), abs(j - x)) <= far and valid[i, j]
    }
    whole, centre = core | wide | rim, core | outskirts(top, above & valid, reach)
    excess = {p: counts[p] / weight[p] - background[p] for p in whole | centre}
    intensity = sum(excess[p] for p in whole)
    signal = sum(excess[p] / weight[p] for p in whole)
    sigma = np.sqrt(sum(variance[p] for p in whole) + max(signal, 0) + (len(whole) * sem) ** 2)
    total = sum(excess[p] for p in centre)
    slow = sum((p[0] + 0.5) * excess[p] for p in centre) / total
    fast = sum((p[1] + 0.5) * excess[p] for p in centre) / total
    spread = {p: variance[p] + excess[p] / weight[p] for p in centre}
    slow_sigma = np.sqrt(max(sum(spread[p] * (p[0] + 0.5 - slow) ** 2 for p in centre), 0)) / total
    fast_sigma = np.sqrt(max(sum(spread[p] * (p[1] + 0.5 - fast) ** 2 for p in centre), 0)) / total
    inside = {(i, j) for i in range(y - reach, y + reach + 1) for j in range(x - reach, x + reach + 1)}
    own = whole | centre | {p for p in inside if 0 <= p[0] < height and 0 <= p[1] < width}
    box = min(p[0] for p in own), max(p[0] for p in own) + 1, min(p[1] for p in own), max(p[1] for p in own) + 1
    return intensity, sigma, slow, fast, slow_sigma, fast_sigma, box
