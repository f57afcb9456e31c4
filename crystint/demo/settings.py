"""What ``crystint demo`` can be told."""

from __future__ import annotations

from crystint.run.settings import StepSettings, Whole, setting

__all__ = ["DemoSettings"]


class DemoSettings(StepSettings):
    """The frames that are simulated."""

    frames: Whole = setting(20, "frames to simulate", ge=1, le=10000)
    shape: tuple[Whole, Whole] = setting((1024, 1062), "(slow, fast) of the frames, px")
