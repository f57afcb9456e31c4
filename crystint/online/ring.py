"""The last images as they came, in memory that another process reads.

The memory has a header, a table of records and room for messages, both used round and round. One thread writes and
never waits for a reader: it first moves the number of the oldest whole record past all whose bytes it is about to write
over, then copies, then raises the number of records. A reader copies, and then looks whether its record is still whole.
The memory is an anonymous file of the process that writes, so nothing is left of it when that process ends.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from crystint.errors import FileError
from crystint.online.sink import Run, Sink
from crystint.stream.messages import Image

__all__ = ["HeldImage", "Ring", "RingReader"]

_MAGIC = 0x31474E4952545343  # "CSTRING1"
_HEADER = 4096
_RECORD = np.dtype([("offset", "u8"), ("size", "u8"), ("number", "i8"), ("parts", "u8"), ("series", "S96")], align=True)
_RECORDS = 65536
_WAITING = 64
"""images that may wait for being copied"""
_LENGTHS = np.dtype("u8")


@dataclass(frozen=True, slots=True, eq=False)
class HeldImage:
    """A message of the ring."""

    series: str
    """`str` of the key of its series"""
    number: int
    parts: tuple[bytes, ...]
    """as `crystint.stream.read_message` takes them"""


class _Room:
    """The memory, seen as header, records and bytes."""

    def __init__(self, memory: mmap.mmap, records: int, capacity: int) -> None:
        self.header = np.frombuffer(memory, np.uint64, 8)
        self.records = np.frombuffer(memory, _RECORD, records, _HEADER)
        self.bytes = np.frombuffer(memory, np.uint8, capacity, _HEADER + records * _RECORD.itemsize)

    def clear(self) -> None:
        """Let go of the memory."""
        del self.header, self.records, self.bytes


_COUNT, _OLDEST = 3, 4  # places in the header, after magic, number of records, capacity


class Ring(Sink):
    """The writing side, a sink of the data process. A thread copies, so that the receiver does not.

    Parameters
    ----------
    capacity : int
        Bytes of the messages that are held at most.
    records : int, optional
        Messages that are held at most.

    Raises
    ------
    FileError
        When there is no such memory.

    Examples
    --------
    >>> from crystint.online.ring import Ring, RingReader
    >>> ring = Ring(2**20)
    >>> ring.put("7-a", 3, [b"some", b"parts"])
    >>> with RingReader(ring.address) as reader:
    ...     reader.message(3).parts, reader.numbers()
    ((b'some', b'parts'), [3])
    >>> ring.close()
    """

    def __init__(self, capacity: int, records: int = _RECORDS) -> None:
        super().__init__()
        self.name = "ring"
        self.capacity = max(int(capacity), 2**16)
        total = _HEADER + records * _RECORD.itemsize + self.capacity
        self._file = -1
        try:
            self._file = os.memfd_create("crystint-ring", os.MFD_CLOEXEC)
            os.ftruncate(self._file, total)
            self._memory = mmap.mmap(self._file, total)
        except (OSError, ValueError) as error:
            if self._file >= 0:
                os.close(self._file)
            raise FileError(f"no memory of {total} bytes for the last images: {error}; choose a smaller ring") from None
        self._room = _Room(self._memory, records, self.capacity)
        self._room.header[:3] = _MAGIC, records, self.capacity
        self._place = 0
        """where the next message goes"""
        self._images: deque[tuple[str, Image]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self.left_out = 0
        """images that were not copied, since they came too fast or are too large"""
        self._thread = threading.Thread(target=self._copy, name="crystint ring", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What `RingReader` takes, in any process of this user."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def image(self, run: Run, image: Image) -> None:
        """Copy it soon."""
        if image.message is None:
            return
        with self._wake:
            if len(self._images) >= _WAITING:  # whoever looks wants the newest ones
                self._images.popleft()
                self.left_out += 1
            self._images.append((str(run.key), image))
            self._wake.notify()

    def put(self, series: str, number: int, parts: Any) -> None:
        """Copy a message. For one thread; where images come through `image`, that is its own.

        Parameters
        ----------
        series : str
            Of the key of the series.
        number : int
            Of the image.
        parts : sequence of buffers
        """
        arrays = [np.frombuffer(part, np.uint8) for part in parts]
        lengths = np.array([len(array) for array in arrays], _LENGTHS).view(np.uint8)
        size = len(lengths) + sum(map(len, arrays))
        if size > self.capacity // 2:
            self.left_out += 1
            return
        room, place = self._room, self._place
        records = len(room.records)
        if place + size > self.capacity:
            place = 0
        count, oldest = int(room.header[_COUNT]), int(room.header[_OLDEST])
        oldest = max(oldest, count + 1 - records)
        while oldest < count and self._meets(oldest % records, place, size):
            oldest += 1
        room.header[_OLDEST] = oldest
        end = place
        for array in (lengths, *arrays):
            room.bytes[end : end + len(array)] = array
            end += len(array)
        room.records[count % records] = (place, size, number, len(arrays), series.encode()[:96])
        room.header[_COUNT] = count + 1
        self._place = end

    def _meets(self, record: int, place: int, size: int) -> bool:
        """Whether a message lies where one is about to be written, or in the rest at the end that is passed over."""
        offset, length = int(self._room.records["offset"][record]), int(self._room.records["size"][record])
        if place < self._place and offset >= self._place:
            return True
        return offset < place + size and place < offset + length

    def _copy(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._images)
                if self._closing:
                    return
                series, image = self._images.popleft()
            message = image.message
            self.put(series, image.number, message if isinstance(message, list | tuple) else (message,))
            del image, message

    def close(self) -> None:
        """End; readers keep what they have opened."""
        if self._closing:
            return
        with self._wake:
            self._closing = True
            self._images.clear()
            self._wake.notify()
        self._thread.join()
        self._room.clear()
        self._memory.close()
        os.close(self._file)

    def status(self) -> Mapping[str, Any]:
        if self._closing:
            return {}
        count, oldest = int(self._room.header[_COUNT]), int(self._room.header[_OLDEST])
        return {
            "images": count - oldest,
            "bytes": self.capacity,
            "left_out": self.left_out,
            "queued": len(self._images),
        }


class RingReader:
    """The reading side.

    Parameters
    ----------
    address : str
        `Ring.address`.

    Raises
    ------
    FileError
        When there is no ring.
    """

    def __init__(self, address: str) -> None:
        try:
            file = os.open(address, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FileError(f"the last images cannot be read at {address}: {error.strerror}") from None
        try:
            self._memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise FileError(f"the last images cannot be read at {address}: {error}") from None
        finally:
            os.close(file)
        head = np.frombuffer(self._memory, np.uint64, 3).tolist()
        if head[0] != _MAGIC:
            self._memory.close()
            raise FileError(f"{address} holds no images of crystint")
        self._room = _Room(self._memory, head[1], head[2])
        self._first = 0

    @property
    def count(self) -> int:
        """Messages that were put in since the ring began."""
        return int(self._room.header[_COUNT])

    @property
    def newest(self) -> int:
        """`count`, where the newest message is held; 0 = nothing is."""
        count = self.count
        return count if count > max(int(self._room.header[_OLDEST]), self._first) else 0

    @property
    def records(self) -> int:
        """Messages that it holds at most."""
        return len(self._room.records)

    def forget(self) -> None:
        """Do not see the images that are held now any more."""
        self._first = self.count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the memory."""
        if not self._memory.closed:
            self._room.clear()
            self._memory.close()

    def _held(self) -> tuple[int, np.ndarray[Any, Any]]:
        """Number of the first whole record, and a copy of these records, the oldest first."""
        room = self._room
        count, oldest = int(room.header[_COUNT]), max(int(room.header[_OLDEST]), self._first)
        held = room.records[np.arange(oldest, count) % len(room.records)]
        gone = max(int(room.header[_OLDEST]) - oldest, 0)
        return oldest + gone, held[gone:]

    def numbers(self, series: str | None = None) -> list[int]:
        """Of the images that are held, the oldest first.

        Parameters
        ----------
        series : str, optional
            None = that of the newest image.
        """
        return self.numbers_of(series)[1]

    def numbers_of(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """As `numbers`, after the key of the series; None = nothing is held."""
        _, held = self._held()
        chosen = held[self._of(held, series)]
        name = chosen["series"][-1].decode(errors="replace") if len(chosen) else None
        return name, [int(number) for number in chosen["number"]]

    @staticmethod
    def _of(held: np.ndarray[Any, Any], series: str | None) -> np.ndarray[Any, Any]:
        if not len(held):
            return np.zeros(0, bool)
        return np.asarray(held["series"] == (held["series"][-1] if series is None else series.encode()[:96]))

    def message(self, number: int | None = None, series: str | None = None) -> HeldImage | None:
        """An image; None = it is not held.

        Parameters
        ----------
        number : int, optional
            None = the newest.
        series : str, optional
            None = that of the newest image.
        """
        first, held = self._held()
        chosen = self._of(held, series)
        if number is not None:
            chosen &= held["number"] == number
        places = np.flatnonzero(chosen)
        if not len(places):
            return None
        record = held[places[-1]]
        offset, size = int(record["offset"]), int(record["size"])
        content = self._room.bytes[offset : offset + size].tobytes()
        if int(self._room.header[_OLDEST]) > first + int(places[-1]):
            return None if number is not None else self.message(None, series)
        lengths = np.frombuffer(content, _LENGTHS, int(record["parts"]))
        ends = np.cumsum(lengths) + len(lengths) * _LENGTHS.itemsize
        parts = tuple(content[int(end - length) : int(end)] for end, length in zip(ends, lengths))
        return HeldImage(record["series"].decode(errors="replace"), int(record["number"]), parts)
