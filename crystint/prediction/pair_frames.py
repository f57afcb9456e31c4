"""Which frame each image is on: by the names of files where both sides have them, else by their order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames
from crystint.model.experiment import Experiment

__all__ = ["Pairing", "frames_of_sources", "pair_frames"]

_PACKED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
_STACK = re.compile(r"\.(h5|hdf5?|nxs|cxi|npy|tiff?)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Frames of images."""

    frame: NDArray[np.int64]
    """int64 [images]: number in the sequence of frames; -1 = it is not there"""
    missing: dict[int, str] = field(default_factory=dict)
    """images without a frame, and what was looked for"""

    def select(self, images: NDArray[Any]) -> Self:
        """Of some images only (numbers or a mask), which are numbered anew."""
        numbers = np.arange(len(self.frame))[images].tolist()
        missing = {place: self.missing[image] for place, image in enumerate(numbers) if image in self.missing}
        return type(self)(self.frame[numbers], missing)


def pair_frames(experiment: Experiment, frames: Frames, *, tell_spare: bool = True) -> Pairing:
    """Find the frame of each image.

    A frame belongs to an image when its file has the name that `Experiment.source` has (without folder, and without
    what only says how it is packed: a.cbf.gz is a.cbf), and is the frame of that number in it; of a stream of
    CrystFEL, of that event. Where several files have one name, the one whose folders agree the furthest, counted from
    the file, is it. Symbolic links count by their own name, then by that of the file they show. Frames that no image
    is on are left out; images whose frame is not there are `missing`.

    Where no name is the same, or none is known, images and frames belong together in their order if there are equally
    many of both; a warning says so. Frames that are left out are warned of as well.

    Parameters
    ----------
    experiment : Experiment
    frames : Frames
    tell_spare : bool
        Warn of frames that no image is on.

    Raises
    ------
    FileError
        When names do not match and numbers differ, or when names do not decide between files.
    """
    sources = experiment.source
    files = _FramesByFile.of(frames)
    number = files.of_sources(sources)
    if not (number >= 0).any():
        return _in_order(experiment, frames)
    missing = {
        int(
            image
        ): f"{experiment.name[image]}: its frame is not among the {len(frames)} given{files.near(sources[image])}"
        for image in np.flatnonzero(number < 0)
    }
    spare = len(frames) - len(np.unique(number[number >= 0]))
    if spare and tell_spare:
        warn(f"{spare} of the {len(frames)} frames given belong to no image of the experiment and are left out")
    return Pairing(number, missing)


def frames_of_sources(sources: Sequence[str], frames: Frames) -> NDArray[np.int64]:
    """int64 [sources]: the frame of each image by its name, as `pair_frames` has it; -1 = it is not there.

    Raises
    ------
    FileError
        When names do not decide between files.
    """
    return _FramesByFile.of(frames).of_sources(sources)


def _in_order(experiment: Experiment, frames: Frames) -> Pairing:
    named = any(experiment.source)
    turns = experiment.sweep is not None
    order = np.lexsort([experiment.frame, experiment.group if turns else np.zeros(len(experiment), dtype=np.int64)])
    keys = [
        experiment.source[image]
        if named
        else (int(experiment.group[image]) if turns else 0, int(experiment.frame[image]))
        for image in order
    ]
    place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    names = f"the experiment names {_some([experiment.name[image] for image in order])}, the frames are in " + _some(
        [os.path.basename(name) for name in frames.files]
    )
    total = len(frames) if len(place) == len(frames) else frames.total
    if len(place) != total:
        raise FileError(
            f"no image has the name of a frame ({names}), and {len(place)} frames were indexed, but "
            f"{len(frames)} given; give the files that were indexed, or exactly {len(place)} frames in their order"
        )
    chosen = np.full(total, -1, dtype=np.int64)
    chosen[np.arange(total) if total == len(frames) else frames.numbers] = np.arange(len(frames))
    number = np.empty(len(experiment), dtype=np.int64)
    number[order] = chosen[[place[key] for key in keys]]
    warn(f"no image has the name of a frame ({names}): both are taken in their order, {total} of each")
    return Pairing(number)


def _some(names: Iterable[str]) -> str:
    once = list(dict.fromkeys(names))
    return once[0] if len(once) == 1 else f"{once[0]} .. {once[-1]}"


def _plain(name: str) -> str:
    """The name of a file without folder and packing."""
    return _PACKED.sub("", os.path.basename(name))


def _parts(path: str) -> tuple[str, ...]:
    return (*Path(path).parts[:-1], _plain(path))


