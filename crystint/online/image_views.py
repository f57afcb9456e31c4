"""Views of images as somebody wishes them. What two viewers wish alike is made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from crystint.errors import RefusedError
from crystint.online.analysis import Analysis
from crystint.online.frame_source import HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.laboratory import Laboratory
from crystint.online.layers import Layer, Layers, Remembered, Shown
from crystint.online.stacks import Stacking, Stacks
from crystint.online.usable_pixels import UsablePixels
from crystint.online.views import Binning, Reduction, View, levels_of, parse_range, parse_size, view_of_part
from crystint.stream.packed_frame import encode_frame

__all__ = ["ImageViews", "MadeView", "Plane", "ViewWish"]

Plane = Literal["detector", "laboratory"]
_VIEWS, _DETECTORS = 12, 2
"""that are remembered"""
_RENEWED = 0.08
"""s for which the newest image stays the newest, so that viewers who look ten times a second see the same ones"""


@dataclass(frozen=True)
class ViewWish:
    """What is to be seen of an image; the names are those of the queries."""

    slow: str | None = None
    fast: str | None = None
    size: str | None = None
    bin: Binning = "max"
    layer: Layer = "counts"
    last: int = 1
    of: Stacking = "sum"
    frame: Plane = "detector"


@dataclass(frozen=True, eq=False)
class MadeView:
    """A view, and what is told of it."""

    view: View
    about: dict[str, Any] = field(repr=False)

    @cached_property
    def packed(self) -> bytes:
        """Its values, by bitshuffle and LZ4."""
        return bytes(encode_frame(np.ascontiguousarray(self.view.values), "bslz4").data)


class ImageViews:
    """Makes them, of images and their layers.

    Parameters
    ----------
    images : HeldImages
    """

    def __init__(self, images: HeldImages) -> None:
        self.images, self.layers = images, Layers(images)
        self._stacks = Stacks(images, self.layers)
        self._views = Remembered(_VIEWS)
        self._laboratories, self._places = Remembered(_DETECTORS), Remembered(_DETECTORS)
        self._newest: dict[Hashable, tuple[float, HeldFrame]] = {}

    def laboratory(self, analysis: Analysis | None) -> Laboratory | None:
        """The plane of a detector of several panels; None = it is shown as it is stored."""
        if analysis is None or analysis.geometry is None or analysis.geometry.panels is None:
            return None
        geometry = analysis.geometry
        return self._laboratories.get(str(geometry.to_dict()), lambda: Laboratory.of(geometry))

    def newest(self, key: Hashable, choose: Callable[[], HeldFrame], seen: tuple[str, int] | None = None) -> HeldFrame:
        """The image that live views of one kind show now: what `choose` chose a moment ago, or chooses now.

        ``seen``: series and number of what the viewer has; of that one he waits for another.
        """
        now = time.monotonic()
        begin, frame = self._newest.get(key, (-np.inf, None))
        if frame is None or now - begin >= _RENEWED or (frame.series, frame.number) == seen:
            frame = choose()
            while len(self._newest) >= _VIEWS:
                self._newest.pop(next(iter(self._newest)), None)
            self._newest[key] = now, frame
        return frame

    def of(self, frame: HeldFrame, wish: ViewWish) -> MadeView:
        """A view of an image.

        Raises
        ------
        RefusedError
            bad_value, where the wish does not fit; wrong_state, for layers of the background without a geometry.
        """
        analysis = self.images.analysis(frame)
        return self._views.get((frame.series, frame.number, analysis, wish), lambda: self._made(frame, wish, analysis))

    def shown(self, frame: HeldFrame, wish: ViewWish) -> tuple[Shown, list[int]]:
        """All of the layer of an image, or of several, as the detector stores it, and the numbers of the images."""
        if wish.last == 1:
            return self.layers.shown(frame, wish.layer), [frame.number]
        if wish.layer != "counts":
            raise RefusedError(
                "bad_value", f"the layer {wish.layer} is of one image: take last=1, or layer=counts", "last"
            )
        return self._stacks.of(frame, wish.last, wish.of)

    def _made(self, frame: HeldFrame, wish: ViewWish, analysis: Analysis | None) -> MadeView:
        shown, numbers = self.shown(frame, wish)
        laboratory = self.laboratory(analysis) if wish.frame == "laboratory" else None
        shape = shown.values.shape if laboratory is None else laboratory.shape
        region = (*parse_range(wish.slow, shape[0], "slow"), *parse_range(wish.fast, shape[1], "fast"))
        usable = shown.usable
        if laboratory is None:
            part = shown.values[region[0] : region[1], region[2] : region[3]]
        else:
            part, usable = laboratory.part(shown.values, region), self._places_of(laboratory, shown.usable)
        how: Reduction = "any" if wish.layer == "mask" else wish.bin
        view = view_of_part(part, usable, region, parse_size(wish.size), how)
        about = {
            "series": frame.series,
            "image": frame.number,
            "layer": wish.layer,
            "bin": how,
            "shape": list(view.values.shape),
            "dtype": view.values.dtype.newbyteorder("<").str,
            "region": list(view.region),
            "factor": view.factor,
            "unusable": view.unusable,
            "levels": levels_of(view),
            "last": wish.last,
            "of": wish.of,
            "images": numbers,
            "frame": "detector" if laboratory is None else "laboratory",
            "laboratory": None if laboratory is None else laboratory.to_dict(),
        }
        return MadeView(view, about)

    def _places_of(self, laboratory: Laboratory, usable: UsablePixels) -> UsablePixels:
        return self._places.get((laboratory, usable), lambda: laboratory.usable(usable))
