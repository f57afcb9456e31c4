"""Moments as files write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

__all__ = ["moment"]

_MONTHS = {name: f"{number + 1:02d}" for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)}  # fmt: skip
_MOMENT = re.compile(
    r"(\d{4})[-/](\d{1,2}|[A-Za-z]{3})[-/](\d{1,2})[T ](\d{1,2}):(\d{2}):(\d{2})(?:\.(\d+))?\s*(Z|[-+]\d{2}:?\d{2})?"
)


def moment(text: str) -> tuple[float, str]:
    """Seconds since 1970-01-01T00:00:00 of the clock that wrote the text, and the offset of that clock from UTC.

    ISO 8601, and DECTRIS's 2016-Mar-05 and 2016/Mar/05. NaN and "" where it is no moment; "" as well where no offset is
    told.
    """
    match = _MOMENT.search(text)
    if match is None:
        return np.nan, ""
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    month = _MONTHS.get(month.lower(), month)
    try:
        date, clock = (int(year), int(month), int(day)), (int(hour), int(minute), int(second))
        whole = datetime(*date, *clock, tzinfo=UTC).timestamp()
    except ValueError:
        return np.nan, ""
    zone = (zone or "").strip()
    if len(zone) == 5:
        zone = f"{zone[:3]}:{zone[3:]}"
    return whole + float(f"0.{fraction or 0}"), zone
