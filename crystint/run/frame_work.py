"""What a step does with each frame, wherever it is done: a thread of this process, or a worker of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from crystint.io.frame_record import FrameRecord

__all__ = ["BatchWorker", "FrameWork", "FrameWorker", "batch_of", "records_of"]


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


@runtime_checkable
class BatchWorker(Protocol):
    """A `FrameWorker` whose device works on several frames at a time."""

    @property
    def batch(self) -> int:
        """How many."""

    def records(self, numbers: Sequence[int], first: Any) -> list[FrameRecord]:
        """As `record`, of at most `batch` frames."""


def batch_of(worker: FrameWorker) -> int:
    """Frames that a worker takes at a time."""
    return worker.batch if isinstance(worker, BatchWorker) else 1


def records_of(worker: FrameWorker, numbers: Sequence[int], first: Any) -> list[FrameRecord]:
    """What some frames give, in their order."""
    if not isinstance(worker, BatchWorker):
        return [worker.record(number, first) for number in numbers]
    batch = worker.batch
    some = (numbers[start : start + batch] for start in range(0, len(numbers), batch))
    return [record for each in some for record in worker.records(each, first)]


class FrameWork(Protocol):
    """A picklable description of the work: a frozen dataclass of plain values, with absolute paths."""

    def open(self, device: str | None) -> AbstractContextManager[FrameWorker]:
        """A worker, on this machine.

        Parameters
        ----------
        device
            As `crystint.Engine` takes it.
        """
