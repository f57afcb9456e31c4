"""What peaks, sparsify and densify say at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import warn
from crystint.model.facts import counted
from crystint.model.frame_table import FrameStatus, FrameTable, empty_frame_table
from crystint.model.peaks import HIT
from crystint.model.sparse import reasons_text
from crystint.model.spots import SpotList
from crystint.run.in_progress import RunInProgress
from crystint.run.outcome import Outcome, listed, rate_text
from crystint.summation.audit import ReflectionAudit
from crystint.summation.verdict import verdicts

__all__ = ["Separated", "outcome_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Separated:
    """What was found in the frames of a run."""

    results: FrameTable = field(default_factory=empty_frame_table)
    """structured array of `crystint.FRAME_DTYPE` [frames]: what was found in each"""
    pixels: int = 0
    """pixels kept, of all frames"""
    unusable: tuple[int, ...] = ()
    """numbers of the frames without one usable pixel"""
    masked: str = ""
    """how much of the frame is masked, where masks were given"""
    persistent: str = ""
    """peaks on places that persist, in words"""
    packing: str = ""
    """the compression of whole frames that were written"""
    cost: str = ""
    """what the threshold costs in intensities, in a line"""
    audit: ReflectionAudit | None = None
    """what became of reflections; None = that was not asked for"""
    hit_peaks: int = HIT
    """peaks that make a frame a hit"""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """pixels kept, by their first reason: significant, grown, predicted"""
    spots: SpotList | None = None
    """what the peaks of neighbouring frames were joined to; None = they were not"""

    @property
    def peaks(self) -> NDArray[np.int64]:
        """int64 [frames]: spots of each; empty when none were looked for. Those of missing frames are 0."""
        counts = self.results["n_spots"].astype(np.int64)
        return np.maximum(counts, 0) if (counts >= 0).any() else counts[:0]

    @property
    def hits(self) -> int:
        """Frames with enough peaks, without those on rings of ice."""
        return int(np.count_nonzero(self.results["hit"] == 1))

    @property
    def vetoed(self) -> int:
        """Frames whose signal was left out since they are no hits."""
        return int(np.count_nonzero(self.results["status"] == FrameStatus.VETOED))


def outcome_of(run: RunInProgress, separated: Separated, outputs: tuple[Path, ...] = ()) -> Outcome:
    """The outcome of a run over frames."""
    frames, peaks = run.done, separated.peaks
    if separated.unusable:
        warn(f"{len(separated.unusable)} of {frames} frames have no usable pixel: {listed(separated.unusable)}")
    parts = [f"{frames} frame{'s' if frames != 1 else ''}"]
    if len(peaks):
        parts.append(f"{int(peaks.sum())} peaks (median {np.median(peaks):g} per frame)")
        parts.append(f"{separated.hits} hit{'s' if separated.hits != 1 else ''} (>= {separated.hit_peaks} peaks)")
    if separated.spots is not None:
        parts.append(f"joined to {counted(len(separated.spots), 'spot')}")
    if separated.vetoed:
        parts.append(f"{separated.vetoed} vetoed")
    if separated.pixels:
        parts.append(
            f"{separated.pixels} pixels kept ({separated.pixels / frames:.0f} per frame){_by_reason(separated)}"
        )
    parts += [text for text in (separated.persistent, separated.masked) if text]
    if separated.packing:
        parts.append(f"compression {separated.packing}")
    if run.rate:
        parts.append(rate_text(run.rate))
    text = "\n".join([", ".join(parts), *([separated.cost] if separated.cost else [])])
    if separated.audit is not None:
        text = "\n".join([text, *map(str, verdicts(separated.audit))])
    more: dict[str, Any] = {"outputs": outputs} if outputs else {}
    return Outcome(
        text,
        separated,
        frames=frames,
        of=run.total,
        missing=dict(sorted(run.missing.items())),
        resumable=True,
        rate=run.rate,
        **more,
    )


def _by_reason(separated: Separated) -> str:
    """How many pixels each reason has, where there are several."""
    others = sum(separated.reasons.values()) > separated.reasons.get("significant", 0)
    return f": {reasons_text(separated.reasons)}" if others else ""
