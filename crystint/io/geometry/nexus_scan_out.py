"""A scan as NeXus has it: transformations of the sample, and times of the detector and the entry.

Vectors are turned into McStas's frame, as `crystint.io.geometry.nexus_detector` does with those of the detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import h5py
import numpy as np

from crystint.errors import note, warn
from crystint.io.geometry.nexus_detector import TURNED
from crystint.io.hdf5.files import group, put
from crystint.io.outputs import utf8
from crystint.model.scan import Scan

__all__ = ["write_sample_axes", "write_times"]


def write_sample_axes(sample: h5py.Group, scan: Scan | None) -> None:
    """``depends_on`` and ``transformations``.

    Stills depend on nothing, so that programs which take every goniometer for a rotation scan do not: what is known of
    their angles stands in ``transformations`` all the same. A turn by negative widths is written about the opposite
    axis: DIALS reads no others.

    Warns
    -----
    CrystintWarning
        When the angles of some frames are not known: the scan is left out.
    CrystintNote
        When the axis is reversed.
    """
    if scan is not None and len(scan) and scan.rotates and not np.isfinite([*scan.angles, scan.width]).all():
        whole = int(np.isfinite([*scan.angles, scan.width]).all(axis=0).sum())
        warn(
            f"the angles of {len(scan) - whole} of the {len(scan)} frames are not known: the file has no scan, "
            "because programs read none with unknown angles; work on the frames that have them (--frames)"
        )
        scan = None
    if scan is not None and len(scan) and scan.rotates and scan.width.max() <= 0.0:
        scan = _reversed(scan)
    names = [] if scan is None or not len(scan) else _members(scan.names)
    rotates = bool(names) and scan is not None and scan.rotates
    put(sample, "depends_on", f"{sample.name}/transformations/{names[0]}" if rotates else ".")
    if scan is None or not names:
        return
    axes = group(sample, "transformations", "NXtransformations")
    for number, name in enumerate(names):
        angles, turns = scan.angles[number], number == scan.scan_axis and scan.rotates
        stands = not turns and bool(np.ptp(angles) == 0.0)
        after = f"{axes.name}/{names[number + 1]}" if number + 1 < len(names) else "."
        put(
            axes,
            name,
            angles[:1] if stands else angles,
            "deg",
            transformation_type="rotation",
            vector=scan.vectors[number] * TURNED,
            offset=np.zeros(3),
            offset_units="m",
            depends_on=after,
        )
        if turns:
            put(axes, f"{name}_end", angles + scan.width, "deg")
            same = bool(np.ptp(scan.width) == 0.0)
            put(axes, f"{name}_increment_set", scan.width[0] if same else scan.width, "deg")


def _reversed(scan: Scan) -> Scan:
    """The same turn, by positive widths about the opposite axis."""
    at = scan.scan_axis
    note(
        f"{scan.names[at]} turns by negative widths, which DIALS refuses: it is written about the opposite axis, with "
        "all of its angles negated, which is the same turn"
    )
    sign = np.where(np.arange(len(scan.names)) == at, -1.0, 1.0)[:, None]
    return replace(scan, vectors=sign * scan.vectors, angles=sign * scan.angles, width=-scan.width)


def _members(names: Sequence[str]) -> list[str]:
    """Names of axes as those of data sets, each once."""
    plain = [utf8(name).replace("/", "_").strip(".") or "axis" for name in names]
    return [name if plain.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(plain)]


def write_times(entry: h5py.Group, detector: h5py.Group, scan: Scan) -> None:
    """What is known of ``count_time`` and ``frame_time`` and of the start of the frames; nothing is filled in."""
    if np.isfinite(scan.exposure).all():
        same = bool(np.ptp(scan.exposure) == 0.0)
        put(detector, "count_time", scan.exposure[0] if same else scan.exposure, "s")
    period = scan.frame_time
    if np.isfinite(period).all():
        made = put(detector, "frame_time", float(np.median(period)), "s")  # readers take one number
        if np.ptp(period) > 0.0:
            made.attrs["comment"] = "median; it differs from frame to frame, which frame_times has"
            put(detector, "frame_times", period, "s")
    start, last = scan.times[0], scan.times[-1]
    if np.isfinite(start):
        put(entry, "start_time", scan.time_text(start))
        if scan.zone:
            put(entry["instrument"], "time_zone", scan.zone)
    if np.isfinite(scan.times[1:]).all() and np.isfinite(start) and len(scan) > 1:
        put(detector, "start_time", scan.times - start, "s", start=scan.time_text(start))
        if np.isfinite(period[-1]):
            put(entry, "end_time", scan.time_text(last + period[-1]))
    if np.isfinite(start) and np.isfinite(period).all():
        estimated = last + period[-1] if np.isfinite(last) else start + period.sum()
        put(entry, "end_time_estimated", scan.time_text(estimated))
