"""What a step does with each frame, wherever it is done: a thread of this process, or a worker of a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from crystint.io.frame_record import FrameRecord

__all__ = ["FrameWork", "FrameWorker"]


class FrameWorker(Protocol):
    """Files that are open, and a device: ready to work on frames, by any number of threads at once."""

    @property
    def total(self) -> int:
        """The total of `crystint.run.in_progress.in_progress`: frames, also where a record is of a block of them."""

    @property
    def device(self) -> str:
        """Name of the device that it computes with; "" = none."""

    def record(self, number: int, first: Any) -> FrameRecord:
        """What a frame gives. One that cannot be read gives a record that says why.

        Parameters
        ----------
        number : int
            Of the frame.
        first
            What depends on the first frame of all, see `RunInProgress.records`; None = nothing does, or this is it.
        """


class FrameWork(Protocol):
    """A picklable description of the work: a frozen dataclass of plain values, with absolute paths."""

    def open(self, device: str | None) -> AbstractContextManager[FrameWorker]:
        """A worker, on this machine.

        Parameters
        ----------
        device
            As `crystint.Engine` takes it.
        """
