"""Which numbers of images came: a bitmap that grows, and a hash of each of the last ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["ImageNumbers"]

_BLOCK = 4096
_HASHED_BLOCKS = 64


class ImageNumbers:
    """A set of numbers of images. Memory: a bit for each number of a block of 4096 in which there is one, and a hash of
    64 bits for each of the last 262 144, so that 10^6 images take 2.2 MB.

    One thread adds; others may look meanwhile.

    Examples
    --------
    >>> from crystint.online.numbers import ImageNumbers
    >>> numbers = ImageNumbers()
    >>> [numbers.add(number) for number in (0, 1, 5, 1)]
    [True, True, True, False]
    >>> len(numbers), 5 in numbers, list(numbers.missing(8))
    (3, True, [(2, 5), (6, 8)])
    """

    def __init__(self) -> None:
        self._bits: dict[int, bytearray] = {}
        self._hashes: dict[int, np.ndarray[tuple[int], np.dtype[np.uint64]]] = {}
        self._count = 0
        self.end = 0
        """one above the largest; 0 = there is none"""

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        block, bit = divmod(number, _BLOCK)
        bits = self._bits.get(block)
        return bits is not None and bool(bits[bit >> 3] >> (bit & 7) & 1)

    def add(self, number: int, hashed: int = 0) -> bool:
        """Whether it is new.

        Parameters
        ----------
        number : int
        hashed : int
            64 bits made of what came with it; 0 = nothing to compare with.
        """
        block, bit = divmod(number, _BLOCK)
        bits = self._bits.get(block)
        if bits is None:
            bits = self._bits[block] = bytearray(_BLOCK >> 3)
        elif bits[bit >> 3] >> (bit & 7) & 1:
            return False
        bits[bit >> 3] |= 1 << (bit & 7)
        if hashed:
            hashes = self._hashes.get(block)
            if hashes is None:
                if len(self._hashes) >= _HASHED_BLOCKS:
                    del self._hashes[next(iter(self._hashes))]
                hashes = self._hashes[block] = np.zeros(_BLOCK, np.uint64)
            hashes[bit] = hashed
        self._count += 1
        self.end = max(self.end, number + 1)
        return True

    def hashed(self, number: int) -> int:
        """What was told with it; 0 = it is not there, or is not remembered any more."""
        hashes = self._hashes.get(number // _BLOCK)
        return 0 if hashes is None else int(hashes[number % _BLOCK])

    def missing(self, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges [first, behind the last) of the numbers below `stop` that are not there."""
        begin = 0
        for block in sorted(list(self._bits)):  # noqa: C414 (another thread may add to it)
            first = block * _BLOCK
            if first >= stop:
                break
            there = np.unpackbits(np.frombuffer(bytes(self._bits[block]), np.uint8), bitorder="little")
            edges = np.flatnonzero(np.diff(np.concatenate([[0], there, [0]]).astype(np.int8))) + first
            for present, absent in edges.reshape(-1, 2).tolist():
                if present > begin:
                    yield begin, min(present, stop)
                begin = absent
                if begin >= stop:
                    return
        if begin < stop:
            yield begin, stop

    def first_from(self, number: int, stop: int) -> int:
        """The smallest from `number` on that is there; `stop` = there is none below it."""
        for block in sorted(block for block in list(self._bits) if block >= number // _BLOCK):
            there = np.unpackbits(np.frombuffer(bytes(self._bits[block]), np.uint8), bitorder="little")
            places = np.flatnonzero(there) + block * _BLOCK
            places = places[places >= number]
            if len(places):
                return min(int(places[0]), stop)
        return stop
