"""Convergent-beam scaling the slow way, from the formulas, one row and one node at a time.

A table is a list of rows (frame, streak, x, y, counts, background, f2, reflection); u is one (x, y) per row.
"""

from __future__ import annotations

from math import exp, inf, isnan, log, nan, sqrt

import numpy as np

HUBER = 1.345


def pixels(rows):
    """Rows of each pixel, pixels sorted by frame, y, x."""
    found = {}
    for number, row in enumerate(rows):
        found.setdefault((row[0], row[3], row[2]), []).append(number)
    return [found[key] for key in sorted(found)]


def expected(rows, chi, b, q2):
    """lambda of each pixel."""
    out = []
    for members in pixels(rows):
        total = rows[members[0]][5]
        for i in members:
            total += q2[rows[i][7]] * chi[i] * rows[i][6] + b[rows[i][1]]
        out.append(total)
    return out


def term(counts, lam, kind, loss, floor):
    """What one pixel adds. Below `floor`, log(lambda) and the variance lambda go on otherwise."""
    if kind == "poisson":
        logarithm = log(lam) if lam >= floor else log(floor) + (lam - floor) / floor
        return lam - counts * logarithm
    variance = lam if lam >= floor else floor / 2 + max(lam, 0.0) ** 2 / (2 * floor)
    r = abs(counts - lam) / sqrt(variance)
    if loss == "l2":
        return r * r
    if loss == "l1":
        return r
    return r * r if r < HUBER else 2 * HUBER * r - HUBER**2


def objective(rows, chi, b, q2, kind, loss, floor):
    total = 0.0
    for members, lam in zip(pixels(rows), expected(rows, chi, b, q2)):
        total += term(rows[members[0]][4], lam, kind, loss, floor)
    return total


def em(rows, chi, b, q2):
    """One step, intercepts too."""
    lam = expected(rows, chi, b, q2)
    new_b, new_q2 = list(b), list(q2)
    for streak in range(len(b)):
        above, below = 0.0, 0.0
        for members, value in zip(pixels(rows), lam):
            for i in members:
                if rows[i][1] == streak:
                    above += rows[i][4] / value
                    below += 1.0
        new_b[streak] *= above / below
    for reflection in range(len(q2)):
        above, below = 0.0, 0.0
        for members, value in zip(pixels(rows), lam):
            for i in members:
                if rows[i][7] == reflection:
                    above += rows[i][4] / value * chi[i] * rows[i][6]
                    below += chi[i] * rows[i][6]
        if below > 0:
            new_q2[reflection] *= above / below
    return new_b, new_q2


def regression(rows, u, chi, b, q2, frames, x, y, h):
    """chi on the nodes, by the formula of the manual, with the kernel cut at 4 h along each axis."""
    estimate, signal = [0.0] * len(rows), [0.0] * len(rows)
    for members in pixels(rows):
        own = [q2[rows[i][7]] * chi[i] * rows[i][6] for i in members]
        above = rows[members[0]][4] - rows[members[0]][5] - sum(b[rows[i][1]] for i in members)
        for i, y_i in zip(members, own):
            estimate[i] = above * (y_i / sum(own) if sum(own) > 0 else 1 / len(members))
            signal[i] = y_i
    out = np.full((len(frames), len(y), len(x)), nan)
    for n, frame in enumerate(frames):
        for j, node_y in enumerate(y):
            for k, node_x in enumerate(x):
                above, below = 0.0, 0.0
                for i, row in enumerate(rows):
                    dx, dy = (node_x - u[i][0]) / h, (node_y - u[i][1]) / h
                    if row[0] != frame or abs(dx) > 4 or abs(dy) > 4:
                        continue
                    kernel = exp(-(dx * dx + dy * dy) / 2)
                    if q2[row[7]] > 0:
                        above += estimate[i] * row[6] * kernel
                        below += q2[row[7]] * row[6] ** 2 * kernel
                if below > 0:
                    out[n, j, k] = max(above / below, 0.0)
    return out


def bilinear(values, x, y, at):
    """chi at one place of one map, empty nodes (NaN) left out."""
    px, py = min(max(at[0], x[0]), x[-1]), min(max(at[1], y[0]), y[-1])
    k = max(i for i in range(len(x) - 1) if x[i] <= px)
    j = max(i for i in range(len(y) - 1) if y[i] <= py)
    tx, ty = (px - x[k]) / (x[k + 1] - x[k]), (py - y[j]) / (y[j + 1] - y[j])
    above = below = 0.0
    for dj, wy in ((0, 1 - ty), (1, ty)):
        for dk, wx in ((0, 1 - tx), (1, tx)):
            node = values[j + dj][k + dk]
            if not isnan(node):
                above += node * wx * wy
                below += wx * wy
    return above / below if below > 0 else nan


def distance(a, b):
    """Largest difference relative to the largest value; NaN must be in the same places."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return inf
    known = ~np.isnan(a)
    return float(np.abs(a - b)[known].max() / np.abs(b[known]).max()) if known.any() else 0.0
