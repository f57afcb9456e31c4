"""From the parts of a message to what it tells, whatever its dialect."""

from __future__ import annotations

from typing import Any

from crystint.errors import StreamError
from crystint.stream.messages import Dialect, Message
from crystint.stream.stream2 import read_cbor

__all__ = ["read_message"]


def read_message(parts: Any, dialect: Dialect | None = None) -> Message:
    """Read a message of a detector.

    Nothing of an image is unpacked or copied: its frames are parts of the message.

    Parameters
    ----------
    parts : buffer, or sequence of buffers
        A message of one part, or all parts of one of several.
    dialect : "stream2", "jungfraujoch", "legacy", optional
        None = by what the message is.

    Returns
    -------
    Start, Image, End or Other

    Raises
    ------
    DamagedImage
        When it is an image that is whole but for its frames.
    StreamError
        When it is damaged in another way, larger than any detector's, or of no known kind.

    Examples
    --------
    >>> from crystint.stream import End, SeriesKey, encode_end, read_message
    >>> read_message(encode_end(End(SeriesKey(7, "01HBV3")))).series
    SeriesKey(id=7, unique_id='01HBV3')
    """
    if isinstance(parts, list | tuple):
        if len(parts) != 1:
            raise StreamError(f"the message has {len(parts)} parts, expected one")
        parts = parts[0]
    return read_cbor(parts, dialect)
