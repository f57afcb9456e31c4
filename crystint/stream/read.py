"""From the parts of a message to what it tells, whatever its dialect."""

from __future__ import annotations

from typing import Any

from crystint.errors import StreamError
from crystint.stream.legacy import read_legacy, split_parts
from crystint.stream.messages import Dialect, Message
from crystint.stream.stream2 import read_cbor

__all__ = ["read_message"]

_SELF_DESCRIBED, _ARRAY = b"\xd9\xd9\xf7", 4


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
    whole = parts if isinstance(parts, list | tuple) else (parts,)
    try:
        views = [memoryview(part).cast("B") for part in whole]
    except TypeError:
        raise StreamError(f"the message is {type(whole[0]).__name__}, expected contiguous bytes") from None
    if len(views) == 1 and _is_joined(views[0]):
        views = whole = split_parts(views[0])
    if len(views) == 1 and not (len(views[0]) and views[0][0] == ord("{")):
        return read_cbor(whole[0], dialect)
    if dialect not in (None, "legacy"):
        raise StreamError(f"the message is of DECTRIS's legacy stream, expected {dialect}; set format to cbor")
    return read_legacy(views, whole)


def _is_joined(view: memoryview) -> bool:
    """Whether it is parts of a message of several, put into one."""
    return view[:3] == _SELF_DESCRIBED and len(view) > 3 and view[3] >> 5 == _ARRAY
