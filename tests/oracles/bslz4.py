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


def careful_lz4(packed, length):
    """The bytes of a LZ4 block, or None where it breaks a rule of the format or does not make so many bytes.

    A match begins at least 12 bytes before the end of the data and ends at least 5 before it, the block ends with
    literals, and what stands before them is at least 8 bytes before the end of the block. Long lengths end 15 bytes
    (of literals) and 4 bytes (of a match) before the end of the block.
    """
    made, at, size = bytearray(), 0, len(packed)

    def long(total, at, end):
        while True:
            if at >= end or total > length:
                return None, at
            more, at = packed[at], at + 1
            total += more
            if more != 255:
                return total, at

    while at < size:
        token, at = packed[at], at + 1
        literals = token >> 4
        if literals == 15:
            literals, at = long(15, at, size - 15)
        if literals is None or at + literals > size or len(made) + literals > length:
            return None
        made += packed[at : at + literals]
        at += literals
        if len(made) > length - 12 or at > size - 8:
            return bytes(made) if at == size and len(made) == length else None
        back, at = packed[at] + 256 * packed[at + 1], at + 2
        match = token & 15
        if match == 15:
            match, at = long(15, at, size - 4)
        if match is None or not 0 < back <= len(made) or len(made) + match + 4 > length - 5:
            return None
        for _ in range(match + 4):
            made.append(made[-back])
    return None


def damaged_blocks(data, starts, block, pixels, size, cache):
    """How many blocks of a chunk are damaged, and the pixels of each of those that are not, by the first of them.

    `starts`: of the blocks in `data`, where the last one ends, and where the chunk ends; `cache`: a dictionary that
    holds what was looked at before.
    """
    whole, wrong, made = pixels - pixels % 8, 0, {}
    for number in range(len(starts) - 2):
        start, stop, first = int(starts[number]), int(starts[number + 1]), number * block
        wanted = min(block, whole - first)
        if not (start + 4 < stop <= len(data)):
            wrong += 1
            continue
        key = (data[start + 4 : stop], wanted)
        if key not in cache:
            planes = careful_lz4(key[0], wanted * size)
            cache[key] = None if planes is None else unshuffle(planes, size)
        if cache[key] is None:
            wrong += 1
        else:
            made[first] = cache[key]
    start, stop, rest = int(starts[-2]), int(starts[-1]), pixels % 8 * size
    if start + rest <= stop <= len(data):
        made[whole] = data[start : start + rest]
    else:
        wrong += 1
    return wrong, made


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