def _tail(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts of two paths agree, counted from the file."""
    same = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        same += 1
    return same


def _split(source: str) -> tuple[str, list[str], int | None]:
    """Path, words that the data set's path has, number of the frame."""
    path, _, event = source.rpartition("//")
    if not path:
        return source, [], None
    words = [word for word in event.split("/") if word]
    number = int(words.pop()) if words and words[-1].isdigit() else None
    return path, words, number


@dataclass(frozen=True, eq=False)
class _FramesByFile:
    """The frames there are, by file."""

    frames: Frames
    members: list[dict[int, int]]
    """of each file: number of a frame in it to number in the sequence"""
    parts: list[tuple[str, ...]]
    """of the absolute path of each file"""
    by_name: dict[str, list[int]]
    """files of a name"""
    by_target: dict[str, list[int]]
    """files that are links, by the name of what they show"""

    @classmethod
    def of(cls, frames: Frames) -> Self:
        members: list[dict[int, int]] = [{} for _ in frames.files]
        for number in range(len(frames)):
            file, within = frames.place(number)
            members[file][within] = number
        by_name: dict[str, list[int]] = {}
        by_target: dict[str, list[int]] = {}
        for number, name in enumerate(frames.files):
            by_name.setdefault(_plain(name), []).append(number)
            target = _plain(os.path.realpath(name))
            if target != _plain(name):
                by_target.setdefault(target, []).append(number)
        return cls(frames, members, [_parts(os.path.abspath(name)) for name in frames.files], by_name, by_target)

    def of_sources(self, sources: Sequence[str]) -> NDArray[np.int64]:
        """int64 [sources]: their frames; -1 = it is not there."""
        wanted = list(dict.fromkeys(source for source in sources if source))
        place_of = self.settle({source: self.find(source) for source in wanted})
        return np.array([-1 if (at := place_of.get(source)) is None else at for source in sources], dtype=np.int64)

    def find(self, source: str) -> int | None:
        """The frame of an image; None where it is not there."""
        path, words, number = _split(source)
        files = self.by_name.get(_plain(path)) or self.by_target.get(_plain(path)) or []
        if not files:
            return None
        file = self._nearest(path, files)
        members = self.members[file]
        if words:
            places = [(frame, self.frames.source(frame)) for frame in members.values()]
            held = [(frame, at.index) for frame, at in places if all(word in (at.dataset or "") for word in words)]
            here = [frame for frame, index in held if index == (number or 0)]
            return here[0] if len(here) == 1 else None
        if len(members) == 1 and not _STACK.search(_plain(path)):
            return next(iter(members.values()))  # a file of one frame, whatever number it was given
        return members.get(number or 0)

    def _nearest(self, path: str, files: list[int]) -> int:
        tails = [_tail(_parts(path), self.parts[file]) for file in files]
        best = [file for file, tail in zip(files, tails, strict=True) if tail == max(tails)]
        if len({os.path.realpath(self.frames.files[file]) for file in best}) > 1:
            raise FileError(
                f"{path} can be {self.frames.files[best[0]]} or {self.frames.files[best[1]]}, which have one name; "
                "give only one of them, or the folders as they were when the images were indexed"
            )
        return best[0]

    def settle(self, place_of: dict[str, int | None]) -> dict[str, int | None]:
        """The same, where a frame that images of different files claim is that of the nearest path."""
        claims: dict[int, list[str]] = {}
        for source, frame in place_of.items():
            if frame is not None:
                claims.setdefault(frame, []).append(source)
        for frame, sources in claims.items():
            if len(sources) == 1:
                continue
            own = self.parts[self.frames.place(frame)[0]]
            paths = [_parts(_split(source)[0]) for source in sources]
            tails = [_tail(path, own) for path in paths]
            winner = paths[int(np.argmax(tails))]
            for source, path, tail in zip(sources, paths, tails, strict=True):
                if _tail(path, winner) == min(len(path), len(winner)):
                    continue  # the same file, named from another folder
                if tail == max(tails):
                    raise FileError(
                        f"{self.frames.files[self.frames.place(frame)[0]]} can be {sources[int(np.argmax(tails))]} or "
                        f"{source}, images of both of which are in the experiment; give both, in folders of these names"
                    )
                place_of[source] = None
        return place_of

    def near(self, source: str) -> str:
        """A file of that name, in words."""
        path, _, _ = _split(source)
        files = self.by_name.get(_plain(path)) or self.by_target.get(_plain(path)) or []
        if not files:
            return ""
        held = len(self.members[files[0]])
        return f" ({self.frames.files[files[0]]} holds {held} frame{'s' * (held != 1)})"
