"""What is shown of an image: its counts, the background of its rings, what is left without it, how significant that
is, and the mask. What was made last is remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import Background, RingMap, ring_halves, ring_places
from crystint.online.analysis import Analysis
from crystint.online.frame_source import HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.usable_pixels import UsablePixels
from crystint.ops.threshold import ring_table, significance

__all__ = ["DETECTOR_MASKED", "NO_MEASUREMENT", "USER_MASKED", "Layer", "Layers", "Remembered", "Shown"]

Layer = Literal["counts", "background", "significance", "subtracted", "mask"]
DETECTOR_MASKED, USER_MASKED, NO_MEASUREMENT = 1, 2, 4
"""bits of the layer "mask" """
_IMAGES, _BACKGROUNDS, _DETECTORS = 3, 16, 4
"""that are remembered"""
_BAND = 64
"""rows that are worked on together"""
_T = TypeVar("_T")


class Remembered:
    """The last results of slow work, by a key; of threads that ask for the same at once, one does it.

    Parameters
    ----------
    most : int
        Results that are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The result of a key, made now where it is not there."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    return self._results[key]  # type: ignore[no-any-return]
            try:
                result = make()
                with self._lock:
                    self._results[key] = result
                    while len(self._results) > self._most:
                        self._results.popitem(last=False)
            finally:
                with self._lock:
                    self._locks.pop(key, None)
            return result


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A layer of an image."""

    values: NDArray[Any]
    """[slow, fast]"""
    usable: UsablePixels


class _Detector:
    """What all images of an analysis share."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        masked = analysis.mask != 0
        self.usable = UsablePixels(masked, analysis.search.valid)
        self.all = UsablePixels(np.zeros_like(masked))
        """of the mask, and of floats, in which NaN tells it"""
        bits = np.where(analysis.detector_mask != 0, np.uint8(DETECTOR_MASKED), np.uint8(0))
        if analysis.user_mask is not None:
            bits |= np.where(analysis.user_mask != 0, np.uint8(USER_MASKED), np.uint8(0))
        self.bits: NDArray[np.uint8] = bits
        self._places: _Places | None = None
        self._lock = threading.Lock()

    @property
    def places(self) -> _Places:
        """Made when a background is asked for the first time."""
        with self._lock:
            if self._places is None:
                self._places = _Places(self.analysis.search.rings)
            return self._places


class _Places:
    """Where each pixel lies between rings, as `crystint.model.rings.interpolate` takes it, kept for all images."""

    def __init__(self, rings: RingMap) -> None:
        self.rings = rings
        self.half = np.empty(rings.shape, np.uint16 if 2 * rings.rings < 2**16 else np.uint32)
        self.part = np.empty(rings.shape, np.float32)
        for band in bands(rings.shape[0]):
            self.half[band], self.part[band] = ring_places(rings.position[band], rings.rings)

    def at(self, values: NDArray[np.float64], band: slice) -> NDArray[np.float32]:
        """Values of the rings at the pixels of some rows; float32 [slow, fast]."""
        start, step = (each.astype(np.float32) for each in ring_halves(values))
        half = self.half[band].astype(np.intp)
        at = step[half]
        at *= self.part[band]
        at += start[half]
        return at


def bands(rows: int) -> list[slice]:
    """Rows that are worked on together, so that what is made of them stays in the cache of a core."""
    return [slice(first, min(first + _BAND, rows)) for first in range(0, rows, _BAND)]


class Layers:
    """The layers of images.

    Parameters
    ----------
    images : HeldImages
    """

    def __init__(self, images: HeldImages) -> None:
        self._images = images
        self._made, self._backgrounds = Remembered(_IMAGES), Remembered(_BACKGROUNDS)
        self._detectors = Remembered(_DETECTORS)

    def usable(self, frame: HeldFrame) -> UsablePixels:
        """Which pixels of an image are shown."""
        analysis = self._images.analysis(frame)
        return UsablePixels.of(frame.pixels) if analysis is None else self._detector(analysis).usable

    def _detector(self, analysis: Analysis) -> _Detector:
        return self._detectors.get(analysis, lambda: _Detector(analysis))

    def shown(self, frame: HeldFrame, layer: Layer) -> Shown:
        """A layer of an image: counts in its dtype, the mask in bits (uint8), all else float32.

        Raises
        ------
        RefusedError
            wrong_state, when there is no background since the geometry is not known.
        """
        if layer == "counts":
            return Shown(frame.pixels, self.usable(frame))
        if layer == "mask":
            return self._mask(frame)
        analysis = self._images.searched(frame)
        key = (frame.series, frame.number, analysis, layer)
        return self._made.get(key, lambda: self._layer(frame, layer, self._detector(analysis)))

    def mask(self, frame: HeldFrame) -> NDArray[np.uint8]:
        """uint8 [slow, fast]: `DETECTOR_MASKED`, `USER_MASKED` and `NO_MEASUREMENT`."""
        return self._mask(frame).values

    def _mask(self, frame: HeldFrame) -> Shown:
        analysis = self._images.analysis(frame)
        if analysis is None:
            usable, bits = UsablePixels.of(frame.pixels), np.zeros(frame.pixels.shape, np.uint8)
            all_of_them = UsablePixels(usable.masked)
        else:
            detector = self._detector(analysis)
            usable, bits, all_of_them = detector.usable, detector.bits.copy(), detector.all
        lost = usable.valid.unusable(frame.pixels) if usable.valid is not None else np.isnan(frame.pixels)
        bits |= lost.view(np.uint8) << 2
        return Shown(bits, all_of_them)

    def background(self, frame: HeldFrame) -> Background:
        """Of an image, as the separator makes it.

        Raises
        ------
        RefusedError
            wrong_state, when the geometry is not known.
        """
        analysis = self._images.searched(frame)
        key = (frame.series, frame.number, analysis)
        made: Background = self._backgrounds.get(key, lambda: analysis.search.separator.background(frame.pixels))
        return made

    def _layer(self, frame: HeldFrame, layer: Layer, detector: _Detector) -> Shown:
        background, places = self.background(frame), detector.places
        table = ring_table(background).astype(np.float64)
        made = np.empty(frame.pixels.shape, np.float32)
        for band in bands(len(made)):
            weight, dark = places.rings.weight[band], places.rings.dark
            expected = places.at(background.mean, band)
            expected *= weight
            if dark is not None:
                expected += dark[band]
            if layer == "background":
                made[band] = expected
                continue
            above = frame.pixels[band] - expected.astype(np.float64)
            above[detector.usable.unusable(frame.pixels[band], (band, slice(None)))] = np.nan
            if layer == "subtracted":
                made[band] = above
                continue
            made[band] = np.where(np.isnan(above), np.nan, 0.0)
            at = np.nonzero(above > 0)
            own = expected[at].astype(np.float64) - (0.0 if dark is None else dark[band][at])
            phi, spread = (places.at(table[:, column], band)[at].astype(np.float64) for column in (1, 2))
            other = np.square(spread * weight[at]) + detector.analysis.settings.noise**2
            made[band][at] = significance(above[at] + own, own, phi, other)
        return Shown(made, detector.all)
