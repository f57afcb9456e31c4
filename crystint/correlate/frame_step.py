"""What is done with each frame of a run: from its number to its polar image, and on to the record of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from crystint.correlate.exposures import Exposures, grid_of, opened
from crystint.correlate.polar.polar import PolarTransform
from crystint.correlate.settings import GridSettings
from crystint.engine import Engine
from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord
from crystint.model.polar_grid import PolarGrid
from crystint.model.polar_image import PolarImage

__all__ = ["PolarWork", "PolarWorker", "Treatment"]

Treat = Callable[[int, PolarImage], FrameRecord]
"""(number of the frame, its polar image) -> the record"""


class Treatment(Protocol):
    """What is done with the polar image of a frame. Plain values only: it travels."""

    def on(self, engine: Engine) -> Treat:
        """The treatment on a device."""


@dataclass(frozen=True, eq=False)
class PolarWorker:
    """As `crystint.run.frame_work.FrameWorker`: frames that are open, and a transformation."""

    exposures: Exposures
    transform: PolarTransform
    treat: Treat

    @classmethod
    def of(cls, exposures: Exposures, grid: PolarGrid, settings: GridSettings, treatment: Treatment, device: str | None
           ) -> Self:  # fmt: skip
        """On a device of this machine."""
        engine = Engine(device)
        return cls(exposures, exposures.transform(engine, grid, settings), treatment.on(engine))

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self.exposures.frames)

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.transform.engine.device.name

    def record(self, number: int, _first: Any) -> FrameRecord:
        """What a frame gives; one that cannot be read gives a record that says why."""
        try:
            frame = self.exposures.read(number)
        except FileError as error:
            return FrameRecord(number, missing=str(error))
        return self.treat(number, self.transform.run(frame))


@dataclass(frozen=True, slots=True)
class PolarWork:
    """As `crystint.run.frame_work.FrameWork`: which frames, and what is done with each."""

    files: tuple[str, ...]
    settings: GridSettings
    treatment: Treatment

    @classmethod
    def of(cls, exposures: Exposures, settings: GridSettings, treatment: Treatment) -> Self:
        """For frames that are open here."""
        return cls(exposures.files, settings.absolute(), treatment)

    @contextmanager
    def open(self, device: str | None) -> Iterator[PolarWorker]:
        """On the machine that works on them."""
        with opened(self.files, self.settings) as exposures:
            grid = grid_of(exposures, self.settings)
            yield PolarWorker.of(exposures, grid, self.settings, self.treatment, device)
