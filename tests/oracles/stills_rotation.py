"""Where a rotation experiment of DIALS puts a reflection, written out: S R(angle) F A h. Knows nothing of crystint."""

from __future__ import annotations

import json
import math

import numpy as np


def turn(axis, degrees):
    """Rotation matrix by the quaternion of half the angle."""
    x, y, z = np.array(axis) / np.linalg.norm(axis) * math.sin(math.radians(degrees) / 2)
    w = math.cos(math.radians(degrees) / 2)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def setting_at(expt, number, z):
    """Columns a*, b*, c* of experiment `number` at array index z (0 at the start of image 1)."""
    content = json.loads(expt.read_text())
    entry = content["experiment"][number]
    crystal, scan = content["crystal"][entry["crystal"]], content["scan"][entry["scan"]]
    goniometer = content["goniometer"][entry["goniometer"]]
    position = z - (scan["image_range"][0] - 1)
    if "A_at_scan_points" in crystal:
        points = np.array(crystal["A_at_scan_points"]).reshape(-1, 3, 3)
        low = min(max(math.floor(position), 0), len(points) - 2)
        a = points[low] + (position - low) * (points[low + 1] - points[low])
    else:
        a = np.linalg.inv([crystal[f"real_space_{axis}"] for axis in "abc"])
    start, width = scan["oscillation"]
    angle = start + width * position
    if "axes" in goniometer:
        for place, (axis, fixed) in enumerate(zip(goniometer["axes"], goniometer["angles"])):
            a = turn(axis, angle if place == goniometer["scan_axis"] else fixed) @ a
        return a
    fixed = np.array(goniometer["fixed_rotation"]).reshape(3, 3)
    outer = np.array(goniometer["setting_rotation"]).reshape(3, 3)
    return outer @ turn(goniometer["rotation_axis"], angle) @ fixed @ a
