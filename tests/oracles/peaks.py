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


def outskirts(top, above, reach, far=3):
    """Pixels above SNR_pick connected to the neighbourhood of a lone maximum, at most `far` from it."""
    y, x = top
    inside = {(i, j) for i in range(y - reach, y + reach + 1) for j in range(x - reach, x + reach + 1)}
    known, edge = set(inside), list(inside)
    while edge:
        i, j = edge.pop()
        for other in [(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
            if other in known or max(abs(other[0] - y), abs(other[1] - x)) > far:
                continue
            if 0 <= other[0] < above.shape[0] and 0 <= other[1] < above.shape[1] and above[other]:
                known.add(other)
                edge.append(other)
    return known - inside


def measure(top, counts, valid, above, weight, background, variance, sem, reach):
    """Intensity, sigma, slow, fast of the spot of a lone maximum; background and variance are those of v."""
    height, width = counts.shape
    y, x = top
    pixels = {
        (i, j)
        for i in range(max(y - reach, 0), min(y + reach + 1, height))
        for j in range(max(x - reach, 0), min(x + reach + 1, width))
        if valid[i, j]
    }
    skirt = outskirts(top, above & valid, reach)
    excess = {p: counts[p] / weight[p] - background[p] for p in pixels | skirt}
    intensity = sum(excess[p] for p in pixels)
    signal = sum(excess[p] / weight[p] for p in pixels)
    sigma = np.sqrt(sum(variance[p] for p in pixels) + max(signal, 0) + (len(pixels) * sem) ** 2)
    slow = sum((p[0] + 0.5) * excess[p] for p in excess) / sum(excess.values())
    fast = sum((p[1] + 0.5) * excess[p] for p in excess) / sum(excess.values())
    return intensity, sigma, slow, fast
