"""The counters of a frame by cell and counts, pixel by pixel."""

import numpy as np

BINS, HIGH, LOST = 64, 62, 63


def histogram(counts, usable, cell, cells, saturation):
    """Pixels in each bin, int [cells + 1, 64]: 0 .. 61 counts, more, no measurement."""
    table = np.zeros((cells + 1, BINS), int)
    for s, good, c in zip(counts.ravel().tolist(), usable.ravel().tolist(), cell.ravel().tolist()):
        table[c, LOST if not good or s > saturation else min(s, HIGH)] += 1
    return table


def beyond_the_bins(counts, usable, ring, rings, saturation):
    """Sum and largest of the measurements of 62 counts and more, and saturated pixels, of each ring; -1 = masked."""
    sums = np.zeros((rings, 3), int)
    for s, good, r in zip(counts.ravel().tolist(), usable.ravel().tolist(), ring.ravel().tolist()):
        if not good or r < 0:
            continue
        if s > saturation:
            sums[r, 2] += 1
        elif s >= HIGH:
            sums[r, 0] += s
            sums[r, 1] = max(sums[r, 1], s)
    return sums
