"""What is done with the frames of a run to find bad pixels: a block of them at a time, to sums that add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.io.frame_record import FrameRecord
from crystint.io.frames.sequence import Frames
from crystint.model.spot_rows import SPOT_DTYPE, spots_in
from crystint.ops.pixel_sums import PixelSums
from crystint.ops.run_statistics import add_background, no_rings
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import MaskSettings

__all__ = ["MaskWork", "MaskWorker", "block_of", "spots_of", "third_of"]

_NO_PIXELS = 50.0
"""SNR_pick of frames of which only the background is wanted"""
_FEWEST, _MOST = 8, 128


def block_of(frames: int) -> int:
    """Frames of a block: enough that the sums of a block are much less than its frames, and that there are six."""
    return max(1, min(max(_FEWEST, -(-frames // 64)), _MOST, -(-frames // 6)))


def third_of(number: int, frames: int) -> int:
    """The third of the run, 0 to 2, that a block belongs to."""
    return min(3 * number * block_of(frames) // max(frames, 1), 2)


@dataclass(eq=False)
class MaskWorker:
    """As `crystint.run.frame_work.FrameWorker`, for blocks of frames."""

    run: PreparedRun

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self.run.frames)

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.run.separator.engine.device.name

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The sums over a block of frames; those that cannot be read are named."""
        run, block = self.run, block_of(self.total)
        rings = run.separator.rings
        sums, backgrounds = PixelSums.zeros(rings.shape, run.frames.dtype), no_rings(rings.rings)
        missing: dict[str, str] = {}
        dead: list[int] = []
        spots = [np.zeros(0, SPOT_DTYPE)]
        end = min((number + 1) * block, self.total)
        for start in range(number * block, end, run.batch):
            numbers, frames, reasons = run.read_several(range(start, min(start + run.batch, end)))
            missing |= {str(frame_number): reason for frame_number, reason in reasons.items()}
            examined = run.examine(frames, numbers, _NO_PIXELS, run.settings.snr_peak)
            for frame_number, frame, (sparse, peaks, _) in zip(numbers, frames, examined):
                assert sparse is not None  # both were asked for
                assert peaks is not None
                if np.isnan(sparse.background.mean).all():
                    dead.append(frame_number)
                    continue
                sums.add(frame, sparse.unusable_index)
                add_background(backgrounds, sparse.background)
                spots.append(spots_in(peaks))
        arrays = sums.arrays() | {"rings": backgrounds, "spots": np.concatenate(spots).view(np.uint8)}
        return FrameRecord(number, facts={"missing_frames": missing, "dead_frames": dead}, arrays=arrays)


def spots_of(record: FrameRecord) -> NDArray[np.void]:
    """The peaks in a record, of `SPOT_DTYPE`, in memory of their own."""
    return np.array(record.arrays["spots"]).view(SPOT_DTYPE)


@dataclass(frozen=True, slots=True)
class MaskWork:
    """As `crystint.run.frame_work.FrameWork`: which frames."""

    frames: Frames
    """with what was noted of their files, which workers need not open for it"""
    settings: MaskSettings

    @classmethod
    def of(cls, run: PreparedRun, settings: MaskSettings) -> Self:
        """For the frames of a run that is open here."""
        return cls(run.frames, settings.absolute())

    @contextmanager
    def open(self, device: str | None) -> Iterator[MaskWorker]:
        """On the machine that works on them."""
        self.frames.check_files()
        with self.frames, opened(self.frames, self.settings, device) as run:
            yield MaskWorker(run)
