"""The numbers in the header of an MTZ file, read before a library takes memory for them.

CCP4, "MTZ format": the header stands where the second word points, in words of 4 bytes, and consists of lines of 80
letters; a line NCOL has the number of columns, of reflections and of batches. Where the second word is -1 the place
stands in the fourth and fifth.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple

from crystint.errors import FileError
from crystint.io.containers import DAMAGE, open_as_it_is, open_packed, packing_of, unpacked

__all__ = ["MtzSize", "check_mtz", "mtz_size"]

_COUNTS = re.compile(rb"NCOL +(\d+) +(\d+) +(\d+)")
_LINES = 80 * 64
"""Bytes of the header in which NCOL is looked for."""
_BATCH_LINES = 3 * 80
"""Bytes of the header that a batch takes at least."""


class MtzSize(NamedTuple):
    """What the line NCOL says."""

    columns: int
    reflections: int
    batches: int


def mtz_size(path: Path) -> MtzSize | None:
    """The numbers of columns, reflections and batches; None when the header is not where it should be."""
    with suppress(*DAMAGE), open_packed(path) as stream:
        return _size(stream)
    return None


def _size(stream: IO[bytes]) -> MtzSize | None:
    start = stream.read(20)
    order = "<" if start[8:9] == b"D" else ">"
    with suppress(struct.error, ValueError, OverflowError):
        (place,) = struct.unpack(order + "i", start[4:8])
        if place == -1:
            (place,) = struct.unpack(order + "q", start[12:20])
        stream.seek(4 * (place - 1))
        counts = _COUNTS.search(stream.read(_LINES))
        return None if counts is None else MtzSize(*map(int, counts.groups()))
    return None


def check_mtz(path: Path) -> None:
    """Raise unless the file is long enough for what its header counts.

    Raises
    ------
    FileError
    """
    with open_as_it_is(path) as stream:
        packed = packing_of(stream.peek(3))
        content = BytesIO(unpacked(path)) if packed else stream
        size, length = _size(content), content.seek(0, 2)
    if size is None:
        raise FileError(f"{path} is damaged, truncated or not an MTZ file: its header is not where it should be")
    if 4 * size.columns * size.reflections > length or _BATCH_LINES * size.batches > length:
        raise FileError(
            f"{path} is damaged or truncated: its header counts {size.reflections} reflections of {size.columns} "
            f"columns and {size.batches} batches, and it has {length} bytes"
        )
