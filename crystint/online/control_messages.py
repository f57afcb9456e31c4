"""Questions to the data process and its answers, as bytes: maps of CBOR, arrays as typed arrays of two axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crystint.errors import StreamError
from crystint.online.control import Applied
from crystint.stream.cbor import Tag, decode, encode
from crystint.stream.packed_frame import PackedFrame
from crystint.stream.typed_arrays import frame_of, frame_tag

__all__ = ["pack", "unpack"]

_ROW_MAJOR = 40
_APPLIED = "applied"


def pack(value: Any) -> bytes:
    """To bytes.

    Parameters
    ----------
    value : JSON-able value, bytes, integer or bool [slow, fast], Applied
        And maps, lists and tuples of them.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.online.control_messages import pack, unpack
    >>> unpack(pack({"mask": np.ones((2, 3), np.uint8), "n": [1, None, "a"]}))
    {'mask': array([[1, 1, 1],
           [1, 1, 1]], dtype=uint8), 'n': [1, None, 'a']}
    """
    return encode(_plain(value))


def unpack(message: Any) -> Any:
    """The inverse of `pack`; tuples are lists.

    Raises
    ------
    StreamError
        When it is damaged.
    """
    return _whole(decode(message))


def _plain(value: Any) -> Any:
    match value:
        case Applied():
            return {_APPLIED: [value.first_image, value.version, value.revision, _plain(value.details)]}
        case np.ndarray():
            if value.ndim != 2 or value.dtype.kind not in "biu":
                raise StreamError(f"an array is {value.shape} {value.dtype}, expected whole numbers (slow, fast)")
            pixels = np.ascontiguousarray(value.view(np.uint8) if value.dtype.kind == "b" else value)
            data = pixels.reshape(-1).view(np.uint8)
            return frame_tag(PackedFrame(data, (value.shape[0], value.shape[1]), pixels.dtype, "none"))
        case Mapping():
            return {str(name): _plain(member) for name, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
    return value


def _whole(value: Any) -> Any:
    match value:
        case Tag():
            if value.number != _ROW_MAJOR:
                raise StreamError(f"a tag {value.number}, expected arrays alone")
            return frame_of(value, "an array").decode()
        case {"applied": [first_image, version, revision, details]} if len(value) == 1:
            return Applied(first_image, version, revision, _whole(details))
        case dict():
            return {name: _whole(member) for name, member in value.items()}
        case list():
            return [_whole(member) for member in value]
        case memoryview():
            return bytes(value)
    return value
