"""A series that is sent to writers: what waits, and what became of each image."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from crystint.online.sink import Run
from crystint.stream.cbor import decode, encode
from crystint.stream.messages import End, Image
from crystint.stream.write import encode_end, encode_image, encode_start

__all__ = ["SentSeries", "image_payload"]

_MOST_RANGES = 100
"""that the books have"""


class SentSeries:
    """A series on its way to the writers. Every image that is taken is acknowledged, lost or waiting.

    Parameters
    ----------
    run : Run
    number : int
        Of the stream.
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number
        self.pending: deque[Image] = deque()
        """that no writer has"""
        self.taken = self.acknowledged = self.lost = self.handed_on = 0
        """`lost` = no writer acknowledged them; `handed_on` = another writer got them when theirs was dead"""
        self.lost_ranges: list[list[int]] = []
        """[first, last] of images that were lost one after the other"""
        self.begun = self.ended = False
        self.final = False
        self.enders: set[Any] = set()
        """writers that have the end and have not yet acknowledged it"""
        self.end_sent = False

    @property
    def waiting(self) -> int:
        """Images neither acknowledged nor lost."""
        return self.taken - self.acknowledged - self.lost

    def lose(self, images: Iterable[Image]) -> int:
        """Give images up; how many bytes these are."""
        size = 0
        for image in images:
            self.lost += 1
            if self.lost_ranges and self.lost_ranges[-1][1] == image.number - 1:
                self.lost_ranges[-1][1] = image.number
            else:
                self.lost_ranges.append([image.number, image.number])
            size += image.size
        return size

    def start_payload(self, index: int, of: int) -> bytes:
        """The start message as it came, with what a writer needs to name its files."""
        start = self.run.start
        message = start.message
        if start.dialect == "legacy" or not message:
            message = encode_start(replace(start, dialect="stream2"))[0]
        return encode({**decode(message), "crystint": {"name": self.run.name, "index": index, "of": of}})

    def end_payload(self) -> bytes:
        """The end, with the books of what was sent."""
        return encode_end(End(self.run.key), extra={"crystint": self.books()})[0]

    def books(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "taken": self.taken,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "waiting": self.waiting,
            "handed_on": self.handed_on,
            "lost_numbers": self.lost_ranges[:_MOST_RANGES],
        }


def image_payload(image: Image) -> Any:
    """The message of an image: as it came, where it came as one."""
    message = image.message
    if message is None or isinstance(message, list | tuple):
        return encode_image(image)[0]
    return message
