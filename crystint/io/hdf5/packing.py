"""Chunks of HDF5 data sets, packed by any number of threads and written, in order, by the one that owns the file."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from struct import pack
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bytes
from crystint.io.hdf5.checksums import Digest
from crystint.io.hdf5.files import GZIPPED, LEVEL, PACKED, check_written, digests_in
from crystint.io.hdf5.filters import library

__all__ = ["BSLZ4", "GZIP", "GZIP_SMALL", "PLAIN", "ZSTD", "ChunkWriter", "Packing", "packed_size"]


_NG_LEVEL = 2
"""of zlib-ng: level 1 is faster, and files half as large again"""


def _shuffled(values: NDArray[Any]) -> Bytes:
    """HDF5's shuffle: the first byte of every element, then the second of every element, and so on."""
    flat = values.reshape(-1).view(np.uint8)
    size = values.dtype.itemsize
    made = np.empty_like(flat)
    for place, plane in enumerate(made.reshape(size, -1)):
        plane[:] = flat[place::size]
    return made


def _zstd(values: NDArray[Any]) -> Bytes:
    source = _shuffled(values)
    made = np.empty(library().ZSTD_compressBound(len(source)), np.uint8)
    length = int(library().ZSTD_compress(made.ctypes.data, len(made), source.ctypes.data, len(source), LEVEL))
    if length > len(made):  # an error code is a huge number
        raise MemoryError("Zstandard cannot pack a chunk; is memory short?")
    return made[:length]


def _gzip(values: NDArray[Any]) -> Bytes:
    """By zlib-ng where imagecodecs has it: smaller than zlib's fastest level, in two thirds of the time."""
    shuffled = _shuffled(values).data
    encode = _zlib_ng()
    return np.frombuffer(zlib.compress(shuffled, 1) if encode is None else encode(shuffled, _NG_LEVEL), np.uint8)


@cache
def _zlib_ng() -> Callable[[memoryview, int], bytes] | None:
    import imagecodecs

    encode: Any = imagecodecs.zlibng_encode
    return encode if imagecodecs.ZLIBNG.available else None


def _gzip_small(values: NDArray[Any]) -> Bytes:
    return np.frombuffer(zlib.compress(_shuffled(values).data, GZIPPED["compression_opts"]), np.uint8)


def _bslz4(values: NDArray[Any]) -> Bytes:
    size = values.dtype.itemsize
    block = int(library().bshuf_default_block_size(size))
    head = np.frombuffer(pack(">QI", values.nbytes, block * size), np.uint8)
    made = np.empty(len(head) + library().bshuf_compress_lz4_bound(values.size, size, block), np.uint8)
    made[: len(head)] = head
    to = made.ctypes.data + len(head)
    length = int(library().bshuf_compress_lz4(values.ctypes.data, to, values.size, size, block))
    if length < 0:
        raise MemoryError(f"bitshuffle cannot pack a frame (code {length}); is memory short?")
    return made[: len(head) + length]


@dataclass(frozen=True, eq=False)
class Packing:
    """A way to pack chunks."""

    options: dict[str, Any]
    """arguments of `create_dataset`"""
    pack: Callable[[NDArray[Any]], Bytes]
    """a chunk, C-contiguous, so that HDF5 unpacks it; other threads run meanwhile"""
    native: bool = True
    """whether `pack` needs hdf5plugin's functions"""

    @property
    def direct(self) -> bool:
        """Whether `pack` can be used here; elsewhere HDF5 has to pack."""
        return not self.native or library() is not None


ZSTD: Packing = Packing(PACKED, _zstd)
"""Byte shuffle and Zstandard."""
BSLZ4: Packing = Packing(dict(hdf5plugin.Bitshuffle(cname="lz4")), _bslz4)
"""Bitshuffle with LZ4."""
GZIP: Packing = Packing({"compression": "gzip", "compression_opts": 1, "shuffle": True}, _gzip, native=False)
"""Byte shuffle and zlib's format, packed fast."""
GZIP_SMALL: Packing = Packing(GZIPPED, _gzip_small, native=False)
"""Byte shuffle and zlib's usual level."""
PLAIN: Packing = Packing({}, lambda values: values.reshape(-1).view(np.uint8), native=False)
"""As it is."""


def packed_size(frame: NDArray[Any]) -> int:
    """Bytes of a frame under bitshuffle-LZ4, the usual compression of detector files."""
    if BSLZ4.direct:
        return len(BSLZ4.pack(np.ascontiguousarray(frame)))
    with h5py.File(BytesIO(), "w") as file:
        data = file.create_dataset("data", data=frame, chunks=frame.shape, **BSLZ4.options)
        return int(data.id.get_storage_size())


class ChunkWriter:
    """Writes whole chunks of a data set that was made with `packing.options`.

    Parameters
    ----------
    data : h5py.Dataset
        Chunked along its first axis only.
    packing : Packing
    pool : concurrent.futures.Executor or None
        Its threads pack; None = the caller packs. The file is the same, byte for byte.
    waiting : int
        Chunks that may wait for being written; they are written in the order in which they came.
    """

    def __init__(self, data: h5py.Dataset, packing: Packing, pool: Executor | None = None, waiting: int = 4) -> None:
        self._data, self._packing, self._pool = data, packing, pool
        self._direct = packing.direct
        self._most = waiting
        self._digest = Digest()
        if self._direct:
            digests_in(data)[data.name] = self._digest
        self._waiting: deque[tuple[int, int, Future[Bytes] | Bytes]] = deque()

    def put(self, start: int, rows: int, chunk: NDArray[Any]) -> None:
        """Write a chunk.

        Parameters
        ----------
        start : int
            Its first row.
        rows : int
            How many of its rows count; the data set grows to hold them.
        chunk : dtype [rows per chunk, ...]
            Whole and C-contiguous. It must not change until it is written.
        """
        if not self._direct:
            self._grow(start + rows)
            self._data[start : start + rows] = chunk[:rows]
            check_written(self._data)
            return
        pack = self._packing.pack
        self._waiting.append((start, rows, pack(chunk) if self._pool is None else self._pool.submit(pack, chunk)))
        while len(self._waiting) > self._most:
            self._write()

    def put_packed(self, start: int, rows: int, packed: Bytes) -> None:
        """As `put`, of a chunk that is packed already."""
        self._waiting.append((start, rows, packed))
        while len(self._waiting) > self._most:
            self._write()

    def flush(self) -> None:
        """Write what is waiting."""
        while self._waiting:
            self._write()

    def _write(self) -> None:
        start, rows, packed = self._waiting.popleft()
        packed = packed.result() if isinstance(packed, Future) else packed
        self._grow(start + rows)
        self._digest.add(packed, start)
        self._data.id.write_direct_chunk((start, *(0,) * (self._data.ndim - 1)), packed)
        check_written(self._data)

    def _grow(self, rows: int) -> None:
        if rows > len(self._data):
            self._data.resize(rows, axis=0)
