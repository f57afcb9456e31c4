"""Opened frames and what fits them: masks and images, of the files or as the settings say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, SettingError, ShapeError, warn
from crystint.io.frames.masks import read_mask
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.geometry.crystfel_text import read_geom_text
from crystint.model.mask import USER_MASK, combine_masks
from crystint.run.settings import DetectorSettings, PixelSettings

__all__ = ["RunMask", "check_shape", "frame_number", "image_of", "mask_of", "masks_in", "read_frame", "saturation_in"]

_MOST_MASKED = 0.5
"""Share of the pixels: a mask of more may be upside down."""


def frame_number(number: int, total: int) -> int:
    """The frame that was asked for, from 0; -1 is the last.

    Raises
    ------
    SettingError
        When there is none of this number.
    """
    if not -total <= number < total:
        there = f"there are {total} frames, from 0 to {total - 1}" if total > 1 else f"there is {total or 'no'} frame"
        raise SettingError(f"frame is {number}, but {there}{', number 0' if total == 1 else ''}")
    return number % total


@dataclass(frozen=True, slots=True, eq=False)
class RunMask:
    """The mask of a run, and how much of the frame it covers."""

    pixels: NDArray[np.uint32]
    """uint32 [slow, fast]: 0 = good"""
    about: str
    """a line for the end of the run; empty where the frames' own mask is all there is"""


def mask_of(frames: Frames, settings: PixelSettings, geometry: Path | None = None) -> RunMask:
    """The mask of the frames, those of the settings, and the bad regions of a CrystFEL geometry together.

    Raises
    ------
    ShapeError
        When one has another shape than the frames.
    FileError
        When no pixel is left, or the mask of the frames cannot be understood and none is given.
    """
    by_source = {"file": _mask_in_files(frames, settings)}
    if geometry is not None and geometry.suffix.lower() == ".geom":
        bad_regions = read_mask(geometry, shape=frames.shape)
        check_shape(f"mask {geometry}", bad_regions.shape, frames.shape)
        by_source["-g"] = bad_regions
    masks = masks_in(settings, frames.shape)
    if masks:
        by_source["-m"] = combine_masks(*masks, shape=frames.shape)
    together = combine_masks(*by_source.values(), shape=frames.shape)
    if together.all():
        raise FileError("no usable pixel: the mask covers the whole frame")
    parts = ", ".join(f"{name} {_share(mask)}" for name, mask in by_source.items())
    return RunMask(together, f"masked {_share(together)} ({parts})" if masks else "")


def saturation_in(frames: Frames, settings: DetectorSettings) -> float | None:
    """The largest valid count: max_adu of a CrystFEL geometry that was given, else what the frames tell."""
    if settings.geometry is not None and settings.geometry.suffix.lower() == ".geom":
        limit = read_geom_text(settings.geometry).saturation
        if limit is not None:
            return limit
    return frames.saturation


def _mask_in_files(frames: Frames, settings: PixelSettings) -> NDArray[np.uint32] | None:
    """That of the frames; where it cannot be understood, one that is given is enough."""
    try:
        mask = frames.mask
    except FileError as error:
        if not settings.mask:
            raise
        warn(f"{error}: it is left out")
        return None
    share = 0.0 if mask is None else np.count_nonzero(mask) / mask.size
    if share > _MOST_MASKED:
        warn(f"the mask in {frames.files[0]}: {share:.0%} of the pixels are masked (0 is good, all else is masked)")
    return mask


def _share(mask: NDArray[np.uint32] | None) -> str:
    return f"{0.0 if mask is None else 100 * np.count_nonzero(mask) / mask.size:.3g} %"


def masks_in(settings: PixelSettings, shape: tuple[int, int]) -> list[NDArray[np.uint32]]:
    """uint32 [slow, fast] each: the masks that the settings name, with a warning where one looks upside down.

    Raises
    ------
    ShapeError
        When one has another shape than the frames.
    """
    masks = []
    for path in settings.mask:
        mask = read_mask(path)
        check_shape(f"mask {path}", mask.shape, shape)
        if settings.mask_valid:
            mask = np.where(mask == 0, np.uint32(USER_MASK), np.uint32(0))
        share = np.count_nonzero(mask) / mask.size
        if share > _MOST_MASKED:  # LOKI, DIALS and psana write maps of good pixels
            meaning = "0 is masked, all else is good" if settings.mask_valid else "0 is good, all else is masked"
            hint = "leave --mask-valid out" if settings.mask_valid else "give --mask-valid"
            warn(f"mask {path}: {share:.0%} of the pixels are masked ({meaning}); if it is the other way round, {hint}")
        masks.append(mask)
    return masks


def check_shape(what: str, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Raise unless something has the shape (slow, fast) of the frames.

    Raises
    ------
    ShapeError
        With both shapes.
    """
    if shape != expected:
        hint = "; it looks transposed" if shape == expected[::-1] else ""
        raise ShapeError(f"{what} is {shape}, the frames are {expected} (slow, fast){hint}")


def image_of(path: Path, what: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """float32 [slow, fast]: the one frame of a file."""
    with open_frames(path) as images:
        if len(images) != 1:
            raise FileError(f"{what} {path} holds {len(images)} frames, expected one")
        image = images[0]
    check_shape(f"{what} {path}", image.shape, shape)
    return image.astype(np.float32)


def read_frame(frames: Frames, number: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """A frame, as `Frames.read`.

    Raises
    ------
    FileError
        With the number of the frame and its file, when it cannot be read.
    """
    try:
        return frames.read(number, out)
    except OSError as error:
        raise FileError(f"frame {number}{_file_of(frames, number, str(error))}: {error}") from error


def _file_of(frames: Frames, number: int, text: str) -> str:
    """Where a frame is, unless the text says so already."""
    try:
        source = frames.source(number)
    except OSError:
        return ""
    return "" if source.file in text else f" ({source.file}, frame {source.index} in it)"
