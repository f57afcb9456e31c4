"""Settings of ``crystint online write``."""

from __future__ import annotations

from pathlib import Path

from crystint.run.settings import Positive, StepSettings, Whole, setting

__all__ = ["WriteSettings"]


class WriteSettings(StepSettings):
    """What a writer of images is told."""

    output: Path = setting(..., "folder of the files, made where it is not there", flag="-o", metavar="FOLDER")
    name: str | None = setting(
        None, "of this writer: no two may have the same; of the machine and the process where it is not given",
        metavar="NAME",
    )  # fmt: skip
    part: Whole = setting(0, "which part of the images it would like, from 0", ge=0, le=31)
    parts: Whole = setting(1, "number of parts; more than one gives the files names with _w00, _w01 ...", ge=1, le=32)
    images_per_file: Whole = setting(1000, "images of a file", ge=1)
    overwrite: bool = setting(False, "replace files that are there, instead of taking another name")
    liveness: Positive = setting(5.0, "s of silence after which the sender is dead, and connected anew")
    series: Whole | None = setting(None, "end after so many series; never where it is not given", ge=1)
