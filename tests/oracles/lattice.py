"""The searches and fits of lattices the slow way: a loop over spots, in double precision."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def off(x):
    return x - np.rint(x)


def score_of_vector(q, vector, near):
    """Sum over spots of the biweight of the distance of q . v to a whole number."""
    return sum(max(0.0, 1.0 - (off(one @ vector) / near) ** 2) ** 2 for one in q)


def score_of_lattice(q, basis, near, share):
    """Sum over spots of (1 - share D^2 / near^2)^2 of the distance of the three indices, where that is above 0."""
    return sum(max(0.0, 1.0 - share * (off(basis @ one) ** 2).sum() / near**2) ** 2 for one in q)


def refined_vector(q, vector, length):
    """Least squares to the nearest whole numbers with a limit that becomes narrower; the length is put back."""
    v = np.array(vector, float)
    for limit in (0.3, 0.25, 0.2, 0.15, 0.1):
        x = q @ v
        w = np.maximum(0.0, 1.0 - (off(x) / limit) ** 2)
        if (w > 0).sum() < 5:
            continue
        n = (q * w[:, None]).T @ q
        hold = 1e-4 * np.trace(n)
        new = np.linalg.solve(n + hold * np.eye(3), q.T @ (w * np.rint(x)) + hold * v)
        if 0.8 * length < np.linalg.norm(new) < 1.25 * length:
            v = new
    return v * length / np.linalg.norm(v)


def nodes(q, basis):
    """Nearest nodes, and 0 where that is 0 0 0."""
    whole = np.rint(q @ basis.T)
    return whole, whole @ np.linalg.inv(basis).T, whole.any(axis=1).astype(float)


def refined_lattice(q, basis, spread, widest, strain):
    """Turned, then strained with a prior of its symmetric part: each round a least-squares problem of its own."""
    b = np.array(basis, float)
    for limit in 1.6 * np.linspace(0.32, 0.10, 8):
        _, p, w = nodes(q, b)
        w = w * np.maximum(0.0, 1.0 - (off(q @ b.T) ** 2).sum(1) / limit**2)
        rows = np.concatenate([np.sqrt(one) * -cross(node) for one, node in zip(w, p)])
        turn = np.linalg.lstsq(rows, np.concatenate([np.sqrt(one) * r for one, r in zip(w, q - p)]), rcond=None)[0]
        b = b @ Rotation.from_rotvec(turn).as_matrix().T
    for factor in np.linspace(3.0, 1.0, 6):
        limit = factor * min(2.5 * spread, widest)
        _, p, w = nodes(q, b)
        r = q - p
        w = w * np.maximum(0.0, 1.0 - (r * r).sum(1) / limit**2) ** 2
        rows = [np.sqrt(one) / spread * np.kron(np.eye(3), node) for one, node in zip(w, p)]
        right = [np.sqrt(one) / spread * each for one, each in zip(w, r)]
        for i in range(3):
            for j in range(3):
                held = np.zeros((3, 3))
                held[i, j] += 0.5 / strain
                held[j, i] += 0.5 / strain
                rows.append(held.reshape(1, 9))
                right.append(np.zeros(1))
        e = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0].reshape(3, 3)
        b = b @ np.linalg.inv(np.eye(3) + e)
    return b


def cross(v):
    """The matrix of v x."""
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def inside(q, basis, radii):
    """Spots within each radius of a node that is not 0 0 0."""
    _, p, there = nodes(q, basis)
    away = np.linalg.norm(q - p, axis=1)
    return [int(((away < radius) & (there > 0)).sum()) for radius in radii]
