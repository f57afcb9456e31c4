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


def measure(members, counts, valid, weight, background, variance, sem, reach):
    """Intensity, sigma, slow, fast of the spot made of these maxima; background and variance are those of v."""
    height, width = counts.shape
    pixels = {
        (i, j)
        for y, x in members
        for i in range(max(y - reach, 0), min(y + reach + 1, height))
        for j in range(max(x - reach, 0), min(x + reach + 1, width))
        if valid[i, j]
    }
    excess = {p: counts[p] / weight[p] - background[p] for p in pixels}
    intensity = sum(excess.values())
    signal = sum(excess[p] / weight[p] for p in pixels)
    sigma = np.sqrt(sum(variance[p] for p in pixels) + max(signal, 0) + (len(pixels) * sem) ** 2)
    slow = sum((p[0] + 0.5) * excess[p] for p in pixels) / intensity
    fast = sum((p[1] + 0.5) * excess[p] for p in pixels) / intensity
    return intensity, sigma, slow, fast
