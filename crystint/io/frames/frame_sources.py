"""Where the frames of a sequence came from, in columns: twelve bytes for each, whatever their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from crystint.io.frames.readers import FrameSource

__all__ = ["FrameSources"]


class FrameSources(Sequence[FrameSource]):
    """A sequence of `FrameSource`, which are made as they are asked for. Made by `of`.

    Parameters
    ----------
    places : sequence of (file, data set or None)
        In the order in which they come first.
    place : int32 [frames]
        Which of these each frame is in.
    number : int64 [frames]
        Number of the frame there.
    """

    def __init__(
        self, places: Sequence[tuple[str, str | None]], place: NDArray[np.int32], number: NDArray[np.int64]
    ) -> None:
        self.places, self.place, self.number = tuple(places), place, number

    @classmethod
    def of(cls, sources: Iterable[Any]) -> Self:
        """Of objects with the attributes of `FrameSource`, which are looked at one after the other."""
        if isinstance(sources, cls):
            return sources
        places: dict[tuple[str, str | None], int] = {}
        rows = np.fromiter(
            ((places.setdefault((each.file, each.dataset), len(places)), each.index) for each in sources),
            np.dtype([("place", np.int32), ("number", np.int64)]),
        )
        return cls(tuple(places), rows["place"], rows["number"])

    @property
    def files(self) -> NDArray[np.object_]:
        """str [frames]: the file of each."""
        names = np.array([file for file, _ in self.places], object)
        return names[self.place]

    def __len__(self) -> int:
        return len(self.place)

    @overload
    def __getitem__(self, frames: int) -> FrameSource: ...
    @overload
    def __getitem__(self, frames: slice) -> FrameSources: ...
    def __getitem__(self, frames: int | slice) -> FrameSource | FrameSources:
        if not isinstance(frames, slice):
            file, dataset = self.places[self.place[frames]]
            return FrameSource(file, int(self.number[frames]), dataset)
        place = self.place[frames]
        used, first = np.unique(place, return_index=True)
        used = used[np.argsort(first)]
        rank = np.zeros(len(self.places), np.int32)
        rank[used] = np.arange(len(used))
        return FrameSources([self.places[each] for each in used], rank[place], self.number[frames])
