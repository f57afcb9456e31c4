"""Messages of detectors by cbor2, of either signature of its hook, and frames by HDF5's own filters."""

from __future__ import annotations

import io
from typing import Any

import cbor2
import h5py
import hdf5plugin
import numpy as np

_TYPES = {
    64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8", 72: "i1", 73: ">i2",
    74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8", 80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2",
    85: "<f4", 86: "<f8",
}  # fmt: skip


def _hook(*arguments: Any) -> Any:
    """cbor2 before 6 calls (decoder, tag), from 6 on (tag, immutable)."""
    tag = next(each for each in arguments if isinstance(each, cbor2.CBORTag))
    if tag.tag in _TYPES:
        dtype = np.dtype(_TYPES[tag.tag])
        return (dtype, *tag.value) if isinstance(tag.value, tuple) else np.frombuffer(tag.value, dtype)
    if tag.tag == 56500:
        return tuple(tag.value)
    if tag.tag in (40, 1040):
        shape, values = tag.value
        shape = tuple(shape)
        if isinstance(values, tuple):
            values = _unpacked(shape, *values)
        order = "C" if tag.tag == 40 else "F"
        return np.asarray(values).reshape(-1).reshape(shape, order=order)
    return tag


def _unpacked(shape: tuple[int, ...], dtype: np.dtype[Any], algorithm: str, size: int, data: bytes) -> np.ndarray:
    little = dtype.newbyteorder("<")
    options = dict(hdf5plugin.Bitshuffle(cname="lz4")) if algorithm == "bslz4" else dict(hdf5plugin.LZ4())
    with h5py.File(io.BytesIO(), "w") as file:
        made = file.create_dataset("data", shape, little, chunks=shape, **options)
        made.id.write_direct_chunk((0, 0), data)
        values = made[()]
    return values.view(dtype)


def decoded(message: bytes) -> dict[str, Any]:
    """All that a message says."""
    return dict(cbor2.loads(message, tag_hook=_hook))
