"""Byte offsets of CBF files: differences of one byte each between pixels, with escapes to wider ones.

The format is that of International Tables for Crystallography G, chapter 2.3: a difference of -128 announces one of 16
bits, the smallest of those one of 32 bits, and the smallest of those one of 64 bits, all least byte first. What lies
between two escapes is copied, and summed, at once. That is fast where few pixels need an escape, as in most frames:
FabIO, which goes from byte to byte, decodes the others; of differences of 64 bits it makes wrong pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode", "runs_are_long"]

_ESCAPE = b"\x80"
_TO_64_BITS = b"\x80\0\x80\0\0\0\x80"
_MANY = 1 << 12
"""Bytes for each escape: with more escapes FabIO is faster."""


def runs_are_long(content: bytes, start: int, stop: int) -> bool:
    """Whether `decode` is the decoder for some bytes: it is faster than FabIO, or there are differences of 64 bits."""
    escapes = int(np.count_nonzero(np.frombuffer(content, np.int8)[start:stop] == -128))
    return escapes * _MANY <= stop - start or content.find(_TO_64_BITS, start, stop) >= 0


def decode(content: bytes, start: int, stop: int, pixels: NDArray[np.int32]) -> tuple[int, int]:
    """Decode byte offsets until all pixels are there or the bytes end.

    Parameters
    ----------
    content : bytes
        The bytes from `start` to before `stop` are decoded, and no others are looked at.
    pixels : int32 [n]
        Takes the pixels; sums wrap around as those of FabIO.

    Returns
    -------
    int, int
        Number of the pixels that are there, and of the byte after them.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.empty(4, np.int32)
    >>> decode(b"\\x05\\x80\\x00\\x01\\xff\\x01", 0, 6, pixels), pixels
    ((4, 6), array([  5, 261, 260, 261], dtype=int32))
    """
    deltas, find, total = np.frombuffer(content, np.int8), content.find, pixels.size
    done, at = 0, start
    while done < total and at < stop:
        end = min(stop, at + total - done)
        escape = find(_ESCAPE, at, end)
        run = (end if escape < 0 else escape) - at
        pixels[done : done + run] = deltas[at : at + run]
        done, at = done + run, at + run
        if escape >= 0:
            delta, after = _wider(content, at + 1, stop)
            if after > stop:  # cut off
                break
            pixels[done] = delta
            done, at = done + 1, after
    there = pixels[:done]
    np.cumsum(there, dtype=np.int32, out=there)
    return done, at


def _wider(content: bytes, at: int, stop: int) -> tuple[int, int]:
    """A difference behind an escape, as 32 bits hold it, and the number of the byte after it; above `stop`: cut off."""
    for size in (2, 4, 8):
        after = at + size
        if after > stop:
            return 0, after
        delta = int.from_bytes(content[at:after], "little", signed=True)
        at = after
        if delta != -(1 << (8 * size - 1)):
            break
    return (delta + (1 << 31)) % (1 << 32) - (1 << 31), at
