"""What ``crystint bench`` can be told."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from crystint.run.settings import DetectorSettings, Whole, setting

__all__ = ["BenchSettings"]


class BenchSettings(DetectorSettings):
    """What is timed, and on which frame. Rings are 1000, cycles 5, and there are no corrections."""

    frame: Whole = setting(0, "frame of FILE to use", ge=0)
    dtype: str | None = setting(
        None, "measure the frame as this dtype: int32, uint16, uint32, int16, uint8 or float32", metavar="DTYPE"
    )
    peer: tuple[Literal["pyfai", "fabio", "peakfinder8", "dials"], ...] = setting(
        (), "time another program on the same frame, too: pyfai, fabio, peakfinder8 or dials", metavar="NAME"
    )
    scale: Literal["pixels", "rings", "cores", "threads"] | None = setting(
        None, "how the times change with the size of the frame, the rings, the cores, or threads sharing a separator"
    )
    only: tuple[str, ...] = setting((), "only what is called so, or begins so", metavar="NAME")
    kernels: bool = setting(False, "device time of each kernel beside the bytes that it moves, too")
    rounds: Whole = setting(7, "how often each is timed", ge=1, le=1000)

    @model_validator(mode="after")
    def _peers_are_timed(self) -> Self:
        if self.peer and self.scale not in (None, "pixels"):
            raise ValueError(f"--peer has no meaning with --scale {self.scale}")
        return self
