"""Arrays in CBOR: typed arrays (RFC 8746), arrays of several axes, and DECTRIS's compressed byte strings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bytes
from crystint.errors import StreamError
from crystint.stream.cbor import Tag
from crystint.stream.packed_frame import PackedFrame, check_length

__all__ = ["array_of", "frame_of", "frame_tag", "list_tag", "plain_value"]

_ROW_MAJOR, _COLUMN_MAJOR = 40, 1040
_PACKED = 56500
_TYPES = {
    64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8",
    72: "i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
    80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
}  # fmt: skip
_DTYPES = {number: np.dtype(code) for number, code in _TYPES.items()}
_NUMBERS = {dtype: number for number, dtype in reversed(_DTYPES.items())}


def _typed(value: Any, what: str) -> tuple[np.dtype[Any], str, Bytes]:
    """Dtype, compression and bytes of a typed array."""
    if not isinstance(value, Tag) or value.number not in _DTYPES:
        kind = f"tag {value.number}" if isinstance(value, Tag) else type(value).__name__
        raise StreamError(f"{what} is a {kind}, expected a typed array of CBOR")
    dtype, algorithm, data = _DTYPES[value.number], "none", value.value
    if isinstance(data, Tag) and data.number == _PACKED:
        members = data.value
        if not isinstance(members, list) or len(members) != 3 or not isinstance(members[0], str):
            raise StreamError(f"{what} is compressed, but not as [algorithm, size of an element, bytes]")
        algorithm, size, data = members
        if algorithm == "bslz4" and size != dtype.itemsize:
            raise StreamError(f"{what} is packed in elements of {size!r} bytes, its values have {dtype.itemsize}")
    if not isinstance(data, memoryview):
        raise StreamError(f"{what} has a {type(data).__name__} in place of its bytes")
    return dtype, algorithm, np.frombuffer(data, np.uint8)


def frame_of(value: Any, what: str) -> PackedFrame:
    """A packed frame from [dims, typed array].

    Raises
    ------
    StreamError
        When it is none, or its bytes are not as many as its shape says.
    """
    if not isinstance(value, Tag) or value.number not in (_ROW_MAJOR, _COLUMN_MAJOR):
        kind = f"tag {value.number}" if isinstance(value, Tag) else type(value).__name__
        raise StreamError(f"{what} is a {kind}, expected an array of CBOR with two axes")
    members = value.value
    if not isinstance(members, list) or len(members) != 2 or not isinstance(members[0], list):
        raise StreamError(f"{what} is no array of CBOR: expected [[rows, columns], values]")
    shape = members[0]
    if len(shape) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) for n in shape):
        raise StreamError(f"{what} has {len(shape)} axes, expected [rows, columns]")
    dtype, algorithm, data = _typed(members[1], what)
    frame = PackedFrame(data, (shape[0], shape[1]), dtype, algorithm, value.number == _COLUMN_MAJOR)
    check_length(frame, what)
    return frame


def array_of(value: Any, what: str) -> NDArray[Any]:
    """The array of one axis, not compressed, that a typed array is.

    Raises
    ------
    StreamError
    """
    dtype, algorithm, data = _typed(value, what)
    if algorithm != "none" or len(data) % dtype.itemsize:
        raise StreamError(f"{what} has {len(data)} bytes ({algorithm}), expected {dtype} as they are")
    return data.view(dtype)


def frame_tag(frame: PackedFrame) -> Tag:
    """The inverse of `frame_of`."""
    data: Any = frame.data
    if frame.algorithm != "none":
        data = Tag(_PACKED, [frame.algorithm, frame.dtype.itemsize if frame.algorithm == "bslz4" else 0, frame.data])
    axes = _COLUMN_MAJOR if frame.column_major else _ROW_MAJOR
    return Tag(axes, [list(frame.shape), Tag(_number(frame.dtype), data)])


def list_tag(values: NDArray[Any]) -> Tag:
    """A typed array of one axis."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return Tag(_number(flat.dtype), flat.view(np.uint8))


def _number(dtype: np.dtype[Any]) -> int:
    number = _NUMBERS.get(dtype)
    if number is None:
        raise StreamError(f"there is no typed array of {dtype} in CBOR")
    return number


def plain_value(value: Any) -> Any:
    """What a user's value is without CBOR: typed arrays as arrays of NumPy, bytes of their own, no other tags."""
    if isinstance(value, Tag):
        if value.number in _DTYPES:
            try:
                return array_of(value, "an array of the user data").copy()
            except StreamError:
                pass
        return plain_value(value.value)
    if isinstance(value, dict):
        return {key: plain_value(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain_value(member) for member in value]
    return bytes(value) if isinstance(value, memoryview) else value
