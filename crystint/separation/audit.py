"""The audit of sparsify: reflections of the raw frames against densified ones, while the raw frame is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.densify import Densifier
from crystint.ops.separator import Separator
from crystint.prediction.boxes import ReflectionBoxes
from crystint.separation.settings import Settings
from crystint.summation.frame_audit import FrameAudit, FrameAuditor, PeakRules, ReflectionSums, empty_audit

__all__ = ["AuditTools", "reflection_sums"]

_SEED = 0
"""of the noise of densify, as that of ``crystint compare``"""


@dataclass(frozen=True, slots=True)
class AuditTools:
    """What densifies frames and sums their reflections. Threads may share them."""

    densifier: Densifier
    auditor: FrameAuditor

    @classmethod
    def of(cls, separator: Separator, settings: Settings, boxes: ReflectionBoxes | None = None) -> Self:
        """For the frames of a run."""
        auditor = FrameAuditor(separator, PeakRules.of_settings(settings.plain()), boxes)
        return cls(Densifier(separator.engine, separator.rings), auditor)

    def audit(self, number: int, frame: NDArray[Any], sparse: SparseFrame) -> FrameAudit:
        """The reflections of a frame."""
        clean, noisy = (self.densifier.run(sparse, noise, _SEED) for noise in (False, True))
        return self.auditor.audit(number, frame, sparse, noisy, clean)


def reflection_sums(rings: RingMap, settings: Settings, boxes: ReflectionBoxes | None = None) -> ReflectionSums:
    """Where the reflections of a run are gathered."""
    return ReflectionSums(empty_audit(rings, PeakRules.of_settings(settings.plain()), boxes), boxes)
