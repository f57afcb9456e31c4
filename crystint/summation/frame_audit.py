"""The reflections of one frame, raw and densified: predicted ones, or those of the peaks that are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.io.frame_record import FrameRecord
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.separator import Separator
from crystint.prediction.boxes import ReflectionBoxes
from crystint.summation.audit import PART_DTYPE, SHELLS, ReflectionAudit, joined, parts_of, places_of, reflection_shells
from crystint.summation.footprints import RADIUS, RING, Footprints

__all__ = ["FrameAudit", "FrameAuditor", "PeakRules", "ReflectionSums", "empty_audit"]

_SAME = 2.0
"""Peaks of the raw and the densified frame that are no further apart are one, px."""
_WAITING = 200_000
"""parts of reflections that are kept apart, at most"""
_FAR = 1 << 20
"""more than the peaks of a frame: their numbers are those of the frame times this, and on"""


@dataclass(frozen=True, slots=True)
class PeakRules:
    """What makes a peak, as `Separator.peaks` has it."""

    snr: float = 5.0
    snr_pick: float = 2.0
    connected: int = 3
    patch: int = 3
    noise: float = 0.0

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Those of the settings in the provenance of a sparse file; defaults for what it does not tell."""
        names = {"snr": "snr_peak"}
        values = {each.name: settings.get(names.get(each.name, each.name)) for each in fields(cls)}
        numbers: dict[str, Any] = {name: value for name, value in values.items() if isinstance(value, int | float)}
        return cls(**numbers)


