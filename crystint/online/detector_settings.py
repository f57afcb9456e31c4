"""Settings of the commands that are a detector, or stand in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crystint.online.settings import Size
from crystint.run.settings import NotNegative, Positive, StepSettings, Whole, setting

__all__ = ["CheckSettings", "RecordSettings", "SendSettings", "SimulateSettings"]

_STREAM = "tcp://127.0.0.1:31001"


def _words(value: Any) -> Any:
    """Words with commas between them, and sequences of such."""
    parts = (value,) if isinstance(value, str) else value
    if isinstance(parts, list | tuple):
        return tuple(word.strip() for part in parts for word in (part.split(",") if isinstance(part, str) else [part]))
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class _SourceOfImages(StepSettings):
    """What all that send images as a detector are told."""

    fps: Literal["max"] | Positive = setting(
        250.0, "images per second; max = as fast as they are fetched", metavar="NUMBER|max"
    )
    dialect: Literal["stream2", "jungfraujoch", "legacy"] = setting("stream2", "of the messages")
    channels: Words = setting((), "names of the images of an exposure, such as threshold_1", metavar="NAME,...")
    header_detail: Literal["all", "basic", "none"] = setting(
        "basic", "the start has the pixel mask and what is known of the detector, all but the mask, or next to nothing"
    )
    compression: Literal["bslz4", "lz4", "none"] = setting("bslz4", "of the images")
    faults: Path | None = setting(None, "script of faults", metavar="YAML")
    seed: Whole = setting(0, "of the faults, and of frames that are made", ge=0)
    images_per_file: Whole = setting(
        1000, "images that go to a socket of Jungfraujoch's before the next one has its turn", ge=1
    )
    queue: Size = setting(2**29, "images held for those who do not fetch them in time; what is more is thrown away",
                          metavar="SIZE")  # fmt: skip
    wait: NotNegative = setting(60.0, "s to wait for somebody who pulls")
    truth: Path | None = setting(None, "what was sent, and what was left out, as JSON", metavar="JSON")
    overwrite: bool = setting(False, "replace a truth that is there")


class SimulateSettings(_SourceOfImages):
    """Settings of ``crystint online simulate``."""

    frames: Whole = setting(4000, "images of a series", ge=1)
    series: Whole = setting(1, "series, one after the other", ge=1)
    size: str = setting("4M", "500k, 1M, 4M, 9M, 16M, or SLOWxFAST pixels", metavar="SIZE")
    dtype: Literal["uint8", "uint16", "uint32", "int16", "int32"] = setting("uint16", "of the pixels")
    hit_rate: Annotated[float, Field(ge=0, le=1)] = setting(0.3, "share of the images that have peaks")
    peaks: Whole = setting(60, "in such an image", ge=0)
    ring: Whole = setting(10, "different images that are made, and then sent in turn", ge=1)
    stream: tuple[str, ...] = setting(
        (_STREAM,), "where the detector is; several are sockets of Jungfraujoch's", metavar="ADDRESS"
    )
    simplon: str | None = setting(
        None, "DECTRIS's REST interface: series begin when they are armed and triggered there", metavar="HOST:PORT"
    )


class SendSettings(_SourceOfImages):
    """Settings of ``crystint online send``."""

    to: tuple[str, ...] = setting((_STREAM,), "where the detector is", metavar="ADDRESS")
    repeat: bool = setting(False, "a series after the other until it is stopped")
    speed: Positive = setting(1.0, "of a record: as many times as fast as it was")


class RecordSettings(StepSettings):
    """Settings of ``crystint online record``."""

    stream: tuple[str, ...] = setting((_STREAM,), "where the detector is", metavar="ADDRESS")
    output: Path = setting(Path("dump"), "folder, which must be new", flag="-o", metavar="FOLDER")
    series: Whole = setting(0, "ends of series after which it stops; 0 = none", ge=0)
    most: Size = setting(10**10, "on disk, after which it stops", metavar="SIZE")


class CheckSettings(StepSettings):
    """Settings of ``crystint online check``."""

    seconds: Positive = setting(20.0, "that it takes, about, besides what it takes to begin")
    fps: Literal["auto"] | Positive = setting(
        "auto", "images per second to try; auto = half of what is sustained", metavar="NUMBER|auto"
    )
    size: str = setting("4M", "of the images: 500k, 1M, 4M, 9M, 16M, or SLOWxFAST pixels", metavar="SIZE")
    dtype: Literal["uint8", "uint16", "uint32", "int16", "int32"] = setting("uint16", "of the pixels")
    device: str | None = setting(None, "gpu, cpu, an id such as 0:1, or a part of a name", metavar="NAME")
    threads: Whole | None = setting(
        None, "images looked at at a time; one for each core where it is not given", ge=1, metavar="N"
    )
