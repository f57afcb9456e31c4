"""What the headers of an EDF file claim, judged before FabIO takes memory and time for it.

A header is text before the bytes of each frame; ``Dim_1`` is the length of the fast axis (ESRF, "The ESRF data format",
2001). FabIO counts up to the number of the last axis, whatever it is, and fills what is missing with zeros.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from crystint.errors import FileError
from crystint.io.containers import open_as_it_is, packing_of, unpacked
from crystint.io.limits import check_claim

__all__ = ["check_edf"]

_AXIS = re.compile(rb"\bDim_0*(\d{1,20})\s*=\s*([^;\s]{1,40})", re.IGNORECASE)
_SIZE = re.compile(rb"\b(?:EDF_BinarySize|Size)\s*=\s*(\d{1,30})", re.IGNORECASE)
_LONGEST = 1 << 14
"""Bytes of the first header, at most."""
_SPELLINGS = (b"Dim_", b"DIM_", b"dim_")
_AXES = 3
_SEARCHED = 1 << 28
"""Bytes of a file in which headers are looked for."""


def check_edf(path: Path) -> None:
    """Raise where a header of an EDF file, packed or not, has an axis of a number, or frames of a size, that cannot be.

    Files of other formats pass.

    Raises
    ------
    FileError
        Also when the file is packed and does not unpack.
    """
    with open_as_it_is(path) as stream:
        start = stream.peek(3)
        if packing_of(start):
            _check(path, unpacked(path, _SEARCHED))
        elif start.startswith(b"{"):
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check(path, content)


def _check(path: Path, content: bytes | mmap.mmap) -> None:
    if content[:1] != b"{":
        return
    for size in _SIZE.findall(content[:_LONGEST]):
        check_claim(path, int(size), len(content))
    pixels = 1.0
    for number, length in _axes(content):
        if number > _AXES:
            raise FileError(f"{path} is damaged: its header has an axis Dim_{number}, expected Dim_1 and Dim_2")
        pixels = length if number == 1 else pixels * length
        if pixels > 8 * len(content):  # a bit each
            raise FileError(f"{path} is damaged: it claims {pixels:.3g} pixels in {len(content)} bytes")


def _axes(content: bytes | mmap.mmap) -> Iterator[tuple[int, float]]:
    """Number and length of the axes, as the headers name them one after the other."""
    places = [place for spelling in _SPELLINGS for place in _places(content, spelling)]
    for place in sorted(places):
        axis = _AXIS.match(content, place)
        if axis is not None:
            with suppress(ValueError):
                yield int(axis[1]), float(axis[2])


def _places(content: bytes | mmap.mmap, word: bytes) -> Iterator[int]:
    at = content.find(word, 0, _SEARCHED)
    while at >= 0:
        yield at
        at = content.find(word, at + 1, _SEARCHED)
