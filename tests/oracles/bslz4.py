"""Bitshuffle with LZ4, unpacked slowly: one byte after the other, and one bit matrix per group of eight elements.

LZ4: Y. Collet, "LZ4 block format description". Bitshuffle: K. Masui et al. (2015), Astronomy and Computing 12, 181.
"""

from __future__ import annotations

import numpy as np


def unpack_lz4(packed):
    """The bytes of a LZ4 block."""
    made, at = bytearray(), 0

    def length(start, at):
        total = start
        if start == 15:
            while True:
                more = packed[at]
                at += 1
                total += more
                if more != 255:
                    break
        return total, at

    while at < len(packed):
        token = packed[at]
        literals, at = length(token >> 4, at + 1)
        made += packed[at : at + literals]
        at += literals
        if at == len(packed):
            break
        back = packed[at] + 256 * packed[at + 1]
        match, at = length(token & 15, at + 2)
        for _ in range(match + 4):
            made.append(made[-back])
    return bytes(made)


def unshuffle(block, size):
    """The bytes of the elements of a block: bit b of all elements stand together, for b = 0, 1, ..."""
    bits = np.unpackbits(np.frombuffer(block, np.uint8), bitorder="little").reshape(8 * size, -1)
    return np.packbits(bits.T, bitorder="little").tobytes()


def unpack_bslz4(chunk):
    """The frame of a packed chunk with the attributes data, starts, shape and dtype."""
    data, size = bytes(chunk.data), chunk.dtype.itemsize
    made = b""
    for start, stop in zip(chunk.starts[:-1], chunk.starts[1:]):
        made += unshuffle(unpack_lz4(data[start + 4 : stop]), size)
    rest = chunk.shape[0] * chunk.shape[1] * size - len(made)
    made += data[chunk.starts[-1] :][:rest]
    return np.frombuffer(made, chunk.dtype).reshape(chunk.shape)
