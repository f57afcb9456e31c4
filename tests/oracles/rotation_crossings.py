"""When lattice points cross the Ewald sphere, the slow way: step by step along the scan. Knows nothing of crystint."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np

from tests.oracles.stills_rotation import setting_at


def beam_at(expt, number, z):
    """s0 at array index z."""
    content = json.loads(expt.read_text())
    entry = content["experiment"][number]
    beam, scan = content["beam"][entry["beam"]], content["scan"][entry["scan"]]
    points = beam.get("s0_at_scan_points")
    if points is None:
        direction = np.array(beam["direction"])
        return -direction / np.linalg.norm(direction) / beam["wavelength"]
    position = z - (scan["image_range"][0] - 1)
    low = min(max(math.floor(position), 0), len(points) - 2)
    one, other = np.array(points[low]), np.array(points[low + 1])
    return one + (position - low) * (other - one)


def crossings(expt, number, hkls, start, end, step=0.1):
    """List of (h, k, l, z, s1), z from `start` to `end` where the distance from the sphere changes its sign."""
    places = np.arange(start, end + step / 2, step)
    points = np.array(hkls, dtype=float)
    result, before = [], None
    for z in places:
        s0 = beam_at(expt, number, z)
        r = points @ setting_at(expt, number, z).T
        s1 = r + s0
        off = np.sqrt((s1**2).sum(axis=1)) - np.linalg.norm(s0)
        if before is not None:
            for row in np.flatnonzero((before < 0) != (off < 0)):
                share = before[row] / (before[row] - off[row])
                result.append((*(int(i) for i in hkls[row]), float(z - step + share * step), s1[row]))
        before = off
    return result


def indices(most):
    """All h, k, l up to `most`, without 0 0 0."""
    return [hkl for hkl in itertools.product(range(-most, most + 1), repeat=3) if hkl != (0, 0, 0)]
