"""The raw frames of a series in files: parts of so many images, and a master over them that opens at every moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bytes
from crystint.errors import FileError, StreamError, recorded_warnings
from crystint.io.hdf5.filters import BITSHUFFLE
from crystint.io.hdf5.packing import BSLZ4
from crystint.io.hdf5.provenance import provenance as made_by_program
from crystint.io.nxmx import NXmxFacts
from crystint.io.outputs import remove_leftovers
from crystint.io.series.master import Part, images_in, write_master
from crystint.io.series.part_file import Stack
from crystint.io.series.results_file import ranges_of
from crystint.model.geometry import Geometry
from crystint.model.valid_values import ValidValues
from crystint.online.raw_part import RawPart, unfinished
from crystint.online.series_scan import rotates, series_scan
from crystint.run.journal import check_free, journal_of
from crystint.stream.messages import Image, Start
from crystint.stream.packed_frame import PackedFrame

__all__ = ["IMAGES_PER_FILE", "RawFiles", "reserve_on"]

IMAGES_PER_FILE = 1000
"""of stills"""
_ROTATION = 20_000
"""images of a rotation that are put into one file"""
_OPEN = 4
"""parts behind the newest that are open for images that come late"""
_LEAST_LEFT, _MOST_LEFT = 8 << 20, 256 << 20
"""bytes"""
_FARTHEST, _FIRST = 1_000_000, 10_000_000
"""images that may be missing before one, and before the first, where it is not known how many there are"""
_SHOWN = 200
"""parts that a master shows before they are there, at most"""

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes the name of an event, and what it tells."""


