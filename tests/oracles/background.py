"""Sigma clipping of one ring, written from docs/background.md in float64. Knows nothing of crystint."""

import numpy as np
from scipy.stats import poisson

SAMPLE = 128
OF_COUNTS = False
"""In storage order: order statistics are those of the counts of all pixels over the mean normalization."""


def chauvenet(n):
    return np.sqrt(2 * np.log(n / np.sqrt(2 * np.pi))) if n >= 3 else np.inf


def reached_by_chance(rate, n):
    """Largest count c with n P(N >= c) >= 1/50."""
    c = 0
    while n * poisson.sf(c, rate) >= 0.02:  # sf(c) = P(N >= c + 1)
        c += 1
    return c


def robust_start(s, w, t, model, cycles):
    """Level, lower and upper limit of v, and the count that is never clipped."""
    n = len(s)
    v = s / w.mean() if OF_COUNTS else s / w
    sample = np.sort(v[[i * n // SAMPLE for i in range(SAMPLE)] if n > SAMPLE and not OF_COUNTS else slice(None)])
    m = len(sample)
    level = sample[(m - 1) // 2]
    mean_w, most_w = w.mean(), w.max()
    if level == 0 and sample[0] == 0:
        rate = -np.log(np.sum(sample == 0) / (m + 1))
        level = rate / mean_w
        most = (rate + 2 * np.sqrt(rate / m) + 2 / m) / mean_w
        spread = np.sqrt(most / mean_w)
    else:
        most = level
        spread = np.sqrt(max(level, 0) / mean_w)
        if model != "poisson":
            spread = max(spread, level - sample[int(0.16 * (m - 1))])
        if sample[0] < 0 and (s == np.rint(s)).all():
            spread = max(spread, 1 / mean_w)
    spread = max(spread, 1e-6 * abs(level))
    wide = max(1.5 * t, 3.0)
    low, high = level - wide * spread, max(level, most) + wide * spread
    if cycles == 0 or not np.isfinite(wide):
        low, high = -np.inf, np.inf
    never = reached_by_chance(most * most_w, n) if most * mean_w < 10 else -np.inf
    return level, low, high, never


def ring_background(s, w, model, snr_clip=None, cycles=5):
    """n, mean, std, sem of the counts s with normalization w.

    Two passes per cycle: the mean first, then the squares about it.
    """
    s, w = np.asarray(s, np.float64), np.asarray(w, np.float64)
    if len(s) == 0:
        return 0, np.nan, np.nan, np.nan
    v = s / w
    t = snr_clip or chauvenet(len(s))
    mean, low, high, never = robust_start(s, w, t, model, cycles)
    inside, before = None, None
    for cycle in range(cycles + 1):
        zero_stays = mean * w.mean() < 10
        keep = ((v <= high) | (s <= never)) & ((v >= low) | ((s == 0) & zero_stays))
        if not keep.any():
            break
        inside = keep
        mean = s[inside].sum() / w[inside].sum()
        if cycle == cycles or (before is not None and keep.sum() == before):
            break
        before = keep.sum()
        if model == "poisson":
            spread = np.sqrt(max(s[inside].sum(), 0) / (w[inside] ** 2).sum())
        else:
            spread = np.sqrt(((w * (v - mean))[inside] ** 2).sum() / (w[inside] ** 2).sum())
        t = snr_clip or chauvenet(before)
        if not np.isfinite(t):
            continue  # one or two pixels: nothing to judge them by
        low, high = max(low, mean - t * spread), min(high, mean + t * spread)
        never = reached_by_chance(mean * w.max(), before) if mean * w.mean() < 10 else -np.inf
    s, w, v = s[inside], w[inside], v[inside]
    vv = (w**2 * (v - mean) ** 2).sum() if model == "azimuthal" else max(s.sum(), 0)
    return len(s), mean, np.sqrt(vv / (w**2).sum()), np.sqrt(vv) / w.sum()


def frame_background(counts, weight, ring, rings, model, snr_clip=None, cycles=5):
    """The same for every ring; `ring` is -1 where a pixel is not to be used. float64 [rings, 4]."""
    counts, weight, ring = counts.ravel(), weight.ravel(), ring.ravel()
    order = np.argsort(ring, kind="stable")
    order = order[np.searchsorted(ring[order], 0) :]
    edges = np.searchsorted(ring[order], np.arange(rings + 1))
    out = np.empty((rings, 4))
    for r in range(rings):
        here = order[edges[r] : edges[r + 1]]
        out[r] = ring_background(counts[here], weight[here], model, snr_clip, cycles)
    return out
