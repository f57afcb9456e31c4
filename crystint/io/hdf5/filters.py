"""Undo HDF5's filters without HDF5: its library serves one thread at a time, these functions any number.

The C functions are those of hdf5plugin; called through ctypes they let other Python threads run. A chunk of bitshuffle
(K. Masui et al. (2015), Astronomy and Computing 12, 181) is, in big-endian numbers: 8 bytes length of the data, 4 bytes
length of a block, then for every block 4 bytes length of the packed block and that block; what does not fill a group
of eight elements stands unpacked at the end. LZ4's filter differs in blocks that are stored as they are when packing
does not make them smaller. The C code trusts the lengths, therefore they are checked here.
"""

from __future__ import annotations

import ctypes
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any

import hdf5plugin
import numpy as np

from crystint.arrays import Bytes
from crystint.model.raw_chunk import RawChunk

__all__ = [
    "BITSHUFFLE",
    "GZIP",
    "HEADER",
    "LZ4",
    "PLUGINS",
    "SHUFFLE",
    "ZSTD",
    "DamagedChunk",
    "Filter",
    "can_decode",
    "decode",
    "is_bslz4",
    "library",
    "packed_blocks",
    "raw_chunk",
]

PLUGINS = str(hdf5plugin.PLUGIN_PATH)
"""folder of the filters, for programs whose HDF5 has none: the variable HDF5_PLUGIN_PATH"""


GZIP, SHUFFLE, LZ4, BITSHUFFLE, ZSTD = 1, 2, 32004, 32008, 32015
"""Numbers that the HDF Group has given to the filters."""
HEADER = 12
"""Bytes before the first block of a chunk of bitshuffle or LZ4."""
_PLAIN, _WITH_LZ4, _WITH_ZSTD = 0, 2, 3  # bitshuffle's fifth parameter
_head = Struct(">QI").unpack_from
_length = Struct(">I").unpack_from
_LARGEST = 0x7E000000
"""LZ4_MAX_INPUT_SIZE: bytes of the longest block."""


class DamagedChunk(ValueError):  # noqa: N818 (it is the chunk that is in error)
    """The bytes of a chunk are not what its filters write."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One step of a data set's filter pipeline."""

    number: int
    """as registered with the HDF Group"""
    values: tuple[int, ...] = ()
    """its parameters"""