@dataclass(frozen=True, slots=True, eq=False)
class FrameAudit:
    """What a frame adds to an audit."""

    parts: NDArray[np.void]
    """`PART_DTYPE` [n]: its reflections"""
    spots: int
    """as `ReflectionAudit`"""
    again: int
    invented: int

    def facts(self) -> dict[str, Any]:
        """The counts, for a record."""
        return {"spots": self.spots, "again": self.again, "invented": self.invented}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The reflections, for a record."""
        return {"parts": self.parts.view(np.uint8)}

    @classmethod
    def of_record(cls, record: FrameRecord) -> Self | None:
        """What `facts` and `arrays` put there; None = the frame was not audited."""
        if "parts" not in record.arrays:
            return None
        counts = {name: record.facts[name] for name in ("spots", "again", "invented")}
        return cls(record.arrays["parts"].view(PART_DTYPE), **counts)


class FrameAuditor:
    """Sums the reflections of one frame after the other. Threads may share one.

    Parameters
    ----------
    separator : Separator
        Of the frames: it finds the peaks.
    rules : PeakRules
    boxes : ReflectionBoxes, optional
        Of predicted reflections; None = the peaks that are found.
    shells : int
        Resolution shells.
    """

    def __init__(
        self, separator: Separator, rules: PeakRules, boxes: ReflectionBoxes | None = None, shells: int = SHELLS
    ) -> None:
        self._separator, self._rules, self._boxes, self._radius = separator, rules, boxes, radius_of(boxes)
        self.empty = empty_audit(separator.rings, rules, boxes, shells)
        """to which the reflections are added"""

    def audit(
        self, number: int, frame: NDArray[Any], sparse: SparseFrame, dense: NDArray[Any], clean: NDArray[Any] | None
    ) -> FrameAudit:
        """The reflections of a frame.

        Parameters
        ----------
        number : int
            Of the frame in the sequence that `boxes` know.
        frame : [slow, fast]
            Raw.
        sparse : SparseFrame
        dense, clean : [slow, fast]
            Densified with and without noise; None = it was not.
        """
        rings = sparse.background.rings
        raw_peaks, dense_peaks = self._peaks(frame), self._peaks(dense)
        again = _matched(raw_peaks, dense_peaks)
        limits: dict[str, Any] = {"valid": rings.valid, "saturation": sparse.background.saturation}
        if self._boxes is None:
            at, reflection = raw_peaks, np.arange(len(raw_peaks)) + number * _FAR
        else:
            rows = self._boxes.of_frame(number)
            at, reflection = np.stack([rows["slow"], rows["fast"]], axis=1), rows["reflection"]
        slow, fast, radius = at[:, 0], at[:, 1], self._radius
        place = places_of(rings, slow, fast)
        if self._boxes is not None and self.empty.unit == "q":
            d = self._boxes.d[reflection]
            place = np.where(np.isfinite(d), 2 * np.pi / np.where(d > 0, d, np.nan), place)
        ring = (radius + RING[0] - RADIUS, radius + RING[1] - RADIUS)
        spots = Footprints.discs(slow, fast, frame, rings.mask, radius=radius, ring=ring, **limits)
        parts = parts_of(spots, reflection, place, sparse.index, frame, dense, clean)
        if self._boxes is not None and self._boxes.outside is not None:
            parts = parts[~self._boxes.outside[reflection]]  # only a part of them is on the frames
        invented = len(dense_peaks) - _matched(dense_peaks, raw_peaks)
        return FrameAudit(parts, len(raw_peaks), again, invented)

    def _peaks(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """float64 [n, 2]: slow and fast of the peaks of a frame."""
        use = self._rules
        peaks = self._separator.peaks(frame, use.snr, min(use.snr_pick, use.snr), use.connected, use.patch, use.noise)
        return np.stack([peaks["slow"], peaks["fast"]], axis=1)


def empty_audit(
    rings: RingMap, rules: PeakRules, boxes: ReflectionBoxes | None = None, shells: int = SHELLS
) -> ReflectionAudit:
    """An audit to which reflections are added; arguments as of `FrameAuditor`."""
    edges, unit = reflection_shells(rings, shells)
    what = f"peaks found at snr {rules.snr:g} in each raw frame" if boxes is None else "predicted reflections"
    source = f"{what}, summed within {radius_of(boxes):.3g} px"
    expected = boxes is not None and boxes.expected is not None
    return ReflectionAudit(edges, unit, source=source, selected=boxes is None, expected=expected)


def radius_of(boxes: ReflectionBoxes | None) -> float:
    """Within which distance pixels are summed, px: half of what boxes reach, which hold background as well."""
    if boxes is None or not len(boxes):
        return RADIUS
    sides = boxes.box[:, 1::2] - boxes.box[:, ::2]
    return max(RADIUS, float(np.median(sides.min(axis=1))) / 4)


def _matched(peaks: NDArray[np.float64], others: NDArray[np.float64]) -> int:
    """How many of the peaks have one of the others near them."""
    if not len(peaks) or not len(others):
        return 0
    others = others[np.argsort(others[:, 0])]
    first = np.searchsorted(others[:, 0], peaks[:, 0] - _SAME)
    count = np.searchsorted(others[:, 0], peaks[:, 0] + _SAME, side="right") - first
    one = np.repeat(np.arange(len(peaks)), count)
    other = np.arange(len(one)) - np.repeat(np.cumsum(count) - count - first, count)
    near = np.hypot(*(peaks[one] - others[other]).T) <= _SAME
    return len(np.unique(one[near]))


class ReflectionSums:
    """Gathers what frames add. Memory grows with the number of predicted reflections, not with that of frames.

    Parameters
    ----------
    empty : ReflectionAudit
    boxes : ReflectionBoxes, optional
        Of predicted reflections, which may be on several frames.
    """

    def __init__(self, empty: ReflectionAudit, boxes: ReflectionBoxes | None = None) -> None:
        self._audit, self._boxes = empty, boxes
        self._parts: list[NDArray[np.void]] = []
        self._waiting = 0

    def add(self, frame: FrameAudit | None) -> None:
        """Add the reflections of a frame; None = it was not audited."""
        if frame is None:
            return
        counts = {name: getattr(self._audit, name) + value for name, value in frame.facts().items()}
        self._audit = replace(self._audit, **counts)
        if self._boxes is None:
            self._audit = self._audit.with_parts(frame.parts)
            return
        self._parts.append(frame.parts.copy())
        self._waiting += len(frame.parts)
        if self._waiting > _WAITING:
            self._parts, self._waiting = [joined(np.concatenate(self._parts))], 0

    def audit(self) -> ReflectionAudit:
        """The audit of all frames so far."""
        if not self._parts or self._boxes is None:
            return self._audit
        whole, expected = joined(np.concatenate(self._parts)), self._boxes.expected
        return self._audit.with_parts(whole, None if expected is None else expected[whole["reflection"]])
