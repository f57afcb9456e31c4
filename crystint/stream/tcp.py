"""Images over TCP to programs that write them: a header of 32 bytes before each message, and acknowledgements.

The header is little endian: the letters CrST, 2 bytes version (1), 2 bytes type, 4 bytes number of the stream (a series
that is sent), 4 bytes flags (0), 8 bytes sequence, 8 bytes length of the payload. Payloads of start, image and end are
the CBOR messages of `crystint.stream.stream2`; that of a start has "crystint": {"name", "index", "of"} in addition.

A writer connects and sends a hello, {"name", "want": {"index", "of"}}. What it is sent is numbered by `sequence`, from
1; it sends an ack with the last number whose bytes are safe, busy at least every 500 ms while it takes nothing, and
keepalive at least as often else, as the sender does. Who is silent for longer than the liveness is dead.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, Self

import numpy as np

from crystint.errors import StreamError
from crystint.stream.cbor import LONGEST_MESSAGE

__all__ = ["BEAT", "HEADER", "LONGEST_WORD", "Header", "Incoming", "Kind"]

_LAYOUT = struct.Struct("<4sHHIIQQ")
HEADER = _LAYOUT.size
"""bytes"""
_MAGIC, _VERSION = b"CrST", 1
LONGEST_WORD = 64 * 1024
"""bytes of payloads that are no images"""
BEAT = 0.5
"""s between two signs of life"""


class Kind(IntEnum):
    """Type of a message."""

    HELLO = 1
    START = 2
    IMAGE = 3
    END = 4
    ACK = 5
    BUSY = 6
    KEEPALIVE = 7
    REFUSE = 8


_CARRYING = frozenset({Kind.START, Kind.IMAGE, Kind.END})


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a payload.

    Examples
    --------
    >>> from crystint.stream.tcp import Header, Kind
    >>> data = Header(Kind.ACK, stream=3, sequence=17).pack()
    >>> len(data), Header.unpack(data).sequence
    (32, 17)
    """

    kind: Kind
    stream: int = 0
    """number of the series"""
    sequence: int = 0
    """of the message to this writer; of an ack: all up to this one"""
    length: int = 0
    """bytes of the payload"""
    flags: int = 0

    def pack(self) -> bytes:
        """Its 32 bytes."""
        return _LAYOUT.pack(_MAGIC, _VERSION, self.kind, self.stream, self.flags, self.sequence, self.length)

    @classmethod
    def unpack(cls, data: Any) -> Self:
        """Read its 32 bytes.

        Raises
        ------
        StreamError
            When it is none, of another version, or announces more than any message has.
        """
        magic, version, kind, stream, flags, sequence, length = _LAYOUT.unpack(data)
        if magic != _MAGIC:
            raise StreamError(f"the other side sends {bytes(magic)!r}, expected {_MAGIC!r}: is it crystint?")
        if version != _VERSION:
            raise StreamError(f"the other side speaks version {version}, expected {_VERSION}")
        if kind not in Kind._value2member_map_:
            raise StreamError(f"the other side sends a message of type {kind}, expected 1 to {max(Kind)}")
        longest = LONGEST_MESSAGE if kind in _CARRYING else LONGEST_WORD
        if length > longest:
            raise StreamError(f"the other side announces {length} bytes, expected {longest} at most")
        return cls(Kind(kind), stream, sequence, length, flags)


class _Socket(Protocol):
    def recv_into(self, buffer: memoryview, /) -> int: ...


class Incoming:
    """Makes messages of what comes through a socket.

    Parameters
    ----------
    kinds : set of Kind
        That may come.
    """

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self._kinds = kinds
        self._head = memoryview(bytearray(HEADER))
        self._header: Header | None = None
        self._payload = self._head[:0]
        self._at = 0

    def read(self, socket: _Socket) -> tuple[Header, memoryview] | None:
        """Receive once.

        Returns
        -------
        (Header, memoryview) or None
            None = the message is not complete yet.

        Raises
        ------
        StreamError
            When it is no message, or of a wrong type.
        EOFError
            When the other side has closed the connection.
        OSError
            As `recv_into` of the socket raises it: BlockingIOError, TimeoutError, ConnectionError.
        """
        target = self._head if self._header is None else self._payload
        count = socket.recv_into(target[self._at :])
        if not count:
            raise EOFError
        self._at += count
        if self._at < len(target):
            return None
        self._at = 0
        if self._header is None:
            header = Header.unpack(self._head)
            if header.kind not in self._kinds:
                raise StreamError(f"the other side sends {header.kind.name.lower()}, which is not for it to send")
            if header.length:
                self._header, self._payload = header, np.empty(header.length, np.uint8).data
                return None
            return header, self._payload[:0]
        header, payload = self._header, self._payload
        self._header, self._payload = None, self._head[:0]
        return header, payload