@cache
def library() -> Any:
    """hdf5plugin's bitshuffle, LZ4 and Zstandard; None where they cannot be called from Python."""
    folder = Path(hdf5plugin.PLUGIN_PATH)
    size, pointer, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    functions = {
        "bshuf_decompress_lz4": (ctypes.c_int64, pointer, pointer, size, size, size),
        "bshuf_decompress_zstd": (ctypes.c_int64, pointer, pointer, size, size, size),
        "bshuf_bitunshuffle": (ctypes.c_int64, pointer, pointer, size, size, size),
        "bshuf_default_block_size": (size, size),
        "bshuf_compress_lz4": (ctypes.c_int64, pointer, pointer, size, size, size),
        "bshuf_compress_lz4_bound": (size, size, size, size),
        "LZ4_compress_default": (number, pointer, pointer, number, number),
        "LZ4_decompress_safe": (number, pointer, pointer, number, number),
        "ZSTD_decompress": (size, pointer, size, pointer, size),
        "ZSTD_compress": (size, pointer, size, pointer, size, number),
        "ZSTD_compressBound": (size, size),
    }
    for path in sorted(folder.glob("libh5bshuf.*")):
        try:
            plugin = ctypes.CDLL(str(path))
            for name, (result, *arguments) in functions.items():
                function = getattr(plugin, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return plugin
    return None


def can_decode(filters: Sequence[Filter]) -> bool:
    """Whether `decode` undoes this pipeline: shuffles first, then at most one filter that makes the data smaller."""
    if not filters:
        return True
    keeping = [each.number == SHUFFLE or (each.number == BITSHUFFLE and _packing(each) == _PLAIN) for each in filters]
    last = filters[-1]
    supported = last.number in (GZIP, SHUFFLE, LZ4, BITSHUFFLE, ZSTD)
    for each in filters:
        if each.number == SHUFFLE and (not each.values or each.values[0] < 1):
            return False
        if each.number == BITSHUFFLE:
            supported = supported and len(each.values) >= 3 and each.values[2] > 0
            supported = supported and _packing(each) in (_PLAIN, _WITH_LZ4, _WITH_ZSTD)
    only_python = all(each.number in (GZIP, SHUFFLE) for each in filters)
    return all(keeping[:-1]) and supported and (only_python or library() is not None)


def is_bslz4(filters: Sequence[Filter], mask: int = 0) -> bool:
    """Whether bitshuffle with LZ4 is all that was done to a chunk."""
    return len(filters) == 1 and not mask & 1 and filters[0].number == BITSHUFFLE and _packing(filters[0]) == _WITH_LZ4


def _packing(bitshuffle: Filter) -> int:
    return bitshuffle.values[4] if len(bitshuffle.values) > 4 else _PLAIN


def decode(filters: Sequence[Filter], mask: int, raw: Bytes, out: Bytes) -> None:
    """Undo the filters of a chunk.

    Parameters
    ----------
    filters : sequence of Filter
        As they were applied; `can_decode` holds for them.
    mask : int
        HDF5's filter mask of the chunk: a set bit = that filter was left out.
    raw : uint8 [n]
        The chunk in the file.
    out : uint8 [m]
        Takes the data of the whole chunk.

    Raises
    ------
    DamagedChunk
        When the chunk is no such data of that length. What `out` holds then is undefined.
    """
    steps = [each for place, each in enumerate(filters) if not mask >> place & 1]
    if not steps:
        _check_length(len(raw), len(out))
        out[:] = raw
    while steps:
        step = steps.pop()
        target = np.empty(len(out), np.uint8) if steps else out
        _UNDO[step.number](step, raw, target)
        raw = target


def packed_blocks(raw: Bytes, length: int, size: int) -> tuple[int, list[int]]:
    """Check the frame of a chunk of bitshuffle.

    Parameters
    ----------
    raw : uint8 [n]
    length : int
        Bytes of the unpacked chunk.
    size : int
        Bytes of an element.

    Returns
    -------
    elements per block, and where in `raw` each block starts, with its length in 4 bytes, and where the last one ends

    Raises
    ------
    DamagedChunk
    """
    block_bytes = _check_header(raw, length)
    block = block_bytes // size or int(library().bshuf_default_block_size(size))
    if block_bytes % size or block % 8 or length % size or min(block * size, length) > _LARGEST:
        raise DamagedChunk(f"its header gives blocks of {block_bytes} bytes for elements of {size}")
    elements = length // size
    blocks = elements // block + (elements % block >= 8)
    rest = elements % 8 * size
    view, read, at, starts = raw.data, _length, HEADER, [HEADER] * (blocks + 1)
    try:
        for number in range(blocks):  # a few hundred ns each, and other threads wait: nothing more is done here
            at += 4 + read(view, at)[0]
            starts[number + 1] = at
    except StructError:
        raise DamagedChunk(f"it ends after {len(raw)} bytes, before its last block") from None
    if at + rest > len(raw):
        raise DamagedChunk(f"its blocks need {at + rest} bytes, it has {len(raw)}")
    return block, starts


def raw_chunk(raw: Bytes, shape: tuple[int, int], dtype: np.dtype[Any]) -> RawChunk:
    """A frame that is packed with bitshuffle and LZ4, with the places of its blocks.

    Parameters
    ----------
    raw : uint8 [n]
        With its header, as in files and messages.
    shape : (slow, fast)
    dtype : dtype
        Of its pixels, with their byte order.

    Raises
    ------
    DamagedChunk
        When its blocks do not lie within it, or it is of another length.
    """
    block, starts = packed_blocks(raw, math.prod(shape) * dtype.itemsize, dtype.itemsize)
    return RawChunk(raw, np.array(starts, np.int64), block, shape, dtype)


def _check_header(raw: Bytes, length: int) -> int:
    """The length of a block, where the length of the data is right."""
    if len(raw) < HEADER:
        raise DamagedChunk(f"it has {len(raw)} bytes, fewer than a header")
    total, block = _head(raw.data)
    _check_length(total, length)
    return int(block)


def _check_length(length: int, expected: int) -> None:
    if length != expected:
        raise DamagedChunk(f"it holds {length} bytes of data, expected {expected}")


def _undo_bitshuffle(step: Filter, raw: Bytes, out: Bytes) -> None:
    size, packing = step.values[2], _packing(step)
    if packing == _PLAIN:
        _check_length(len(raw), len(out))
        block = step.values[3] if len(step.values) > 3 else 0
        used = library().bshuf_bitunshuffle(raw.ctypes.data, out.ctypes.data, len(out) // size, size, block)
        if used < 0 or len(out) % size:
            raise DamagedChunk(f"bitshuffle fails with code {used}")
        return
    block, starts = packed_blocks(raw, len(out), size)
    undo = library().bshuf_decompress_lz4 if packing == _WITH_LZ4 else library().bshuf_decompress_zstd
    elements = len(out) // size
    used = undo(raw.ctypes.data + HEADER, out.ctypes.data, elements, size, block)
    if used != starts[-1] - HEADER + elements % 8 * size:
        raise DamagedChunk(f"a block of bitshuffle is damaged (code {used})")


def _undo_zstd(step: Filter, raw: Bytes, out: Bytes) -> None:
    made = int(library().ZSTD_decompress(out.ctypes.data, len(out), raw.ctypes.data, len(raw)))
    if made != len(out):
        raise DamagedChunk("Zstandard cannot unpack it to the expected length")


def _undo_lz4(step: Filter, raw: Bytes, out: Bytes) -> None:
    block = min(_check_header(raw, len(out)), len(out))
    if not 0 < block <= _LARGEST:
        raise DamagedChunk(f"its header gives blocks of {block} bytes")
    at = HEADER
    for start in range(0, len(out), block):
        length = min(block, len(out) - start)
        packed = int(_length(raw.data, at)[0]) if at + 4 <= len(raw) else len(raw)
        at += 4
        if at + packed > len(raw):
            raise DamagedChunk(f"it has {len(raw)} bytes, fewer than its blocks need")
        if packed == length:
            out[start : start + length] = raw[at : at + packed]
        else:
            source, target = raw.ctypes.data + at, out.ctypes.data + start
            if library().LZ4_decompress_safe(source, target, packed, length) != length:
                raise DamagedChunk("a block of LZ4 is damaged")
        at += packed


def _undo_gzip(step: Filter, raw: Bytes, out: Bytes) -> None:
    undo = zlib.decompressobj()
    try:
        data = undo.decompress(raw.data, len(out) + 1)
    except zlib.error as error:
        raise DamagedChunk(f"zlib: {error}") from None
    if len(data) != len(out) or not undo.eof:
        raise DamagedChunk(f"zlib unpacks {len(data)} bytes, expected {len(out)}")
    out[:] = np.frombuffer(data, np.uint8)


def _undo_shuffle(step: Filter, raw: Bytes, out: Bytes) -> None:
    _check_length(len(raw), len(out))
    size = step.values[0]
    whole = len(out) // size * size
    for place, plane in enumerate(raw[:whole].reshape(size, -1)):
        out[place:whole:size] = plane
    out[whole:] = raw[whole:]


_UNDO = {
    GZIP: _undo_gzip,
    SHUFFLE: _undo_shuffle,
    LZ4: _undo_lz4,
    BITSHUFFLE: _undo_bitshuffle,
    ZSTD: _undo_zstd,
}
