"""Sums of reflections, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np


def disc_sums(frame, bad, places, radius=4.0, ring=(5.0, 8.0), least=10):
    """[(intensity, variance, background) or None where it cannot be summed] of discs around places (slow, fast)."""
    claims: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for number, (slow, fast) in enumerate(places):
        for i in range(int(slow - radius) - 2, int(slow + radius) + 3):
            for j in range(int(fast - radius) - 2, int(fast + radius) + 3):
                distance = math.hypot(i + 0.5 - slow, j + 0.5 - fast)
                if distance <= radius:
                    claims.setdefault((i, j), []).append((distance, number))
    own = {pixel: min(claim)[1] for pixel, claim in claims.items()}
    results = []
    for number, (slow, fast) in enumerate(places):
        mine = [pixel for pixel, claim in claims.items() if any(n == number for _, n in claim)]
        inside = [0 <= i < frame.shape[0] and 0 <= j < frame.shape[1] and not bad[i, j] for i, j in mine]
        around = []
        for i in range(frame.shape[0]):
            for j in range(frame.shape[1]):
                distance = math.hypot(i + 0.5 - slow, j + 0.5 - fast)
                if ring[0] <= distance <= ring[1] and not bad[i, j] and (i, j) not in own:
                    around.append(float(frame[i, j]))
        kept = [pixel for pixel in mine if own[pixel] == number]
        if not all(inside) or not kept or len(around) < least:
            results.append(None)
            continue
        results.append(_sum([float(frame[pixel]) for pixel in kept], around))
    return results


def _sum(inside, around):
    level = np.mean(around)
    under = level * len(inside)
    intensity = sum(inside) - under
    return intensity, abs(intensity) + abs(under) * (1 + len(inside) / len(around)), level
