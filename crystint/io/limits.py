"""Size before content: how much memory a file may ask for.

A few bytes can claim any size: a header of 10^5 x 10^5 pixels, a data set of which nothing is stored, zeros packed a
million times. What is claimed is compared with what is there before memory is taken.
"""

from __future__ import annotations

from crystint.errors import FileError
from crystint.units import readable_size

__all__ = ["ANY_FILE", "MOST_PACKED", "check_claim", "check_pixels"]

ANY_FILE = 1 << 28
"""Bytes that may be claimed whatever is stored: a frame of 67 million pixels of 4 bytes."""
MOST_PACKED = 1100
"""How many times larger than what is stored larger claims may be; zlib packs zeros 1032 times, LZ4 255 times."""


def check_claim(where: object, claimed: int, stored: int) -> None:
    """Raise unless `claimed` bytes of memory can come from `stored` bytes of a file.

    Parameters
    ----------
    where : path or str
        File and place, for the message.

    Raises
    ------
    FileError
        When they cannot.
    """
    if claimed > max(ANY_FILE, MOST_PACKED * stored):
        raise FileError(
            f"{where} claims {readable_size(claimed)}, of which {readable_size(stored)} are stored: it is damaged, "
            "or made to fill the memory"
        )


def check_pixels(where: object, shape: tuple[int, int]) -> None:
    """Raise unless a detector, of which a file tells nothing but the geometry, has a number of pixels that can be.

    Raises
    ------
    FileError
        When it has more than 2^28.
    """
    if shape[0] * shape[1] > ANY_FILE:
        raise FileError(f"{where} claims a detector of {shape[0]} x {shape[1]} px (slow, fast): it is damaged")
