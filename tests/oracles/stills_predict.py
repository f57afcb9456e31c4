"""Prediction the slow way: every index in a box, one at a time, vectors written out. Knows nothing of crystint.

Each panel is (slow range, fast range, origin, slow vector, fast vector), lengths in m, for px of the frame.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def predict(setting, incident, panels, *, d_min, width, band, sweep=None, thickness=0.0, mu=0.0, absent=None, box=12):
    """Dictionary hkl -> (excitation, change over the exposure, partiality, panel, slow, fast) of one image."""
    found = {}
    for hkl in itertools.product(range(-box, box + 1), repeat=3):
        if hkl == (0, 0, 0) or (absent is not None and absent(hkl)):
            continue
        r = [sum(setting[i][j] * hkl[j] for j in range(3)) for i in range(3)]
        s2 = sum(x * x for x in r)
        if s2 > 1.0 / d_min**2:
            continue
        k = math.sqrt(sum(x * x for x in incident))
        excitation = math.dist([-x for x in incident], r) - k
        change = 0.0
        if sweep is not None:
            ends = []
            for sign in (-0.5, 0.5):
                turned = [sum((setting[i][j] + sign * sweep[i][j]) * hkl[j] for j in range(3)) for i in range(3)]
                ends.append(math.dist([-x for x in incident], turned))
            change = ends[1] - ends[0]
        spread = width(1.0 / math.sqrt(s2), 1.0 / k)
        if abs(excitation) > band * spread + 0.5 * abs(change):
            continue
        s1 = [incident[i] + r[i] for i in range(3)]
        place = hit(s1, panels, thickness, mu)
        if place is not None:
            steps = (np.arange(2000) + 0.5) / 2000 - 0.5
            mean = float(np.mean(np.exp(-(((excitation + change * steps) / spread) ** 2))))
            found[hkl] = (excitation, change, mean, *place)
    return found


def hit(direction, panels, thickness=0.0, mu=0.0):
    """(panel, slow, fast) of the nearest panel that a ray from the sample meets, or None."""
    best = None
    length = math.sqrt(sum(x * x for x in direction))
    u = np.array(direction) / length
    for number, (slow, fast, origin, slow_vector, fast_vector) in enumerate(panels):
        o, s, f = np.array(origin), np.array(slow_vector), np.array(fast_vector)
        normal = np.cross(f, s) / np.linalg.norm(np.cross(f, s))
        if u @ normal == 0.0:
            continue
        distance = (o @ normal) / (u @ normal)
        if distance <= 0.0 or (best is not None and distance >= best[0]):
            continue
        at = distance * u
        if thickness and mu:
            way = thickness / abs(u @ normal)
            # mean depth of absorption of those photons that are absorbed, times the share that is
            depth = np.linspace(0.0, way, 20001)
            middle = 0.5 * (depth[1:] + depth[:-1])
            at = at + u * float(np.sum(middle * mu * np.exp(-mu * middle)) * (depth[1] - depth[0]))
        x = (at - o) @ f / (f @ f) + fast[0]
        y = (at - o) @ s / (s @ s) + slow[0]
        if fast[0] <= x < fast[1] and slow[0] <= y < slow[1]:
            best = (distance, number, y, x)
    return None if best is None else best[1:]


def polarization(ray, incident, normal, fraction):
    """Factor of one ray in the form of DIALS's source: P = (1 - 2 f)(1 - (n.u)^2) + f (1 + cos^2 2theta)."""
    u = np.array(ray) / np.linalg.norm(ray)
    s0 = np.array(incident) / np.linalg.norm(incident)
    return (1 - 2 * fraction) * (1 - (u @ np.array(normal)) ** 2) + fraction * (1 + (u @ s0) ** 2)
