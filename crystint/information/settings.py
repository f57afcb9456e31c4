"""What ``crystint info``, ``crystint verify`` and ``crystint devices`` can be told."""

from __future__ import annotations

from crystint.run.settings import PixelSettings, StepSettings, setting

__all__ = ["DevicesSettings", "InfoSettings", "VerifySettings"]


class InfoSettings(PixelSettings):
    """Which part of a file is described, and the masks that are to be used with it."""

    dataset: str | None = setting(None, "path of the frames inside an HDF5 file", metavar="PATH")


class DevicesSettings(StepSettings):
    """What is done before the devices are listed."""

    add_intel: bool = setting(False, "first make Intel's CPU runtime known that pip installed")


class VerifySettings(StepSettings):
    """Nothing: the file says what must be in it."""
