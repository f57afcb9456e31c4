"""Times in messages: dates as text, and fractions of a second since them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from crystint.errors import StreamError
from crystint.stream.cbor import Tag

__all__ = ["date_text", "fraction", "nanoseconds", "since"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE)
_CLOCK = 50_000_000
"""Hz, of DECTRIS detectors"""
_LIMIT = 2**63


def nanoseconds(value: Any, what: str) -> int:
    """Since 1970-01-01 UTC, of a date as RFC 3339 writes it; one without a zone is taken as UTC.

    Raises
    ------
    StreamError
    """
    text = value.value if isinstance(value, Tag) else value
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise StreamError(f"{what} is {text!r:.60}, expected a date such as 2026-11-30T12:00:00.5Z")
    seconds, digits, zone = match.groups()
    try:
        date = datetime.fromisoformat(seconds + (zone or "Z").upper())
        whole = (date - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise StreamError(f"{what} is {text!r}, which is no date") from None
    return _checked(whole * 10**9 + int((digits or "0")[:9].ljust(9, "0")), what)


def since(value: Any, origin: int, what: str) -> int | None:
    """Nanoseconds: `origin` and a fraction [n, d] of seconds after it; None where it is no fraction.

    Raises
    ------
    StreamError
        When it is a wrong fraction.
    """
    value = value.value if isinstance(value, Tag) else value
    if not isinstance(value, list):
        return None
    if len(value) != 2 or not all(type(n) is int for n in value) or value[1] <= 0:
        raise StreamError(f"{what} is {value!r:.60}, expected [numerator, denominator] of seconds")
    return _checked(origin + value[0] * 10**9 // value[1], what)


def _checked(time: int, what: str) -> int:
    if not -_LIMIT <= time < _LIMIT:
        raise StreamError(f"{what} is {time} ns after 1970, which is no time")
    return time


def date_text(time: int) -> Tag:
    """A date of CBOR, with all nanoseconds; microseconds or milliseconds where these are all."""
    seconds, rest = divmod(time, 10**9)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{rest:09d}"
    digits = digits[:3] if digits.endswith("000000") else digits[:6] if digits.endswith("000") else digits
    return Tag(0, f"{whole}.{digits}Z")


def fraction(time: int) -> list[int]:
    """Nanoseconds as a fraction of seconds: in ticks of a detector's clock where they are whole ones."""
    ticks, rest = divmod(time * _CLOCK, 10**9)
    return [time, 10**9] if rest else [ticks, _CLOCK]
