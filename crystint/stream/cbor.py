"""CBOR (RFC 8949) as detectors send it: a walk through a message that copies no payload, and an encoder.

The limits are those of an unfriendly network: whatever the bytes are, the walk ends soon, takes little memory, and what
is wrong is a `StreamError`.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from crystint.errors import StreamError

__all__ = ["LONGEST_MESSAGE", "Tag", "decode", "decode_map", "encode"]

LONGEST_MESSAGE = 256 * 2**20
"""bytes"""
_DEEPEST = 16
_MOST_ITEMS = 2**20
_LONGEST_TEXT = 64 * 1024
_MOST_TEXT = 16 * 2**20
"""bytes of all texts of a message that are decoded"""
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
_BREAK = 0xFF
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_u16, _u32, _u64 = (struct.Struct(code).unpack_from for code in (">H", ">I", ">Q"))
_f16, _f32, _f64 = (struct.Struct(code).unpack_from for code in (">e", ">f", ">d"))
_INTEGERS = {25: (_u16, 2), 26: (_u32, 4), 27: (_u64, 8)}
_FLOATS = {25: (_f16, 2), 26: (_f32, 4), 27: (_f64, 8)}


class Tag(NamedTuple):
    """A value that is marked with what it means."""

    number: int
    value: Any


def _plain_length(head: int) -> int:
    """Bytes of an item that has nothing inside it and tells its length in its first byte; 0 = it is another."""
    major, low = head >> 5, head & 31
    if major in (_BYTES, _TEXT):
        return 1 + low if low < 24 else 0
    if major in (_UNSIGNED, _NEGATIVE, _SIMPLE):
        return 1 if low < 24 else {24: 2, 25: 3, 26: 5, 27: 9}.get(low, 0)
    return 0


_PLAIN = bytes(map(_plain_length, range(256)))


class _Walk:
    """A place in a message."""

    __slots__ = ("at", "data", "end", "items", "text")

    def __init__(self, data: memoryview) -> None:
        self.data, self.at, self.end = data, 0, len(data)
        self.items = self.text = 0

    def length(self, low: int) -> int:
        """The number that follows a first byte; the place is behind that byte."""
        if low < 24:
            return low
        if low == 24:
            self.at += 1
            return self.data[self.at - 1]
        if low not in _INTEGERS:
            raise StreamError(f"byte {self.at - 1} begins no CBOR item")
        read, size = _INTEGERS[low]
        self.at += size
        return int(read(self.data, self.at - size)[0])

    def members(self, low: int, each: int) -> int:
        """How many items an array or a map has; -1 = as many as come before a break."""
        if low == 31:
            return -1
        count = self.length(low) * each
        if count > self.end - self.at:
            raise StreamError(f"at byte {self.at} follow {count} items in {self.end - self.at} bytes")
        self.counted(count)
        return count

    def counted(self, count: int) -> None:
        """Refuse messages of too many items."""
        self.items += count
        if self.items > _MOST_ITEMS:
            raise StreamError(f"it has more than {_MOST_ITEMS} items")

    def at_break(self) -> bool:
        """Whether a container without a length ends here; goes behind its break."""
        if self.data[self.at] != _BREAK:
            self.counted(1)
            return False
        self.at += 1
        return True

    def piece(self, low: int) -> memoryview:
        """Bytes of a byte string or a text."""
        length = self.length(low)
        start = self.at
        if length > self.end - start:
            raise StreamError(f"{length} bytes should follow at byte {start}, it has {self.end - start} more")
        self.at = start + length
        return self.data[start : self.at]

    def string(self, major: int, low: int) -> memoryview:
        """As `piece`, also in pieces, which are copied."""
        if low != 31:
            return self.piece(low)
        pieces: list[memoryview] = []
        while not self.at_break():
            head = self.data[self.at]
            self.at += 1
            if head >> 5 != major or head & 31 == 31:
                raise StreamError(f"byte {self.at - 1} begins no piece of the string that it is in")
            pieces.append(self.piece(head & 31))
        return memoryview(b"".join(pieces))

    def words(self, low: int) -> str:
        """A text."""
        piece = self.string(_TEXT, low)
        self.text += len(piece)
        if len(piece) > _LONGEST_TEXT or self.text > _MOST_TEXT:
            raise StreamError(
                f"before byte {self.at} is a text of {len(piece)} bytes, expected {_LONGEST_TEXT} at most"
            )
        try:
            return str(piece, "utf-8")
        except UnicodeDecodeError:
            raise StreamError(f"the text before byte {self.at} is no UTF-8") from None

    def key(self) -> str:
        """A key of a map."""
        head = self.data[self.at]
        self.at += 1
        if head >> 5 != _TEXT:
            raise StreamError(f"byte {self.at - 1} begins no text, expected the name of a value")
        return self.words(head & 31)

    def value(self, depth: int) -> Any:
        """The next item: numbers, str, memoryview, list, dict, Tag, None, bool."""
        head = self.data[self.at]
        self.at += 1
        major, low = head >> 5, head & 31
        if major == _UNSIGNED:
            return self.length(low)
        if major == _TEXT:
            return self.words(low)
        if major == _BYTES:
            return self.string(_BYTES, low)
        if major == _NEGATIVE:
            return -1 - self.length(low)
        if major == _SIMPLE:
            return self.simple(low)
        if depth >= _DEEPEST:
            raise StreamError(f"at byte {self.at} it is nested deeper than {_DEEPEST}")
        if major == _TAG:
            return Tag(self.length(low), self.value(depth + 1))
        if major == _ARRAY:
            count = self.members(low, 1)
            if count >= 0:
                return [self.value(depth + 1) for _ in range(count)]
            values = []
            while not self.at_break():
                values.append(self.value(depth + 1))
            return values
        return self.map(low, depth, None)

    def map(self, low: int, depth: int, wanted: Container[str] | None) -> dict[str, Any]:
        """The members of a map that are wanted; None = all."""
        count = self.members(low, 2)
        values: dict[str, Any] = {}
        while count > 0 or (count < 0 and not self.at_break()):
            key = self.key()
            if wanted is not None and key not in wanted:
                self.skip(1, depth + 1)
            elif key in values:
                raise StreamError(f"it has {key!r} twice")
            else:
                values[key] = self.value(depth + 1)
            count -= 2 if count > 0 else 0
        return values

    def simple(self, low: int) -> Any:
        """True, false, null, a float."""
        if low in _FLOATS:
            read, size = _FLOATS[low]
            self.at += size
            return read(self.data, self.at - size)[0]
        if low in (20, 21):
            return low == 21
        if low in (22, 23):
            return None
        raise StreamError(f"byte {self.at - 1} begins no value that is known")

    def skip(self, count: int, depth: int) -> None:
        """Go behind items; as `value`, without making anything of them."""
        data = self.data
        while count:
            head = data[self.at]
            if head == _BREAK and count < 0:
                self.at += 1
                return
            count -= 1
            if plain := _PLAIN[head]:
                self.at += plain
                continue
            self.at += 1
            major, low = head >> 5, head & 31
            if major in (_BYTES, _TEXT):
                self.string(major, low)
            elif major not in (_ARRAY, _MAP, _TAG):
                raise StreamError(f"byte {self.at - 1} begins no CBOR item")
            elif depth >= _DEEPEST:
                raise StreamError(f"at byte {self.at} it is nested deeper than {_DEEPEST}")
            elif major == _TAG:
                self.length(low)
                self.skip(1, depth + 1)
            else:
                self.skip(self.members(low, 1 if major == _ARRAY else 2), depth + 1)
            if count < 0:
                self.counted(1)


def decode(message: Any) -> Any:
    """Decode a message.

    Parameters
    ----------
    message : buffer

    Returns
    -------
    int, float, str, bool, None, memoryview, list, dict or Tag
        A memoryview is a part of the message.

    Raises
    ------
    StreamError
        When it is no CBOR, or beyond the limits.

    Examples
    --------
    >>> from crystint.stream.cbor import Tag, decode, encode
    >>> decode(encode({"type": "end", "n": [1, -2, 0.5, None], "date": Tag(0, "2026-11-30T00:00:00Z")}))
    {'type': 'end', 'n': [1, -2, 0.5, None], 'date': Tag(number=0, value='2026-11-30T00:00:00Z')}
    """
    return _decoded(message, None)


def decode_map(message: Any, wanted: Container[str]) -> dict[str, Any]:
    """As `decode`, of a message that is a map, and of this only what is wanted; the rest is only walked over."""
    values: dict[str, Any] = _decoded(message, wanted)
    return values


def _decoded(message: Any, wanted: Container[str] | None) -> Any:
    try:
        data = memoryview(message).cast("B")
    except TypeError:
        raise StreamError(f"the message is a {type(message).__name__}, expected contiguous bytes") from None
    if len(data) > LONGEST_MESSAGE:
        raise StreamError(f"the message has {len(data)} bytes, expected {LONGEST_MESSAGE} at most")
    walk = _Walk(data)
    try:
        if data[:3] == _SELF_DESCRIBED:
            walk.at = 3
        if wanted is None:
            value = walk.value(0)
        else:
            head = data[walk.at]
            walk.at += 1
            if head >> 5 != _MAP:
                raise StreamError(f"it begins with byte {head:#04x}, expected a map of CBOR")
            value = walk.map(head & 31, 0, wanted)
    except (IndexError, struct.error):
        raise StreamError(f"it ends after {len(data)} bytes in the middle of a value") from None
    if walk.at != len(data):
        what = f"{len(data) - walk.at} bytes follow its end" if walk.at < len(data) else "its end is missing"
        raise StreamError(f"it has {len(data)} bytes: {what}")
    return value


def encode(value: Any) -> bytes:
    """Encode a message: tag 55799, then the value.

    Parameters
    ----------
    value : int, float, str, bool, None, buffer, NumPy number, datetime, list, tuple, dict or Tag
        Floats take 8 bytes. Arrays of NumPy are what `crystint.stream.typed_arrays` makes tags of.

    Raises
    ------
    StreamError
        For values that there is no CBOR for, and of too long messages.
    """
    parts: list[Any] = [_SELF_DESCRIBED]
    _put(value, parts)
    message = b"".join(parts)
    if len(message) > LONGEST_MESSAGE:
        raise StreamError(f"the message would have {len(message)} bytes, expected {LONGEST_MESSAGE} at most")
    return message


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for low, code, limit in ((24, ">BB", 2**8), (25, ">BH", 2**16), (26, ">BI", 2**32), (27, ">BQ", 2**64)):
        if number < limit:
            return struct.pack(code, major << 5 | low, number)
    raise StreamError(f"{number} is too large for a message")


def _put(value: Any, parts: list[Any]) -> None:
    if value is None or isinstance(value, bool | np.bool_):
        parts.append(b"\xf6" if value is None else b"\xf5" if value else b"\xf4")
    elif isinstance(value, int | np.integer):
        number = int(value)
        parts.append(_head(_UNSIGNED, number) if number >= 0 else _head(_NEGATIVE, -1 - number))
    elif isinstance(value, float | np.floating):
        parts.append(struct.pack(">Bd", 0xFB, value))
    elif isinstance(value, str):
        text = value.encode()
        parts += (_head(_TEXT, len(text)), text)
    elif isinstance(value, Tag):
        parts.append(_head(_TAG, value.number))
        _put(value.value, parts)
    elif isinstance(value, datetime):
        _put(Tag(0, value.isoformat()), parts)
    elif isinstance(value, Mapping):
        parts.append(_head(_MAP, len(value)))
        for key, member in value.items():
            _put(str(key), parts)
            _put(member, parts)
    elif isinstance(value, bytes | bytearray | memoryview):
        data = memoryview(value).cast("B")
        parts += (_head(_BYTES, len(data)), data)
    elif isinstance(value, np.ndarray) and value.dtype == np.uint8:
        _put(np.ascontiguousarray(value).data, parts)
    elif isinstance(value, Iterable):
        members = list(value)
        parts.append(_head(_ARRAY, len(members)))
        for member in members:
            _put(member, parts)
    else:
        raise StreamError(f"a {type(value).__name__} cannot be sent in a message")
