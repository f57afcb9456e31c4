"""Scan and instrument of a run: what the files of the frames tell, and experiments of DIALS given beside them."""

from __future__ import annotations

import numpy as np

from crystint.errors import note, warn
from crystint.io.frames.sequence import Frames
from crystint.io.geometry.dials import expt_scan
from crystint.io.reflections.dials_experiments import is_experiment_list
from crystint.model.instrument import Instrument
from crystint.model.scan import Scan
from crystint.run.settings import DetectorSettings

__all__ = ["scan_of"]

_SAME_AXIS = 0.999
"""cosine: refinement turns an axis by less"""
_SAME_TURN = 0.01
"""degrees"""


def scan_of(frames: Frames, settings: DetectorSettings) -> tuple[Scan | None, Instrument]:
    """Scan and instrument of the frames in a run; experiments of DIALS that are given with -g fill what the files lack.

    Warns
    -----
    CrystintNote
        When the scan is that of the experiments.
    CrystintWarning
        When theirs has another number of images, or is another one.
    """
    scan, instrument, path = frames.scan, frames.instrument, settings.geometry
    if path is None or not is_experiment_list(path):
        return scan, instrument
    own, facts = expt_scan(path)
    if own is not None and len(own) != frames.total:
        warn(f"{path} has a scan of {len(own)} images, but there are {frames.total} frames: it is not used")
    elif own is not None:
        own = own.select(frames.numbers)
        if scan is None or not scan.names:
            scan = own
            note(f"the files of the frames tell no goniometer; the scan is that of {path}")
        elif difference := _other_scan(scan, own):
            warn(f"the frames and {path} differ in {difference} of the scan; what the frames tell is used")
    return scan, instrument.over(facts)


def _other_scan(scan: Scan, own: Scan) -> str:
    """In what two scans of the same frames differ; "" where they do not. Refinement turns axes by little."""
    if scan.rotates != own.rotates:
        return "the kind (stills, rotation)"
    if not scan.rotates:
        return ""
    if scan.axis @ own.axis < _SAME_AXIS:
        return "the direction of the axis"
    angles = scan.angles[scan.scan_axis] - own.angles[own.scan_axis]
    if np.abs(np.diff(angles)).max(initial=0.0) > _SAME_TURN or np.abs(scan.width - own.width).max() > _SAME_TURN:
        return "angles"
    return ""
