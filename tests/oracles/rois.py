"""Regions of interest written from their definitions, pixel by pixel in float64. Knows nothing of crystint."""

import math

import numpy as np


def _rotation(rot1, rot2, rot3):
    """PONI: rows and columns are pyFAI's axes 1, 2, 3; turned by rot1, then rot2, then rot3."""
    c1, s1, c2, s2, c3, s3 = (f(a) for a in (rot1, rot2, rot3) for f in (math.cos, math.sin))
    about1 = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    about2 = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    about3 = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    return about3 @ about2 @ about1


def laboratory(geometry):
    """x, y, z of the pixel centres in m, from a dictionary; NaN in no panel."""
    slow, fast = np.mgrid[: geometry["shape"][0], : geometry["shape"][1]] + 0.5
    if geometry.get("panels"):
        place = np.full((3, *slow.shape), np.nan)
        for panel in geometry["panels"]:
            (s0, s1), (f0, f1) = panel["slow"], panel["fast"]
            part = np.s_[s0:s1, f0:f1]
            for axis in range(3):
                along = panel["slow_vector"][axis] * (slow[part] - s0), panel["fast_vector"][axis] * (fast[part] - f0)
                place[axis][part] = panel["origin"][axis] + along[0] + along[1]
        return place
    p1 = (slow - geometry["beam_center"][0]) * geometry["pixel_size"][0]
    p2 = (fast - geometry["beam_center"][1]) * geometry["pixel_size"][1]
    flat = np.stack([p1, p2, np.full(p1.shape, geometry["distance"])])
    y, x, z = np.tensordot(_rotation(*geometry["rotation"]), flat, 1)
    return np.stack([x, y, z])


def q_and_phi(geometry):
    """1/angstrom, and degrees from 0 to below 360."""
    x, y, z = laboratory(geometry)
    far = np.sqrt(x * x + y * y + z * z)
    theta = 0.5 * np.arctan2(np.hypot(x, y), z)
    q = 4 * np.pi * np.sin(theta) / geometry["wavelength"]
    phi = np.rad2deg(np.arctan2(y, x))
    phi = np.where(phi < 0, phi + 360, phi)
    phi = np.where((phi >= 360) | (np.hypot(x, y) <= 1e-9 * far), 0.0, phi)
    return q, phi


def members(roi, shape, q=None, phi=None):
    """bool [slow, fast] of a region as its document has it."""
    slow, fast = np.mgrid[: shape[0], : shape[1]] + 0.5
    row, column = np.mgrid[: shape[0], : shape[1]]
    if roi["type"] == "box":
        inside = (row >= roi["slow_min"]) & (row <= roi["slow_max"])
        return inside & (column >= roi["fast_min"]) & (column <= roi["fast_max"])
    if roi["type"] == "circle":
        return (slow - roi["center"][0]) ** 2 + (fast - roi["center"][1]) ** 2 <= roi["radius"] ** 2
    if roi["type"] == "azimuthal":
        if "q_min" in roi:
            inside = (q >= roi["q_min"]) & (q < roi["q_max"])
        else:
            inside = (q >= 2 * np.pi / roi["d_max"]) & (q < 2 * np.pi / roi["d_min"])
        if "phi_min_deg" in roi and roi["phi_max_deg"] - roi["phi_min_deg"] < 360:
            turned = np.mod(phi - roi["phi_min_deg"], 360)
            inside &= turned < np.mod(roi["phi_max_deg"] - roi["phi_min_deg"], 360)
        return inside
    if roi["type"] == "polygon":
        odd = np.zeros(shape, bool)
        corners = roi["corners"]
        for (s1, f1), (s2, f2) in zip(corners, corners[1:] + corners[:1], strict=True):
            for i in range(shape[0]):
                at = i + 0.5
                if s1 <= at < s2:
                    odd[i] ^= (fast[i] - f1) * (s2 - s1) < (at - s1) * (f2 - f1)
                if s2 <= at < s1:
                    odd[i] ^= (fast[i] - f1) * (s1 - s2) < (s1 - at) * (f2 - f1)
        return odd
    inside = np.zeros(shape[0] * shape[1], bool)
    for start, stop in roi["runs"]:
        inside[start:stop] = True
    return inside.reshape(shape)


def values(frame, inside, masked, unusable, saturation=None):
    """What is measured in a region: exact integers of Python, and floats.

    Parameters: frame [slow, fast]; inside, masked, unusable bool [slow, fast]; largest valid value or None.
    """
    good = inside & ~masked & ~unusable
    counts = [int(value) for value in frame[good]] if frame.dtype.kind in "iu" else frame[good].astype(float).tolist()
    total = sum(counts)
    answer = {
        "pixels": int(inside.sum()),
        "npixel": len(counts),
        "masked": int(inside.sum()) - len(counts),
        "sum": total,
        "sum_sq": math.fsum(float(value) ** 2 for value in counts),
        "max": max(counts, default=np.iinfo(np.int64).min),
        "saturated": sum(saturation is not None and value > saturation for value in counts),
        "mean": total / len(counts) if counts else math.nan,
        "x": math.nan,
        "y": math.nan,
    }
    if total > 0:
        slow, fast = np.nonzero(good)
        weight = np.maximum(np.array(counts, float), 0)
        answer["x"] = math.fsum(weight * (fast + 0.5)) / math.fsum(weight)
        answer["y"] = math.fsum(weight * (slow + 0.5)) / math.fsum(weight)
    return answer


def _between(values, i, place):
    """Linear between ring centres, of a pixel in ring i; a ring without a value is left out."""
    last = len(values) - 1
    place = min(max(place, 0.0), last)
    low = min(max(math.floor(place), 0), max(last - 1, 0))
    part, high = place - low, min(low + 1, last)
    a, b = values[low], values[high]
    a, b = (b if math.isnan(a) else a), (a if math.isnan(b) else b)
    return math.nan if math.isnan(values[i]) else a + part * (b - a)


def signal(frame, good, rings, noise=0.0):
    """Background, signal and sigma of a region, pixel by pixel.

    Parameters: frame [slow, fast]; good bool [slow, fast], its pixels that hold a measurement; rings: a dictionary of
    position, weight, dark [slow, fast] and mean, phi, other, variance [rings].
    """
    counting = [p * max(m, 0) for p, m in zip(rings["phi"], rings["mean"], strict=True)]
    other = [o * o for o in rings["other"]]
    expected, total, spread, areas = [], [], [], {}
    for s, f in zip(*np.nonzero(good), strict=True):
        place, w = float(rings["position"][s, f]), float(rings["weight"][s, f])
        ring = math.floor(min(max(place, 0.0), len(rings["mean"]) - 1) + 0.5)
        level = _between(rings["mean"], ring, place)
        if math.isnan(level):
            continue
        expected.append(level * w + float(rings["dark"][s, f]))
        total.append(float(frame[s, f]))
        spread.append(_between(counting, ring, place) * w + _between(other, ring, place) * w * w + noise * noise)
        areas.setdefault(ring, []).append(w)
    if not total:
        return math.nan, math.nan, math.nan
    above = math.fsum(total) - math.fsum(expected)
    error = math.fsum(rings["variance"][ring] * math.fsum(w) ** 2 for ring, w in areas.items())
    return math.fsum(expected), above, math.sqrt(math.fsum(spread) + max(above, 0) + error)