class RawFiles:
    """The raw frames of a series: ``{name}_data_NNNNNN.h5`` and ``{name}_master.h5``. For one thread.

    Images may come in any order. Each has its row; rows of images that never come are holes, which readers see as
    frames that are missing. A part is closed when it is full, when four newer ones are open, and at the end.
    What a killed process has left of the same series is gone on with.

    Parameters
    ----------
    folder : path
    name : str
        Of the files of the series, see `crystint.online.output_names`.
    start : Start
    images_per_file : int, optional
        None = 1000, and of rotations of up to 20 000 images all.
    geometry : Geometry, optional
        In place of that of the start.
    mask : uint32 [slow, fast], optional
        In place of that of the first channel of the start.
    provenance : mapping, optional
    tell : callable, optional
        Takes events: ``file`` for each file that is closed, ``warning`` for what was guessed or lost.
    closer : concurrent.futures.Executor, optional
        Waits for the disk when a part is closed; without one `write` does.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.online.raw_files import RawFiles
    >>> from crystint.stream.messages import Image, SeriesKey, Start
    >>> from crystint.stream.packed_frame import PackedFrame
    >>> series, counts = SeriesKey(1, "a"), np.arange(120, dtype=np.uint16).reshape(10, 12)
    >>> frame = PackedFrame(counts.reshape(-1).view(np.uint8), (10, 12), counts.dtype, "none")
    >>> files = RawFiles(".", "run", Start(series, (10, 12), "stream2", images=3))
    >>> files.write(Image(series, 1, {"threshold_1": frame}))
    True
    >>> files.finish()
    >>> import crystint
    >>> with crystint.open_frames("run_master.h5") as frames:
    ...     len(frames), sorted(frames.missing), int(frames[1].sum())
    (3, [0, 2], 7140)
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        start: Start,
        *,
        images_per_file: int | None = None,
        geometry: Geometry | None = None,
        mask: NDArray[Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        tell: Tell | None = None,
        closer: Executor | None = None,
    ) -> None:
        self._folder, self.name, self._start = Path(folder), name, start
        self._geometry, self._mask = start.geometry if geometry is None else geometry, mask
        self._provenance = made_by_program({}, []) if provenance is None else provenance
        self._tell: Tell = (lambda name, data: None) if tell is None else tell
        self._closer = closer
        self._closing: list[Future[None]] = []
        expected = start.images or None
        if images_per_file is None:
            turn = rotates(start) and expected is not None and expected <= _ROTATION
            images_per_file = max(expected or 1, 1) if turn else IMAGES_PER_FILE
        self.images_per_file = images_per_file
        self._expected = expected
        self._stacks: dict[str, Stack] = {}
        self._open: dict[int, RawPart] = {}
        self._closed: dict[int, Part] = {}
        self._ranges: dict[int, NDArray[np.int64]] = {}
        """first and last numbers of images of parts that are closed, int64 [n, 2]"""
        self._unsaved: set[int] = set()
        """parts that the disk did not take when they were closed"""
        self._shown = self._highest = 0
        self._unread: set[int] = set()
        """parts that another process has closed"""
        self._told: set[str] = set()
        self.written = self.late = self.unfit = self.recovered = 0
        self.bytes = 0
        self.reserve = reserve_on(self._folder)
        self.files: list[str] = []
        """that are closed"""
        self._resume()

    @property
    def master(self) -> Path:
        """Where it is."""
        return self._folder / f"{self.name}_master.h5"

    @property
    def current(self) -> str | None:
        """The file that is written now."""
        return self._open[max(self._open)].path.name if self._open else None

    def part_name(self, index: int) -> str:
        """Of a part, from 0."""
        return f"{self.name}_data_{index + 1:06d}.h5"

    def present(self) -> NDArray[np.int64]:
        """int64 [n]: numbers of the images that are in the files, those that a killed process has written too."""
        self._read_closed(sorted(self._unread))
        numbers = [np.array(part.numbers, np.int64) for part in self._open.values()]
        closed = [np.arange(first, last + 1) for ranges in self._ranges.values() for first, last in ranges.tolist()]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *closed, *numbers]))

    def _series(self) -> dict[str, Any]:
        key = self._start.series
        return {"series_id": key.id, "series_unique_id": key.unique_id}

    def _resume(self) -> None:
        """What is there of this series, of a process that was killed."""
        remove_leftovers(self.master)
        for path in sorted(self._folder.glob(f"{self.name}_data_*.h5*")):
            digits = path.name.removeprefix(f"{self.name}_data_")[:6]
            index = int(digits) - 1 if digits.isdigit() else -1
            if index < 0 or index in self._unread or index in self._open:
                continue
            whole = self._folder / self.part_name(index)
            if whole.exists():
                self._unread.add(index)
                self.files.append(whole.name)
                with suppress(FileError):  # killed between its name and the end of its journal
                    check_free(whole)
                    journal_of(whole).unlink(missing_ok=True)
            elif unfinished(whole):
                part = self._part(index)
                self.recovered += part.recovered
                self._stacks |= part.stacks
                if part.lost:
                    self._tell("warning", {"text": f"{whole.name}: {part.lost} frames were not yet on the disk"})

    def _read_closed(self, indices: Iterable[int]) -> None:
        """Look into parts that another process has closed; images do not wait for all of them to be read."""
        for index in indices:
            whole = self._folder / self.part_name(index)
            rows, numbers = images_in(whole)
            self._closed[index] = Part(whole.name, index * self.images_per_file, rows)
            self._ranges[index] = ranges_of(numbers)
            self.recovered += len(numbers)
            self._unread.discard(index)

    def _part(self, index: int) -> RawPart:
        """An open part, made if it is not there."""
        if index not in self._open:
            first, rows = index * self.images_per_file, self.images_per_file
            if self._expected is not None and first < self._expected:
                rows = min(rows, self._expected - first)
            self._open[index] = RawPart(self._folder / self.part_name(index), first, rows, self._series())
            oldest = min(self._open)
            if len(self._open) > _OPEN + 1:
                self._close(oldest)
        return self._open[index]

    def write(self, image: Image) -> bool:
        """Write an image.

        Returns
        -------
        bool
            Whether it is in a file now. One that does not fit the others, or comes when its part is closed, is left
            out and counted; one that is there already is not written again.

        Raises
        ------
        FileError
            When the disk does not take it. Write no more then; `finish` what is there.
        """
        index = image.number // self.images_per_file
        if index in self._unread:
            self._read_closed([index])
        if index in self._closed:
            ranges = self._ranges[index]
            if not ((ranges[:, 0] <= image.number) & (image.number <= ranges[:, 1])).any():
                self.late += 1
                self._warn(f"images came when their file {self.part_name(index)} was closed: they are not in it")
                return False
            return True
        if index in self._open and image.number in self._open[index]:
            return True
        if not self._near(image.number):
            self.unfit += 1
            told = "its number cannot be" if self._expected is None else f"{self._expected} images were announced"
            self._warn(f"image {image.number} is not in the files: {told}")
            return False
        try:
            chunks = self._chunks(image)
        except StreamError as error:
            self.unfit += 1
            self._warn(f"image {image.number} is not in the files: {error}")
            return False
        size = sum(len(chunk) for _, chunk, _ in chunks.values())
        free = shutil.disk_usage(self._folder).free
        if free < self.reserve + size:
            left = f"{free / 1e6:.3g} MB are free, and {self.reserve / 1e6:.3g} MB are for results"
            raise FileError(f"the disk of {self._folder} is full: {left}")
        part = self._part(index)
        part.write(image.number, chunks)
        self.written += 1
        self.bytes += size
        if image.number >= self._shown:
            self._show(image.number + 1)
        if part.count == part.rows:
            self._close(index)
        return True

    def _near(self, number: int) -> bool:
        """Whether an image can have this number: one that was announced, or not too far behind the others."""
        if self._expected is not None:
            return number < self._expected
        near = number < (self._highest + _FARTHEST if self._highest else _FIRST)
        self._highest = max(self._highest, number + 1) if near else self._highest
        return near

    def _warn(self, text: str) -> None:
        """Once for each kind."""
        kind = text.partition(":")[2]
        if kind not in self._told:
            self._told.add(kind)
            self._tell("warning", {"text": text})

    def _chunks(self, image: Image) -> dict[str, tuple[Stack, Bytes, bool]]:
        """The packed frames of an image, as the stacks take them."""
        made: dict[str, tuple[Stack, Bytes, bool]] = {}
        for channel, frame in image.frames.items():
            stack = self._stacks.get(channel)
            if stack is None:
                stack = self._stack(channel, frame, first=not self._stacks and not made)
            native = frame.dtype.newbyteorder("=")
            if frame.shape != stack.shape or native != stack.dtype:
                raise StreamError(f"it is {frame.shape} {native}, the first one {stack.shape} {stack.dtype}")
            made[channel] = (stack, *_packed(frame, stack))
        if not made:
            raise StreamError("it has no frames")
        for channel, (stack, _, _) in made.items():
            self._stacks.setdefault(channel, stack)
        return made

    def _stack(self, channel: str, frame: PackedFrame, first: bool) -> Stack:
        if frame.shape != self._start.shape:
            raise StreamError(f"it is {frame.shape}, expected {self._start.shape}")
        if frame.dtype.kind not in "iu":
            raise StreamError(f"it is {frame.dtype}, expected integers")
        packing = frame.filters[0].number if frame.filters and frame.chunk is not None else 0
        if frame.chunk is None and BSLZ4.direct:
            packing = BITSHUFFLE
        valid = self._start.valid or ValidValues.of(frame.dtype)
        return Stack.of(channel, first, frame.shape, frame.dtype, packing, valid)

    def _close(self, index: int, rows: int | None = None) -> None:
        """Close a part; the disk is waited for elsewhere."""
        part = self._open.pop(index)
        if not part.count:
            part.discard()
            return
        rows = part.rows if rows is None else rows
        self._ranges[index] = ranges_of(np.array(part.numbers, np.int64))
        self._closed[index] = Part(part.path.name, part.first, rows)
        about = {"path": str(part.path), "first_image": part.first, "images": part.count}
        part.finish(rows)

        def save() -> None:
            try:
                part.save()
            except FileError:
                del self._ranges[index], self._closed[index]
                self._unsaved.add(index)
                raise
            self._unsaved.discard(index)
            self.files.append(part.path.name)
            self._tell("file", about)

        if self._closer is None:
            save()
        else:
            self._closing.append(self._closer.submit(save))
            while self._closing and self._closing[0].done():
                self._closing.pop(0).result()

    def _show(self, images: int) -> None:
        """Make the master show at least so many images."""
        if not self._stacks:
            return
        ahead = max(images, 2 * self._shown, self.images_per_file)
        if self._expected is not None:
            ahead = min(max(ahead, self.images_per_file * _SHOWN), max(self._expected, images))
        self._shown = ahead
        self.write_master(ahead)

    def write_master(
        self, images: int, began: NDArray[np.float64] | None = None, links: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """Write the master, over parts that are there and those that are to come.

        Parameters
        ----------
        images : int
        began : float64 [images], optional
            s since 1970-01-01 UTC, begin of each exposure.
        links : mapping, optional
            As `crystint.io.series.master.write_master` has it.

        Raises
        ------
        FileError
            When it cannot be written.
        """
        if not self._stacks:
            return
        start, stacks = self._start, list(self._stacks.values())
        scan, guesses = series_scan(start, images, began)
        mask = self._mask
        if mask is None and start.masks:
            mask = start.masks.get(stacks[0].channel, next(iter(start.masks.values())))
        facts = NXmxFacts(
            stacks[0].shape,
            stacks[0].dtype,
            self._geometry,
            mask,
            start.instrument.saturation,
            start.valid or ValidValues.of(stacks[0].dtype),
            start.instrument,
        )
        size = self.images_per_file
        parts = [
            self._closed.get(index)
            or Part(self.part_name(index), index * size, min(size, (self._expected or images) - index * size))
            for index in range(-(-images // size))
        ]
        parts = [part for part in parts if part.rows > 0]
        with recorded_warnings() as texts:
            write_master(
                self.master,
                facts,
                stacks,
                parts,
                images,
                scan=scan,
                provenance=self._provenance,
                links=links,
                attributes=self._series(),
            )
        for text in (*guesses, *texts):
            self._warn(f"{self.master.name}: {text}")

    def finish(
        self,
        images: int | None = None,
        began: NDArray[np.float64] | None = None,
        links: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Close the parts, and write the master as it stays.

        Parameters
        ----------
        images : int, optional
            That the series has; None = those that were announced, else to the last that came.
        began, links
            As `write_master`.

        Raises
        ------
        FileError
            When the disk does not take it. What could not be closed can be gone on with.
        """
        self.close_parts(images)
        self.complete(images, began, links)

    def close_parts(self, images: int | None = None) -> None:
        """Close all parts, and wait for the disk.

        Raises
        ------
        FileError
            When it does not take one of them. Its images are not counted as present; they can be gone on with.
        """
        total = self._total(images)
        problem = self._closed_parts(total)
        if self._unsaved:  # perhaps there is room by now
            with suppress(FileError):
                for index in sorted(self._unsaved):
                    self._part(index)
            problem = self._closed_parts(total)
        if problem is not None:
            raise problem

    def _closed_parts(self, total: int) -> FileError | None:
        """Close what is open; what went wrong."""
        problem: FileError | None = None
        for index in sorted(self._open):
            part = self._open[index]
            try:
                self._close(index, max(min(part.rows, total - part.first), 0))
            except FileError as error:
                problem = error
        closing, self._closing = self._closing, []
        for future in closing:
            try:
                future.result()
            except FileError as error:
                problem = error
        return problem

    def complete(
        self,
        images: int | None = None,
        began: NDArray[np.float64] | None = None,
        links: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Write the master of a series whose parts are closed."""
        total = self._total(images)
        if self._stacks and total:
            self.write_master(total, began, links)
            self._tell("file", {"path": str(self.master), "first_image": 0, "images": total})

    def _total(self, images: int | None) -> int:
        present = self.present()
        last = int(present[-1]) + 1 if len(present) else 0
        if images is None:
            images = last if self._expected is None else self._expected
        return max(images, last)

    def update(self, geometry: Geometry | None, mask: NDArray[Any] | None, provenance: Mapping[str, Any]) -> None:
        """What the master is to tell from now on, where it is known."""
        self._geometry = self._geometry if geometry is None else geometry
        self._mask = self._mask if mask is None else mask
        self._provenance = provenance

    def abandon(self) -> None:
        """Leave all as it is, to be gone on with by another process."""
        for part in self._open.values():
            part.abandon()
        self._open = {}


def _packed(frame: PackedFrame, stack: Stack) -> tuple[Bytes, bool]:
    """A frame as bytes for a stack, and whether they are plain although the others are packed."""
    chunk = frame.chunk
    packing = frame.filters[0].number if frame.filters else 0
    if chunk is not None and frame.algorithm in ("bslz4", "lz4", "none") and packing in (stack.packing, 0):
        if not stack.takes(chunk, packing == 0):
            raise StreamError(f"its {len(chunk)} packed bytes are not those of {stack.shape} {stack.dtype}")
        return chunk, packing != stack.packing
    decoded = frame.decode()
    if stack.packing == BITSHUFFLE and BSLZ4.direct:
        return BSLZ4.pack(decoded), False
    return decoded.reshape(-1).view(np.uint8), stack.packing != 0


def reserve_on(folder: Path) -> int:
    """bytes of the disk that frames leave free for results and what else there is."""
    return max(_LEAST_LEFT, min(_MOST_LEFT, shutil.disk_usage(folder).total // 50))
