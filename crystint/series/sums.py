"""Images over a series of frames: mean, sum, maximum and variance, and in how many frames each pixel was usable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakList
from crystint.ops.pixel_sums import PixelSums

__all__ = ["MEANING", "SumImages", "images_of_frames", "powder_of_peaks"]

MEANING = {
    "mean": "mean of the counts",
    "sum": "sum of the counts",
    "maximum": "largest counts",
    "variance": "variance of the counts from frame to frame",
    "number": "frames in which the pixel held a measurement",
}
_UNITS = {"mean": "count", "sum": "count", "maximum": "count", "variance": "count^2", "number": ""}


@dataclass(frozen=True, slots=True, eq=False)
class SumImages:
    """Images, and what they are of."""

    images: dict[str, NDArray[Any]]
    """[slow, fast] each, by name; whole numbers are 0, and others NaN, where there was no measurement"""
    frames: int
    mask: NDArray[np.uint32] | None
    title: str = ""
    peaks: bool = False
    """whether they are of peaks in place of counts"""

    @property
    def meaning(self) -> dict[str, str]:
        """What each image is."""
        if not self.peaks:
            return MEANING
        return {name: text.replace("the counts", "the intensities of peaks").replace("largest counts", "strongest peak")
                for name, text in MEANING.items()} | {"number": "peaks whose centroid is in the pixel"}  # fmt: skip

    @property
    def units(self) -> dict[str, str]:
        """Of each image."""
        return _UNITS


def images_of_frames(sums: PixelSums, mask: NDArray[np.uint32], what: Sequence[str], title: str) -> SumImages:
    """Images of sums over frames; masked pixels have none."""
    masked = mask != 0
    number = sums.number
    number[masked] = 0
    images: dict[str, NDArray[Any]] = {}
    for name in what:
        if name in ("mean", "variance"):
            values = sums.mean if name == "mean" else sums.variance
            images[name] = np.where(masked, np.nan, values).astype(np.float32)
        else:
            values = sums.total if name == "sum" else sums.maximum
            nothing = np.nan if values.dtype.kind == "f" else 0
            images[name] = np.where(number > 0, values, np.asarray(nothing, values.dtype))
    images["number"] = number.astype(np.uint32)
    return SumImages(images, sums.frames, mask, title)


def powder_of_peaks(peaks: PeakList, shape: tuple[int, int], frames: int, what: Sequence[str], title: str) -> SumImages:
    """The virtual powder: what the intensities of all peaks add up to, where their centroids are."""
    slow = np.clip(peaks["slow"].astype(np.int64), 0, shape[0] - 1)
    fast = np.clip(peaks["fast"].astype(np.int64), 0, shape[1] - 1)
    total, strongest = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (slow, fast), peaks["intensity"])
    np.maximum.at(strongest, (slow, fast), peaks["intensity"])
    number = np.zeros(shape, np.uint32)
    np.add.at(number, (slow, fast), np.uint32(1))
    all_images = {"sum": total, "mean": total / max(frames, 1), "maximum": strongest}
    images: dict[str, NDArray[Any]] = {name: all_images[name].astype(np.float32) for name in what}
    return SumImages(images | {"number": number}, frames, None, title, peaks=True)
