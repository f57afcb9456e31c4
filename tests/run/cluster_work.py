"""Work for the workers of a cluster that needs no file and no device, and workers in trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord

released = threading.Event()
"""What is stuck goes on: workers may be threads of the test's process."""


@dataclass(frozen=True)
class TroubledWork:
    """As `crystint.run.frame_work.FrameWork`: frames that take a moment, on workers of which some are in trouble."""

    frames: int
    slow: tuple[str, ...] = ()
    """names of workers that take a tenth of a second more for each frame"""
    blind: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    broken: int = -1
    """a frame that no worker can do"""

    @contextmanager
    def open(self, _device: str | None) -> Iterator[TroubledWork]:
        """It is its own worker."""
        yield self

    @property
    def total(self) -> int:
        """Frames."""
        return self.frames

    @property
    def device(self) -> str:
        """None."""
        return "no device"

    def record(self, number: int, first: Any) -> FrameRecord:
        """The number, and what was sent."""
        from distributed import get_worker

        name = str(get_worker().name)
        if name in self.blind:
            raise FileError("run.h5 does not exist")
        if name in self.stuck and number >= 8:
            released.wait(300)
        if number == self.broken:
            raise ZeroDivisionError("zero")
        time.sleep(0.1 if name in self.slow else 0.002)
        return FrameRecord(number, facts={"first": first, "worker": name})
