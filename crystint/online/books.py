"""The books of a series: what came, and what became of it. At every moment received = analysed + skipped + failed +
in flight, and at the end expected = received + missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Books"]


@dataclass(frozen=True, slots=True)
class Books:
    """Counts of a series at one moment.

    Examples
    --------
    >>> from crystint.online.books import Books
    >>> books = Books(expected=10, received=9, analysed=8, skipped=1, ended=True)
    >>> books.in_flight, books.missing, books.closed
    (0, 1, True)
    """

    expected: int | None = None
    """images that the start announced, or that the series had by its end; None = not known"""
    received: int = 0
    """different images"""
    analysed: int = 0
    skipped: int = 0
    failed: int = 0
    """that could not be unpacked, or did not fit"""
    duplicate: int = 0
    """came again: the first one counts"""
    differing: int = 0
    """of these, with other bytes than the first"""
    late: int = 0
    """came after they had been given up; they are among the received ones"""
    foreign: int = 0
    """came when the series was closed; they are not among the received ones"""
    damaged: int = 0
    """messages that no image could be made of, so that no number is known"""
    second_ends: int = 0
    dropped: int | None = None
    """that the detector threw away, as it says itself; None = it was not asked"""
    ended: bool = False
    """the series is final"""
    last: int = -1
    """largest number that came; what is missing after it was perhaps never taken, where a series ended early"""

    @property
    def in_flight(self) -> int:
        """Received, and not yet analysed, skipped or failed."""
        return self.received - self.analysed - self.skipped - self.failed

    @property
    def missing(self) -> int | None:
        """Expected and never received; None before the end, or where it is not known how many there should be."""
        return None if self.expected is None or not self.ended else max(self.expected - self.received, 0)

    @property
    def closed(self) -> bool:
        """Whether every image is accounted for."""
        return self.ended and self.in_flight == 0

    @property
    def complete(self) -> bool:
        """Closed, with no image missing or failed."""
        return self.closed and not self.missing and not self.failed

    def to_dict(self) -> dict[str, Any]:
        """All counts, as JSON-able values."""
        return asdict(self) | {"in_flight": self.in_flight, "missing": self.missing}
